"""Look at data: how much there is, how evenly, what is broken, and how its episodes look.

python -m guided_seg.data.inspect data=voc data.root=PATH
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig

from guided_seg import cli

if TYPE_CHECKING:
    from omegaconf import DictConfig

COMMAND = "python -m guided_seg.data.inspect"
EXAMPLES = (
    "data=shapes",
    "data=voc data.root=~/data/voc2012 'data.held_out=[cow]' sheet.split=test",
    "data=davis data.root=~/data/davis sheet.shots=3 sheet.points=1 output_dir=PATH",
)


@hydra.main(config_path="pkg://guided_seg.conf", config_name="inspect", version_base="1.3")
@cli.kind_errors
def _main(cfg: DictConfig) -> None:
    from guided_seg.data.overview import overview

    overview(cfg, Path(HydraConfig.get().runtime.output_dir))


def main() -> None:
    """Entry point."""
    cli.help_if_asked(sys.argv[1:], COMMAND, EXAMPLES, "inspect")
    cli.check_overrides("inspect", sys.argv[1:])
    _main()


if __name__ == "__main__":
    main()

"""Make data ready: get the official archives, unpack them, read every file once and write down what there is.

python -m guided_seg.data.prepare data=voc data.root=PATH
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import hydra

from guided_seg import cli

if TYPE_CHECKING:
    from omegaconf import DictConfig

COMMAND = "python -m guided_seg.data.prepare"
EXAMPLES = (
    "data=voc data.root=~/data/voc2012",
    "data=davis data.year=2017 data.root=~/data/davis2017 archives=~/Downloads",
    "data=folder data.root=~/my_images workers=8",
)


@hydra.main(config_path="pkg://guided_seg.conf", config_name="prepare", version_base="1.3")
@cli.kind_errors
def _main(cfg: DictConfig) -> None:
    from guided_seg.data.provide import provide

    provide(cfg, COMMAND)


def main() -> None:
    """Entry point."""
    cli.help_if_asked(sys.argv[1:], COMMAND, EXAMPLES, "prepare")
    cli.check_overrides("prepare", sys.argv[1:])
    _main()


if __name__ == "__main__":
    main()

"""Measure speed: edits, encoding, video, training, data and start-up.

python -m guided_seg.benchmark suite=update
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

COMMAND = "python -m guided_seg.benchmark"
EXAMPLES = ("suite=all", "suite=[update,video] output_dir=PATH", "suite=update edits=100 rounds=5")


@hydra.main(config_path="pkg://guided_seg.conf", config_name="benchmark", version_base="1.3")
@cli.kind_errors
def _main(cfg: DictConfig) -> None:
    from guided_seg.benchmark.suites import run

    run(cfg, Path(HydraConfig.get().runtime.output_dir))


def main() -> None:
    """Entry point."""
    cli.help_if_asked(sys.argv[1:], COMMAND, EXAMPLES, "benchmark")
    cli.check_overrides("benchmark", sys.argv[1:])
    _main()


if __name__ == "__main__":
    main()

"""Measure speed: edits, encoding, video, training, data and start-up.

python -m guided_seg.benchmark suite=update
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guided_seg.cli import command as cli

if TYPE_CHECKING:
    from omegaconf import DictConfig

COMMAND = "python -m guided_seg.benchmark"
EXAMPLES = ("suite=all", "'suite=[update,video]' output_dir=PATH", "suite=update edits=100 rounds=5")


@cli.command(COMMAND, "benchmark", EXAMPLES)
def main(cfg: DictConfig) -> None:
    """Entry point."""
    from guided_seg.benchmark.measure import run

    run(cfg, cli.output_dir())


if __name__ == "__main__":
    main()

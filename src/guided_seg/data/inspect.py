"""Report on a data set: size, class balance, broken files, and pictures of episodes.

python -m guided_seg.data.inspect data=voc data.root=PATH
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guided_seg.cli import command as cli

if TYPE_CHECKING:
    from omegaconf import DictConfig

COMMAND = "python -m guided_seg.data.inspect"
EXAMPLES = (
    "data=shapes",
    "data=voc data.root=~/data/voc2012 'data.held_out=[cow]' sheet.split=test",
    "data=davis data.root=~/data/davis sheet.shots=3 sheet.points=1 output_dir=PATH",
)


@cli.command(COMMAND, "inspect", EXAMPLES)
def main(cfg: DictConfig) -> None:
    """Entry point."""
    from guided_seg.data.preparation.overview import overview

    overview(cfg, cli.output_dir())


if __name__ == "__main__":
    main()

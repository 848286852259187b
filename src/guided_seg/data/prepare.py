"""Prepare a data set: download and unpack the official archives, decode every file, and report on the content.

python -m guided_seg.data.prepare data=voc data.root=PATH
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guided_seg.cli import command as cli

if TYPE_CHECKING:
    from omegaconf import DictConfig

COMMAND = "python -m guided_seg.data.prepare"
EXAMPLES = (
    "data=voc data.root=~/data/voc2012",
    "data=davis data.year=2017 data.root=~/data/davis2017 archives=~/Downloads",
    "data=folder data.root=~/my_images workers=8",
)


@cli.command(COMMAND, "prepare", EXAMPLES)
def main(cfg: DictConfig) -> None:
    """Entry point."""
    from guided_seg.data.preparation.provide import provide

    provide(cfg, cli.started_as(COMMAND))


if __name__ == "__main__":
    main()

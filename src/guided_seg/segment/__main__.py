"""Segment many images or videos as a few annotated ones show: guided-seg segment QUERIES support=SUPPORT."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from guided_seg.cli import command as cli
from guided_seg.cli.program import program
from guided_seg.cli.words import split

if TYPE_CHECKING:
    from omegaconf import DictConfig

COMMAND = "python -m guided_seg.segment"
EXAMPLES = (
    "photos/ support=today.session",
    "photos/ support=dots.json format=yolo output_dir=cups",
    "'photos/**/*.jpg' support=annotated/ format=masks",
    "clip.mp4 support=today.session format=davis",
    "photos/ support=today.session engine=ray workers=8",
)

WORDS = {
    "QUERIES": "images, globs in quotes, folders, videos; none for the images of the session in support=",
    "SETTINGS": "key=value; support= is needed, and --cfg job lists all",
}

_queries: list[str] = []


@cli.command(COMMAND, "segment", EXAMPLES, WORDS)
def _segment(cfg: DictConfig) -> None:
    from guided_seg.segment.job import run

    run(cfg, _queries)


@program
def main() -> None:
    """Entry point: words that are neither options nor settings are queries."""
    _queries[:], sys.argv[1:] = split(cli.without_comment(sys.argv[1:]))
    _segment()


if __name__ == "__main__":
    main()

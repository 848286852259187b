"""Open the page in a browser: guided-seg app [PATHS] [SETTINGS]."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from guided_seg.cli import command as cli
from guided_seg.cli.program import program
from guided_seg.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

COMMAND = "python -m guided_seg.app"
EXAMPLES = (
    "",
    "photos/",
    "cat.jpg dog.jpg clip.mp4",
    "today.session",
    "photos/ checkpoint=outputs/late_global/RUN port=9000",
)

WORDS = {
    "PATHS": "images, videos, folders of them or of frames, or one saved session; none for sample photos",
    "SETTINGS": "key=value, such as port=9000; --cfg job lists all",
}

NEEDED = ("fastapi", "uvicorn", "websockets", "python_multipart")
"""Packages of the extra ``app``."""

WITH_VALUE = ("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd")
"""Options of Hydra that are followed by a word."""

_paths: list[str] = []


@cli.command(COMMAND, "app", EXAMPLES, WORDS)
def _serve(cfg: DictConfig) -> None:
    for package in NEEDED:
        if find_spec(package) is None:
            raise UserError(f"The page needs the package {package}: pip install 'guided_seg[app]'.")
    from guided_seg.app.running import serve

    serve(cfg, _paths)


@program
def main() -> None:
    """Entry point: words that are neither options nor settings are paths."""
    _paths[:], sys.argv[1:] = split(cli.without_comment(sys.argv[1:]))
    _serve()


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The paths in a command line, and the rest. A word with ``=`` is a path only if a file has that name.

    Example:
        >>> split(["photos/", "port=9000", "--cfg", "job"])
        (['photos/'], ['port=9000', '--cfg', 'job'])
    """
    paths: list[str] = []
    rest: list[str] = []
    for before, word in pairwise(["", *words]):
        setting = word.startswith("-") or before in WITH_VALUE or ("=" in word and not Path(word).exists())
        (rest if setting else paths).append(word)
    return paths, rest


if __name__ == "__main__":
    main()

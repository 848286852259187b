"""Open the page in a browser: guided-seg app [PATHS] [SETTINGS]."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from guided_seg.cli import command as cli
from guided_seg.cli.program import program
from guided_seg.cli.words import split
from guided_seg.errors import UserError
from guided_seg.machine.allocation import one_arena

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
    one_arena()  # networks run in a thread for each page
    _paths[:], sys.argv[1:] = split(cli.without_comment(sys.argv[1:]))
    _serve()


if __name__ == "__main__":
    main()

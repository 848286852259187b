"""Open the page in a browser: python -m guided_seg.app [IMAGES | FOLDER | VIDEO | SESSION]."""

from __future__ import annotations

import sys
from importlib.util import find_spec
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

NEEDED = ("fastapi", "uvicorn", "websockets", "python_multipart")
"""Packages of the extra ``app``."""

_paths: list[str] = []


@cli.command(COMMAND, "app", EXAMPLES)
def _serve(cfg: DictConfig) -> None:
    for package in NEEDED:
        if find_spec(package) is None:
            raise UserError(f"The page needs the package {package}: pip install 'guided_seg[app]'.")
    from guided_seg.app.running import serve

    serve(cfg, _paths)


@program
def main() -> None:
    """Entry point: words that are no settings are paths."""
    words = cli.without_comment(sys.argv[1:])
    _paths[:] = [word for word in words if is_path(word)]
    sys.argv[1:] = [word for word in words if not is_path(word)]
    _serve()


def is_path(word: str) -> bool:
    """Whether a word of the command line is a path: no option, and no setting unless a file has that name.

    Example:
        >>> is_path("photos/"), is_path("port=9000"), is_path("--help")
        (True, False, False)
    """
    if word.startswith("-"):
        return False
    return "=" not in word or Path(word).exists()


if __name__ == "__main__":
    main()

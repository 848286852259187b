"""Results that were stopped: a folder is filled once, and only by the call that would write the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guided_seg.errors import UserError
from guided_seg.files.text import read_json
from guided_seg.files.writing import PARTIAL, write_json

MARK = ".unfinished.json"
"""The file that a folder holds until its result is whole."""


@contextmanager
def filling(folder: Path, content: str) -> Iterator[None]:
    """Fill a folder. If the block fails or the process ends, the folder may be filled again with the same content.

    Args:
        folder: a new or an empty folder, or one whose filling was stopped.
        content: a checksum of what will be written.

    Raises:
        UserError: the folder is a file, or holds anything else.
    """
    mark = folder / MARK
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; choose a new or an empty folder.")
    if mark.is_file():
        found = read_json(mark, "the mark of an unfinished result")
        if not isinstance(found, dict) or found.get("content") != content:
            raise UserError(
                f"The folder {folder} holds an unfinished result of other annotations, images or another format; "
                "remove it, or choose a new or an empty folder."
            )
        for rest in folder.rglob(f"{PARTIAL}*"):
            rest.unlink()
    elif folder.exists() and (other := next(iter(folder.iterdir()), None)):
        raise UserError(f"The folder {folder} is not empty, it holds {other.name}; choose a new or an empty one.")
    write_json(mark, {"content": content})
    yield
    mark.unlink()

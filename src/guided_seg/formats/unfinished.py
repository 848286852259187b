"""Results that were stopped: a folder is filled once, and only by the call that would write the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guided_seg.errors import UserError
from guided_seg.files.locks import locked
from guided_seg.files.text import read_json
from guided_seg.files.writing import remove_partial, write_json

MARK = ".unfinished.json"
"""The file that a folder holds until its result is whole."""
LOCK = ".unfinished.lock"
"""The file that the process locks which fills a folder."""
WORK = ".unfinished"
"""The folder of what is kept until the result is whole."""
FINISHED = ".finished.json"
"""The file that says what a result holds, if the call that wrote it is to be repeated without effect."""

_OURS = (MARK, LOCK, WORK, FINISHED)


@dataclass(slots=True)
class Filling:
    """A folder that is being filled.

    Attributes:
        work: the folder of what is kept until the result is whole.
        finished: what an earlier call said about its result; None if it is not whole.
        says: what is to be said about the result at its end; None for nothing.
    """

    work: Path
    finished: Mapping[str, Any] | None = None
    says: dict[str, Any] | None = field(default=None)


@contextmanager
def filling(folder: Path, content: str) -> Iterator[Filling]:
    """Fill a folder. If the block fails or the process ends, the folder may be filled again with the same content.

    Args:
        folder: a new or an empty folder, or one whose filling was stopped or finished by the same call.
        content: a checksum of what will be written.

    Raises:
        UserError: the folder is a file, holds anything else, or is being filled by another process.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; choose a new or an empty folder.")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK, "filling"):
        yield from _filling(folder, content)


def _filling(folder: Path, content: str) -> Iterator[Filling]:
    mark, work, finished = folder / MARK, folder / WORK, folder / FINISHED
    said = _check(finished, content, "a result") if finished.is_file() else None
    if said is None:
        if mark.is_file():
            _check(mark, content, "an unfinished result")
        elif other := next((each for each in sorted(folder.iterdir()) if each.name not in _OURS), None):
            raise UserError(f"The folder {folder} is not empty, it holds {other.name}; choose a new or an empty one.")
        remove_partial(folder)
        write_json(mark, {"content": content})
    begun = Filling(work, said)
    try:
        yield begun
    except BaseException:
        if not any(each for each in folder.rglob("*") if each.is_file() and each.name not in _OURS):
            mark.unlink(missing_ok=True)  # nothing was done yet that another call could not do as well
        raise
    if begun.says is not None:
        write_json(finished, {"content": content, **begun.says})
        mark.unlink()
    shutil.rmtree(work, ignore_errors=True)
    mark.unlink(missing_ok=True)


def _check(path: Path, content: str, what: str) -> Mapping[str, Any]:
    """What a file of ours says. Raises `UserError` if it is of other content."""
    found = read_json(path, f"the mark of {what}")
    if not isinstance(found, dict) or found.get("content") != content:
        raise UserError(
            f"The folder {path.parent} holds {what} of other annotations, images, settings or another format; remove "
            "it, or choose a new or an empty folder."
        )
    return found

"""Atomic writes of files and folders, and checksums."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

from guided_seg.errors import UserError

PARTIAL = ".partial."
"""How the names of files begin that are not yet whole."""


@contextmanager
def whole_file(path: str | os.PathLike[str], lasting: bool = False) -> Iterator[Path]:
    """Write a file atomically: yield a temporary path, which is renamed to ``path`` when the block succeeds.

    Missing folders are created. The temporary path has the suffix of ``path``, from which some writers take the format.

    Args:
        path: the file.
        lasting: flush it to the disk before it is renamed, so that it is whole even after a power cut.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{PARTIAL}{os.getpid()}.{path.name}")
    try:
        yield partial
        if lasting:
            flush(partial)
        partial.replace(path)
        if lasting:
            with suppress(OSError):  # not all disks can flush the names in a folder
                flush(path.parent)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # as of a write to a full disk
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until the file, or the names in the folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_partial(folder: Path) -> None:
    """Remove the temporary files of killed processes in a folder and below. No other process may write there."""
    for rest in folder.rglob(f"{PARTIAL}*"):
        rest.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], data: Mapping[str, Any] | Sequence[Any], indent: int | None = 2) -> Path:
    """Write JSON atomically, on one line if ``indent`` is None. NaN becomes null, as JSON has no NaN."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(_without_nan(data), indent=indent, allow_nan=False) + "\n", encoding="utf-8")
    return Path(path)


@contextmanager
def filled_or_gone(out: Path) -> Iterator[Path]:
    """Fill a folder atomically: yield a temporary folder, whose files are moved to ``out`` when the block succeeds.

    Args:
        out: an empty folder, as Hydra creates it; removed if the block fails.

    Raises:
        UserError: it is not empty.
    """
    if any(out.iterdir()):
        raise UserError(f"The folder {out} is not empty; choose a new or an empty one with output_dir=...")
    try:
        with TemporaryDirectory(dir=out, prefix=".partial-") as partial:
            yield Path(partial)
            for file in sorted(Path(partial).iterdir()):
                file.replace(out / file.name)
    except BaseException:
        out.rmdir()
        raise


def user_cache() -> Path:
    """This package's folder in the user's cache, or in the temporary folder if the user has no home."""
    return _users_folder("XDG_CACHE_HOME", ".cache")


def user_state() -> Path:
    """This package's folder for the work of the user, or in the temporary folder if the user has no home."""
    return _users_folder("XDG_STATE_HOME", ".local/state")


def _users_folder(variable: str, otherwise: str) -> Path:
    try:
        folder = Path(os.environ.get(variable) or Path.home() / otherwise)
    except RuntimeError:  # as in a container with a numeric user without a name
        folder = Path(gettempdir())
    return folder / "guided_seg"


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

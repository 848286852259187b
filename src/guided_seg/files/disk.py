"""Convert errors of disks to sentences, check free space, and show progress in bytes."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from guided_seg.errors import DataError

CHUNK = 1 << 20
"""Bytes to read, hash or write at once."""

_FULL, _CLOSED = (errno.ENOSPC, errno.EDQUOT), (errno.EROFS, errno.EACCES, errno.EPERM)
_TAKEN = (errno.EEXIST, errno.ENOTDIR)


@contextmanager
def disk_refusals(folder: Path, setting: str) -> Iterator[None]:
    """Convert errors of writing to ``folder``, the value of ``setting``, to `DataError`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DataError(
                f"The disk of {folder} is full; free some space, or set {setting} to another folder."
            ) from error
        if error.errno in _CLOSED:
            raise DataError(f"The folder {folder} is not writable; set {setting} to another folder.") from error
        if error.errno in _TAKEN:
            raise DataError(
                f"A file is in the way of the folder {folder}; move it, or set {setting} to another folder."
            ) from error
        raise DataError(
            f"Writing to {folder} failed: {error}; check its disk, or set {setting} to another folder."
        ) from error


def free_space(folder: Path) -> int:
    """Free bytes on the disk of ``folder``, which need not exist yet."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free


def check_space(folder: Path, need: int, setting: str) -> None:
    """Raise `DataError` if the disk of ``folder``, which need not exist yet, has less than ``need`` bytes free."""
    if (free := free_space(folder)) < need:
        raise DataError(
            f"The disk of {folder} has {decimal(free)} free, but {decimal(need)} are needed; free some space, or "
            f"set {setting} to another folder."
        )


@contextmanager
def byte_bar(what: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal's stderr. Yields a function to call with the number of new bytes."""
    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(
        TextColumn("{task.description}"), *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        bar = progress.add_task(what, total=total, completed=done)
        yield lambda more: progress.advance(bar, more)

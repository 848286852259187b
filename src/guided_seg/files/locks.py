"""One process at a time in a folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from guided_seg.errors import UserError
from guided_seg.files.writing import remove_partial

LOCK = ".lock"
"""The file that the process locks which works in a folder."""
PATIENCE = 10.0
"""Seconds to wait for a lock: the data workers of a killed process may still hold it for a few."""

log = logging.getLogger(__name__)


class Occupied(UserError):
    """Another process works in the folder."""


@contextmanager
def locked(file: Path, said: str, patience: float = 0.0) -> Iterator[None]:
    """Lock a file while the block runs. The lock of a process ends with it, however it ends.

    Args:
        file: the file, which is made and removed.
        said: what another process does in the folder, for the message.
        patience: seconds to wait for it.

    Raises:
        Occupied: another process holds the lock.
    """
    lock = FileLock(file, timeout=patience)
    try:
        lock.acquire()
    except Timeout:
        raise Occupied(
            f"Another process is {said} the folder {file.parent}; wait until it has ended, or choose another folder."
        ) from None
    except NotImplementedError:  # as on some network drives
        log.warning("The disk of %s has no locks; start no two jobs in that folder.", file.parent)
        yield
        return
    try:
        yield
    finally:
        file.unlink(missing_ok=True)  # while it is locked, so that it is not that of another process
        lock.release()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Let no other job work in a folder while the block runs, and remove what a killed one left there unfinished.

    Raises:
        Occupied: another job works there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK, "working in", PATIENCE):
        remove_partial(folder)
        yield

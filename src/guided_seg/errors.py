"""Errors that a user can fix. Commands print their message instead of a traceback."""

from __future__ import annotations

import errno
import os
from pathlib import Path


class UserError(ValueError):
    """Invalid input. The message says what was found, what was expected and what to do."""


class CompositionError(UserError):
    """An invalid combination of options. The message names an alternative; a sweep counts the job as refused."""


class DataError(UserError):
    """Invalid data. The message says what was found, what was expected and what to do."""


class BrokenFile(DataError):
    """A file that cannot be read. A long run skips and counts it instead of stopping."""


class ProcessDied(UserError):
    """Another process of a run has ended too early. The message says which and why."""


class VideoWarning(UserWarning):
    """Video frames that cannot be decoded are skipped."""


def why_unreadable(path: Path, error: OSError) -> str:
    """The message for a file that cannot be read: the reason and what to do.

    Args:
        path: the file.
        error: the error of the operating system.
    """
    is_folder = os.path.isdir(path)  # noqa: PTH112  never raises, unlike pathlib
    if error.errno == errno.EISDIR or (is_folder and os.name == "nt"):  # Windows reports access denied
        return f"{path} is a folder, where a file is expected; name the file itself."
    if error.errno == errno.ENAMETOOLONG:
        return f"The name {str(path)[:60]}... of {len(str(path))} characters is too long for this disk; shorten it."
    if error.errno in _REASONS:
        return f"The {'folder' if is_folder else 'file'} {path} {_REASONS[error.errno]}."
    return f"The file {path} cannot be read ({error.strerror or error}); check its disk, or copy it to another."


TOO_MANY_OPEN = (errno.EMFILE, errno.ENFILE)
"""Error numbers of the process rather than of a file."""

_AWAY = "cannot be reached; check that its network drive is connected, and try again"
_REASONS = {
    errno.ENOENT: (
        "does not exist; add it, or correct its path (in a data set you may also remove its partner and its list entry)"
    ),
    errno.EACCES: "may not be read by this user; change its permissions and those of its folders (chmod, chown)",
    errno.EPERM: "may not be read by this user; change its permissions and those of its folders (chmod, chown)",
    errno.ENOTDIR: "does not exist: what its path names as a folder is a file; correct the path",
    errno.ELOOP: "is a symbolic link that leads back to itself; put the file itself in its place",
    errno.EIO: "could not be read: its disk or drive reports an error; check the disk, or copy the file from elsewhere",
    errno.EMFILE: "cannot be opened, as too many files are open; allow more (ulimit -n 4096), or use fewer workers",
    errno.ENFILE: "cannot be opened, as too many files are open; allow more (ulimit -n 4096), or use fewer workers",
    errno.ESTALE: _AWAY,
    errno.ETIMEDOUT: _AWAY,
    errno.EHOSTDOWN: _AWAY,
    errno.EHOSTUNREACH: _AWAY,
    errno.ENOTCONN: _AWAY,
}


def full_disk(error: BaseException) -> str | None:
    """The message for a full disk or an exhausted quota; None for any other error."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    return f"There is no space left to write {error.filename or 'the output'}; free some and repeat the command."

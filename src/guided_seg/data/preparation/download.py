"""Download archives: resume interrupted downloads, and verify them before use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from ssl import SSLError
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from rich.filesize import decimal

from guided_seg.data.preparation.archives import Archive, check
from guided_seg.errors import DataError
from guided_seg.files.disk import CHUNK, byte_bar, check_space, disk_refusals

_TIMEOUT = 60.0  # seconds without a byte
_BROKEN_OFF = (URLError, HTTPException, ConnectionError, TimeoutError, SSLError)


class Unreachable(DataError):
    """No data from a URL; the message is the reason."""


def obtain(needed: Sequence[Archive], folder: Path, again: str) -> list[Path]:
    """Get the files of archives: those in ``folder``, and the others by download to it.

    Args:
        needed: the archives.
        folder: folder of existing and downloaded archives.
        again: the command to repeat, for the message about manual downloads.

    Raises:
        DataError: an archive is damaged, cannot be reached, or does not fit on the disk.
    """
    absent = [archive for archive in needed if not (folder / archive.name).is_file()]
    for archive in needed:
        if archive not in absent:
            check(folder / archive.name, archive)
    check_space(folder, sum(_to_come(archive, folder) for archive in absent), "archives")
    for number, archive in enumerate(absent):
        try:
            download(archive, folder / archive.name)
        except Unreachable as reason:
            raise DataError(_by_hand(absent[number:], folder, again, reason)) from reason
    return [folder / archive.name for archive in needed]


def download(archive: Archive, path: Path) -> None:
    """Download an archive to ``path``, via ``<path>.partial``, which a later call resumes.

    Raises:
        Unreachable: the server sends nothing; the partial file is kept.
        DataError: the data is not the archive, and is removed; or the disk refuses it.
    """
    partial = _partial(path)
    with disk_refusals(path.parent, "archives"):
        while not _continue(archive, partial):
            pass
        try:
            check(partial, archive)
        except DataError as error:
            partial.unlink()
            raise DataError(str(error).replace(str(partial), archive.url)) from error
        partial.replace(path)


def _continue(archive: Archive, partial: Path) -> bool:
    """Fetch the missing bytes; return whether all are there. Reconnects as long as each connection yields some."""
    start = _size(partial)
    if start and start == archive.size:
        return True
    try:
        total = _receive(archive, partial, start)
    except HTTPError as error:
        if error.code != 416 or not start:
            raise Unreachable(f"{error.code} {error.reason}") from error
        whole = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
        if whole and int(whole[1]) == start:
            return True
        partial.unlink()  # longer than the archive: it belongs to another file
        return False
    except _BROKEN_OFF as error:
        if _size(partial) <= start:
            reason = getattr(error, "reason", error)
            raise Unreachable(getattr(reason, "strerror", None) or str(reason) or type(error).__name__) from error
        return False
    if total is not None and _size(partial) < total:
        if _size(partial) <= start:
            raise Unreachable("the connection closes at once")
        return False
    return True


def _receive(archive: Archive, partial: Path, start: int) -> int | None:
    """Append the server's data from byte ``start`` to ``partial``, or rewrite it; return the total size."""
    asked = {"Range": f"bytes={start}-"} if start else {}
    with urlopen(Request(archive.url, headers={"User-Agent": "guided_seg", **asked}), timeout=_TIMEOUT) as reply:
        if reply.headers.get_content_type() == "text/html":
            raise Unreachable("the server sent a web page instead of the file")
        done = start if reply.status == 206 else 0
        length = reply.headers.get("Content-Length")
        total = done + int(length) if length else None
        partial.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("ab" if done else "wb") as file, byte_bar(archive.name, total, done) as advance:
            while chunk := reply.read(CHUNK):
                file.write(chunk)
                advance(len(chunk))
    return total


def _by_hand(archives: Sequence[Archive], folder: Path, again: str, reason: Unreachable) -> str:
    files = [f"{a.url} as {folder / a.name}" + (f" ({decimal(a.size)})" if a.size else "") for a in archives]
    return (
        f"{archives[0].name} could not be downloaded ({reason}); get {', and '.join(files)} by other means, and try "
        f"again with: {again}"
    )


def _to_come(archive: Archive, folder: Path) -> int:
    return max(0, (archive.size or 0) - _size(_partial(folder / archive.name)))


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0

"""Unpack zip and tar archives atomically, and never outside their folder."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EINVAL
from fnmatch import fnmatchcase
from functools import partial
from gzip import BadGzipFile
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from stat import S_ISLNK
from struct import error as StructError
from typing import IO

from guided_seg.data.preparation.archives import Archive
from guided_seg.errors import DataError
from guided_seg.files.disk import CHUNK, byte_bar, check_space, disk_refusals

_STAGE = "guided_seg_preparing"
_BLOCK = 4096  # size of the smallest file on most disks
_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, BadGzipFile, LZMAError, StructError),
    *(ValueError, OverflowError, RuntimeError),  # such as a name with a zero byte, or a method that zipfile lacks
)


@dataclass(frozen=True)
class _Member:
    path: PurePosixPath
    size: int
    open: Callable[[], IO[bytes] | None]


@contextmanager
def staged(root: Path) -> Iterator[Path]:
    """A temporary folder. Its content is moved to ``root`` when the block ends, or removed if the block fails.

    It is in the root, or in its nearest existing parent, so that moves are renames on one disk. Remains of killed runs
    are removed.

    Raises:
        DataError: the disk refuses, or the root already contains something of the same name.
    """
    above = next(folder for folder in (root, *root.parents) if folder.exists())
    stage = above / f".{root.name}.{_STAGE}"
    try:
        with disk_refusals(above, "data.root"):
            shutil.rmtree(stage, ignore_errors=True)
            stage.mkdir()
            yield stage
            _move_in(stage, root)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def unpack(path: Path, archive: Archive, into: Path) -> None:
    """Write the files of ``archive.folder`` to ``into``.

    Raises:
        DataError: the archive is damaged or incomplete, has a link or a path that leads outside, or does not fit on the
            disk.
    """
    try:
        with _members(path) as members:
            inside = [(place, m) for m in members if (place := _place(m.path, PurePosixPath(archive.folder)))]
            check_space(into, sum(member.size + _BLOCK for _, member in inside), "data.root")
            _write(inside, into, path.name)
    except DataError:
        raise
    except OSError as error:
        if error.errno not in (None, EINVAL) or error.filename is not None:
            raise  # an error of the disk, not a seek before the start of the file
        raise _damaged(path, archive, error) from error
    except _DAMAGED as error:
        raise _damaged(path, archive, error) from error
    if lacking := [name for name in archive.makes if not (into / name).exists()]:
        inside_of = f" in its folder {archive.folder}" if archive.folder else ""
        raise DataError(
            f"The archive {path} has no {', '.join(lacking)}{inside_of}; download it again from {archive.url}."
        )


def _damaged(path: Path, archive: Archive, error: Exception) -> DataError:
    reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
    return DataError(
        f"The archive {path} is cut off or damaged ({reason}); remove it and try again, or download it from "
        f"{archive.url}."
    )


@contextmanager
def _members(path: Path) -> Iterator[list[_Member]]:
    """Yield lists of the files in the archive, including unwanted ones, so that all paths are checked."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            infos = [info for info in packed.infolist() if not info.is_dir()]
            if links := [info.filename for info in infos if S_ISLNK(info.external_attr >> 16)]:
                raise _with_link(path, links[0])
            yield [_Member(_inner(i.filename, path), i.file_size, partial(packed.open, i)) for i in infos]
    else:
        with tarfile.open(path) as packed_tar:
            found = [info for info in packed_tar if not info.isdir()]
            if links := [info.name for info in found if not info.isreg()]:
                raise _with_link(path, links[0])
            yield [_Member(_inner(i.name, path), i.size, partial(packed_tar.extractfile, i)) for i in found]


def _with_link(archive: Path, name: str) -> DataError:
    return DataError(f"The archive {archive} holds {name}, which is a link or a device; do not use it.")


def _inner(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name.partition("/")[0]:
        raise DataError(f"The archive {archive} holds {name}, which is a path outside of its folder; do not use it.")
    return path


def _place(path: PurePosixPath, folder: PurePosixPath) -> PurePosixPath | None:
    """The path relative to ``folder``, or None if it is not inside.

    Example:
        >>> _place(PurePosixPath("Tutorial-1/CamVid/train/a.png"), PurePosixPath("*/CamVid"))
        PurePosixPath('train/a.png')
    """
    depth = len(folder.parts)
    if len(path.parts) <= depth or not all(map(fnmatchcase, path.parts, folder.parts)):
        return None
    return PurePosixPath(*path.parts[depth:])


def _write(members: Sequence[tuple[PurePosixPath, _Member]], into: Path, name: str) -> None:
    with byte_bar(f"Unpacking {name}", sum(member.size for _, member in members)) as advance:
        for place, member in members:
            target = into / place
            target.parent.mkdir(parents=True, exist_ok=True)
            packed = member.open()
            assert packed is not None
            with packed, target.open("wb") as file:
                while chunk := packed.read(CHUNK):
                    file.write(chunk)
                    advance(len(chunk))


def _move_in(stage: Path, root: Path) -> None:
    if not root.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        stage.rename(root)
        return
    entries = sorted(stage.iterdir())
    if taken := [str(root / entry.name) for entry in entries if (root / entry.name).exists()]:
        raise DataError(f"{', '.join(taken)} would be overwritten; move it away, or set data.root to a new folder.")
    for entry in entries:
        entry.rename(root / entry.name)

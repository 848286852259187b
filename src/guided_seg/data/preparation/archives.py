"""Archives of data sets: their content, and which are missing or damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guided_seg.errors import DataError
from guided_seg.files.disk import CHUNK, byte_bar


@dataclass(frozen=True)
class Archive:
    """An official archive, as listed in conf/prepare.yaml.

    Attributes:
        url: its URL.
        name: its file name.
        makes: paths that it adds to the data root and the source requires.
        folder: the folder in it whose content belongs to the data root; ``*`` for any name.
        size: size in bytes, if known.
        checksum: ``md5:...`` or ``sha256:...``, if published.
        when: settings of the data that need it, such as the year.
    """

    url: str
    name: str
    makes: Sequence[str]
    folder: str = ""
    size: int | None = None
    checksum: str | None = None
    when: Mapping[str, str] = field(default_factory=dict)

    def suits(self, settings: Mapping[str, Any]) -> bool:
        """Whether it is needed with these settings of the data."""
        return all(str(settings.get(name)) == value for name, value in self.when.items())


def missing(archives: Sequence[Archive], root: Path) -> list[Archive]:
    """The archives whose content is missing in ``root``.

    Raises:
        DataError: the root is a file, or contains only a part of an archive.
    """
    if root.exists() and not root.is_dir():
        raise DataError(f"The data root {root} is a file; set data.root to a folder, which need not exist yet.")
    absent = []
    for archive in archives:
        there = [name for name in archive.makes if (root / name).exists()]
        if not there:
            absent.append(archive)
        elif lacking := [name for name in archive.makes if name not in there]:
            raise DataError(
                f"The data root {root} holds {', '.join(there)} but not {', '.join(lacking)}, so it is incomplete; "
                f"unpack the rest of {archive.name} there, or set data.root to a new folder."
            )
    return absent


def check(path: Path, archive: Archive) -> None:
    """Raise `DataError` if the file differs from the archive's size or checksum, if known."""
    size = path.stat().st_size
    if archive.size is not None and size != archive.size:
        fault = "is cut off" if size < archive.size else "is another file"
        raise DataError(
            f"The archive {path} {fault}: it has {size:,} bytes, but {archive.size:,} were expected; remove it and try "
            f"again, or download it from {archive.url}."
        )
    if archive.checksum is not None:
        kind, _, expected = archive.checksum.partition(":")
        if (found := _digest(path, kind)) != expected:
            raise DataError(
                f"The archive {path} is damaged or another file: its {kind} is {found}, but {expected} was expected; "
                f"remove it and try again, or download it from {archive.url}."
            )


def _digest(path: Path, kind: str) -> str:
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file, byte_bar(f"Checking {path.name}", path.stat().st_size) as advance:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()

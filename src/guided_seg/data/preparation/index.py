"""The index of an archive: what it holds, written once and valid for as long as its bytes stay the same."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

from guided_seg.data.files.faults import leaving_out_broken
from guided_seg.data.files.pairs import is_hidden
from guided_seg.data.files.verify import survey
from guided_seg.data.preparation.census import EVERYTHING, Census, MakeSource, take_census
from guided_seg.files.disk import CHUNK, disk_refusals
from guided_seg.files.writing import user_cache
from guided_seg.report.results import write_json

FORMAT = 1
"""The version of the index: raise it whenever what is counted, or how it is written, changes."""

NAME = "guided_seg_index.json"
_FIELDS = {"key", "source", "splits", "sizes", "broken"}


class Index(Census):
    """A census with what it is valid for.

    Keys:
        format: `FORMAT`.
        key: see `content_key`.
        source: the settings that chose among the files, such as the resolution.
    """

    format: int
    key: str
    source: dict[str, str]


def ensure_index(root: Path, make: MakeSource, settings: Mapping[str, Any], workers: int = 2) -> tuple[Index, Path]:
    """The index of ``root`` and where it lies: read if it is still true, or made anew.

    Args:
        root: the data root.
        make: the source but for its split.
        settings: what the source was made with.
        workers: threads that read files.

    Raises:
        DataError: the archive as such cannot be used, or the index cannot be written anywhere.
    """
    key = content_key(root, settings, workers)
    for path in _places(root):
        if (found := _read(path)) is not None and found["key"] == key:
            return found, path
    census = take_census(make, workers)
    index = Index(
        format=FORMAT,
        key=key,
        source=_choosing(settings),
        splits=census["splits"],
        sizes=census["sizes"],
        # paths relative to the root, so that the index may move with it
        broken=[sentence.replace(f"{root}{os.sep}", "") for sentence in census["broken"]],
    )
    return index, _write(index, root)


def find_index(root: Path, settings: Mapping[str, Any], workers: int = 2) -> Index | None:
    """The index of ``root`` if there is one and it is still true."""
    found = [index for path in _places(root) if (index := _read(path)) is not None]
    key = content_key(root, settings, workers) if found else ""
    return next((index for index in found if index["key"] == key), None)


def content_key(root: Path, settings: Mapping[str, Any], workers: int = 2) -> str:
    """A digest of what the index is made from: path, size and bytes of every file below ``root``.

    Hidden files, and the index itself, are no part of it; neither are times, nor settings that only say how the data is
    used. The settings that choose among the files, and `FORMAT`, are.
    """
    names = _tree(root)
    with leaving_out_broken(workers):
        digests = survey(names, partial(_digest, root), "Reading checksums")
    whole = hashlib.blake2b(json.dumps([FORMAT, _choosing(settings)], sort_keys=True).encode(), digest_size=20)
    for name in names:
        whole.update(f"\0{name}\0{digests.get(name, 'unreadable')}".encode(errors="surrogateescape"))
    return whole.hexdigest()


def _choosing(settings: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in settings.items() if name not in {"root", *EVERYTHING}}


def _tree(root: Path) -> list[str]:
    """The files below ``root``, relative to it; links to folders are followed, but not in a circle."""
    names, entered = [], set()
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        below[:] = [] if real in entered else [name for name in below if not is_hidden(name)]
        inside = [] if real in entered else [name for name in files if not is_hidden(name) and name != NAME]
        names += [(Path(folder) / name).relative_to(root).as_posix() for name in inside]
        entered.add(real)
    return sorted(names)


def _digest(root: Path, name: str) -> str:
    digest, size = hashlib.blake2b(digest_size=20), 0
    with (root / name).open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return f"{size} {digest.hexdigest()}"


def _places(root: Path) -> tuple[Path, Path]:
    """In the root, or in the user's cache where the root may not be written to."""
    which = hashlib.blake2b(str(root).encode(errors="surrogateescape"), digest_size=10).hexdigest()
    return root / NAME, user_cache() / f"{root.name}-{which}.json"


def _write(index: Index, root: Path) -> Path:
    beside, cached = _places(root)
    try:
        return write_json(beside, index)
    except OSError:
        with disk_refusals(cached.parent, "XDG_CACHE_HOME"):
            cached.parent.mkdir(parents=True, exist_ok=True)
            return write_json(cached, index)


def _read(path: Path) -> Index | None:
    """The index in a file, or None where there is none of this format."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    known = isinstance(content, dict) and content.get("format") == FORMAT and content.keys() >= _FIELDS
    return cast(Index, content) if known else None

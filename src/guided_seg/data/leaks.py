"""Check that training shares no image with validation or test, neither a file nor a copy of one."""

from __future__ import annotations

import filecmp
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

from guided_seg.data.source import Source, reading
from guided_seg.errors import DataError

BEGINNING = 1 << 14
"""Bytes by which files of one size are told apart; only those with equal ones are read to their end."""


def check_unseen(train: Source, other: Source, use: str = "tested") -> None:
    """Raise `DataError` if an image of another split is also in training. Sources without files are not checked.

    Args:
        train: the source of the training split.
        other: that of the other split.
        use: what its images are, for the message.
    """
    trained, others = train.image_files(), other.image_files()
    if both := sorted(trained & others):
        raise DataError(
            f"Training would see {len(both)} images that are {use}, such as {both[0]}; give each split images of its "
            "own (data.whole=true is for evaluation alone)."
        )
    if found := copies(trained, others):
        seen, copy = found[0]
        raise DataError(
            f"Training would see {len(found)} images that are {use}, as copies, such as {seen}, which is the same as "
            f"{copy}; remove one of each two, or put both into one split."
        )


def copies(files: Collection[Path], others: Collection[Path]) -> list[tuple[Path, Path]]:
    """The files that have a copy of equal content among the others, each with one of these.

    Raises:
        DataError: a file cannot be read.
    """
    sizes = {path: _size(path) for path in (*files, *others)}
    shared = {sizes[path] for path in files} & {sizes[path] for path in others}
    alike = defaultdict(list)
    for path in _of_sizes(others, sizes, shared):
        alike[sizes[path], _beginning(path)].append(path)
    found = []
    for path in _of_sizes(files, sizes, shared):
        same = (each for each in alike[sizes[path], _beginning(path)] if _equal(path, each))
        if (copy := next(same, None)) is not None:
            found.append((path, copy))
    return found


def _of_sizes(files: Iterable[Path], sizes: dict[Path, int], wanted: Collection[int]) -> list[Path]:
    return sorted(path for path in files if sizes[path] in wanted)


def _size(path: Path) -> int:
    with reading(path):
        return path.stat().st_size


def _beginning(path: Path) -> bytes:
    with reading(path), path.open("rb") as file:
        return file.read(BEGINNING)


def _equal(one: Path, other: Path) -> bool:
    with reading(one):
        return filecmp.cmp(one, other, shallow=False)

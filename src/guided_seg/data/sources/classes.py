"""Held-out classes: which classes and images each split may use, so that none leaks into training."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from hashlib import sha256

from guided_seg.data.source import SPLITS, Split
from guided_seg.errors import DataError
from guided_seg.files.text import nearest, shown

HeldOut = int | str | Iterable[int | str]
"""Held-out classes: names, one name, or a number of a fold."""

MIXED = ("drop", "background")
"""How train and val use images of open and held-out classes."""


def unknown(what: str, found: object, known: Iterable[object]) -> DataError:
    """The did-you-mean error for an unknown name."""
    names = [str(name) for name in known]
    near = nearest(str(found), names)
    hint = f"did you mean '{near}'? Choose" if near else "choose"
    return DataError(f"There is no {what} {shown(str(found))}; {hint} from {', '.join(names)}.")


def as_split(name: str) -> Split:
    """Check the name of a split. Raises `DataError` unless it is train, val or test."""
    for split in SPLITS:
        if split == name:
            return split
    raise unknown("split", name, SPLITS)


def class_values(held_out: HeldOut, names: Mapping[int, str]) -> set[int]:
    """The label values of the classes in ``held_out``. Raises `DataError` for a name that is not in ``names``.

    Example:
        >>> class_values(["cow"], {1: "cat", 2: "cow"})
        {2}
    """
    values = {name: value for value, name in names.items()}
    wanted = [held_out] if isinstance(held_out, (int, str)) else held_out
    found = set()
    for name in map(str, wanted):
        if name not in values:
            raise unknown("class", name, names.values())
        found.add(values[name])
    return found


def hashed(name: str) -> float:
    """Map a name to 0..1 by a hash, for random splits that never change.

    Example:
        >>> hashed("000000000009") == hashed("000000000009") != hashed("000000000025")
        True
    """
    return int(sha256(name.encode()).hexdigest()[:12], 16) / 16**12


def open_values(split: Split, values: Collection[int], held_out: Collection[int]) -> list[int]:
    """The classes that a split may segment. In train and val, none is held out; in test, only those, if any."""
    if split == "test":
        return sorted(held_out or values)
    return sorted(set(values) - set(held_out))


def open_keys(
    split: Split, counts: Mapping[str, Collection[int]], held_out: Collection[int], mixed: str = "drop"
) -> list[str]:
    """The images that a split may use. In train and val, none has a pixel of a held-out class.

    Args:
        split: the split.
        counts: the label values in each image.
        held_out: the held-out label values.
        mixed: images of open and held-out classes in train and val: ``drop`` excludes them, so that held-out objects
            are never seen; ``background`` keeps them, with held-out objects as negatives (a common rule, Shaban et al.,
            2017, and later). In neither case are held-out labels positive.

    Raises:
        DataError: ``mixed`` is invalid.
    """
    if mixed not in MIXED:
        raise unknown("data.mixed_images", mixed, MIXED)
    if mixed == "background":
        return list(counts)
    return [key for key, values in counts.items() if split == "test" or not set(values) & set(held_out)]

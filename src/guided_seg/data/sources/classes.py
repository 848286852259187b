"""Which classes and images a split may see: held-out classes never reach training or model selection."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from hashlib import sha256

from guided_seg.data.source import SPLITS, Split
from guided_seg.errors import DataError
from guided_seg.files.text import nearest, shown

HeldOut = int | str | Iterable[int | str]
"""Held-out classes: their names, one name, or a number that the source understands."""

MIXED = ("drop", "background")
"""What train and val do with images of open and held-out classes."""


def unknown(what: str, found: object, known: Iterable[object]) -> DataError:
    """The error for a name that does not exist, with the nearest one that does."""
    names = [str(name) for name in known]
    near = nearest(str(found), names)
    hint = f"did you mean '{near}'? Choose" if near else "choose"
    return DataError(f"There is no {what} {shown(str(found))}; {hint} from {', '.join(names)}.")


def as_split(name: str) -> Split:
    """The split of that name. Raises `DataError` unless it is train, val or test."""
    for split in SPLITS:
        if split == name:
            return split
    raise unknown("split", name, SPLITS)


def class_values(held_out: HeldOut, names: Mapping[int, str]) -> set[int]:
    """The label values of the classes in ``held_out``. Raises `DataError` on a name that is not in ``names``.

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
    """The place of a name in 0..1, always the same and as good as random: for splits that do not move.

    Example:
        >>> hashed("000000000009") == hashed("000000000009") != hashed("000000000025")
        True
    """
    return int(sha256(name.encode()).hexdigest()[:12], 16) / 16**12


def open_values(split: Split, values: Collection[int], held_out: Collection[int]) -> list[int]:
    """The classes that a split may segment: train and val none that is held out, test only those, if any."""
    if split == "test":
        return sorted(held_out or values)
    return sorted(set(values) - set(held_out))


def open_keys(
    split: Split, counts: Mapping[str, Collection[int]], held_out: Collection[int], mixed: str = "drop"
) -> list[str]:
    """The images that the split may show: train and val none with a pixel of a held-out class.

    Args:
        split: the split.
        counts: the label values in each image.
        held_out: the label values that are held out.
        mixed: images of open and held-out classes in train and val: ``drop`` leaves them out, so that no such object is
            seen at all; ``background`` keeps them, where held-out objects are negatives like all that is not asked
            for (the rule of much of the field, Shaban et al., 2017, and after). Their labels are positive in neither.

    Raises:
        DataError: ``mixed`` is neither.
    """
    if mixed not in MIXED:
        raise unknown("data.mixed_images", mixed, MIXED)
    if mixed == "background":
        return list(counts)
    return [key for key, values in counts.items() if split == "test" or not set(values) & set(held_out)]

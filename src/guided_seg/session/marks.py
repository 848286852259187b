"""What is annotated on one image, dots and masks; and steps that change it, which can be undone and redone."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from guided_seg.episode import IGNORE

Pixel = tuple[int, int]


@dataclass
class Painted:
    """A compressed label map. The undo history holds many of them."""

    shape: Pixel
    data: bytes
    labels: frozenset[int]

    @classmethod
    def of(cls, labels: UInt8[np.ndarray, "H W"]) -> Painted | None:
        """Compress a label map; None if it annotates nothing."""
        found = frozenset(np.unique(labels).tolist()) - {IGNORE}
        height, width = labels.shape
        return cls((height, width), zlib.compress(labels.tobytes(), 1), found) if found else None

    def map(self) -> UInt8[np.ndarray, "H W"]:
        """The label map, `IGNORE` at pixels without annotation."""
        return np.frombuffer(zlib.decompress(self.data), np.uint8).reshape(self.shape).copy()


@dataclass
class Marks:
    """The dots and masks of an image."""

    dots: dict[Pixel, int] = field(default_factory=dict)
    painted: Painted | None = None
    counts: Counter[int] = field(default_factory=Counter)  # dots per label, for fast lookup

    def has(self, label: int) -> bool:
        """Whether a label is annotated."""
        return self.counts[label] > 0 or (self.painted is not None and label in self.painted.labels)

    def labels(self) -> set[int]:
        """The labels that are annotated."""
        return {*(+self.counts), *(self.painted.labels if self.painted else ())}

    def put(self, pixel: Pixel, label: int | None) -> None:
        """Set the dot at a pixel, or remove it."""
        if (before := self.dots.pop(pixel, None)) is not None:
            self.counts[before] -= 1
        if label is not None:
            self.dots[pixel] = label
            self.counts[label] += 1

    def renumber(self, numbers: UInt8[np.ndarray, "256"]) -> None:
        """Give each label the number that stands at its own."""
        self.dots = {pixel: int(numbers[label]) for pixel, label in self.dots.items()}
        self.counts = Counter(self.dots.values())
        if self.painted:
            self.painted = Painted.of(numbers[self.painted.map()])


class Change(NamedTuple):
    """A dot, or all masks of an image (pixel None), before and after a change."""

    image: str
    pixel: Pixel | None
    before: int | Painted | None
    after: int | Painted | None


class Naming(NamedTuple):
    """The name of a label before and after a change; None where there is no such label.

    A label that comes or goes has no annotations then. Those of the labels behind it get other numbers.
    """

    number: int
    before: str | None
    after: str | None


Step = Sequence[Change | Naming]
"""Changes that are undone together."""


def reverse(step: Step) -> Step:
    """The step that takes a step back."""
    return [change._replace(before=change.after, after=change.before) for change in reversed(step)]  # type: ignore[arg-type]


def in_the_way(step: Step, present: Sequence[str]) -> list[Naming]:
    """How the label came that was added meanwhile and has the name, or the room, that a step needs.

    Nothing is annotated with it: that would have been undone before this step, or would have ended what can be
    redone.

    Args:
        step: to be undone or redone.
        present: the names of the labels that there are.
    """
    names = [change for change in step if isinstance(change, Naming)]
    free = {change.before for change in names}
    for number, name in enumerate(present):
        if name not in free and name in {change.after for change in names}:
            return [Naming(number, None, name)]
    more = sum((change.after is not None) - (change.before is not None) for change in names)
    return [Naming(len(present) - 1, None, present[-1])] if len(present) + more > IGNORE else []

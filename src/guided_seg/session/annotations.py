"""What has been annotated in a session: dots and masks of many images, what each change touches, undo and redo."""

from __future__ import annotations

import zlib
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from guided_seg.episode import IGNORE

Pixel = tuple[int, int]


@dataclass
class Painted:
    """A label map in few bytes, as undo keeps many of them."""

    shape: Pixel
    data: bytes
    labels: frozenset[int]

    @classmethod
    def of(cls, labels: UInt8[np.ndarray, "H W"]) -> Painted | None:
        """None where nothing is annotated."""
        found = frozenset(np.unique(labels).tolist()) - {IGNORE}
        height, width = labels.shape
        return cls((height, width), zlib.compress(labels.tobytes(), 1), found) if found else None

    def map(self) -> UInt8[np.ndarray, "H W"]:
        """A label per pixel, `IGNORE` where none is annotated."""
        return np.frombuffer(zlib.decompress(self.data), np.uint8).reshape(self.shape).copy()


class _Change(NamedTuple):
    """One dot, or the masks of an image as a whole (pixel None), before and after."""

    image: str
    pixel: Pixel | None
    before: int | Painted | None
    after: int | Painted | None


@dataclass
class _Image:
    dots: dict[Pixel, int] = field(default_factory=dict)
    painted: Painted | None = None
    counts: Counter[int] = field(default_factory=Counter)  # of dots, so that what has a label is known at once

    def has(self, label: int) -> bool:
        return self.counts[label] > 0 or (self.painted is not None and label in self.painted.labels)

    def labels(self) -> set[int]:
        return {*(+self.counts), *(self.painted.labels if self.painted else ())}

    def put(self, pixel: Pixel, label: int | None) -> None:
        if (before := self.dots.pop(pixel, None)) is not None:
            self.counts[before] -= 1
        if label is not None:
            self.dots[pixel] = label
            self.counts[label] += 1


class Annotations:
    """Dots and masks by image. A dot lies over masks, and a mask over earlier masks and dots.

    Every change has a number; `changed` tells the last one that touched a label, so that what was computed from it is
    known to be old. Undo brings the same annotations back, not an approximation.

    Args:
        together: a change of one label touches all others of its image.
        history: how many steps can be undone; what is older is forgotten, so memory does not grow with edits.
    """

    def __init__(self, together: bool = False, history: int = 1000) -> None:
        self.together = together
        self._images: dict[str, _Image] = {}
        self._clock = 0
        self._labels: dict[int, int] = {}
        self._parts: dict[tuple[str, int], int] = {}
        self._done: deque[list[_Change]] = deque(maxlen=history)
        self._undone: list[list[_Change]] = []

    @property
    def clock(self) -> int:
        """The number of the last change."""
        return self._clock

    def changed(self, label: int, image: str | None = None) -> int:
        """The number of the last change of a label, anywhere or in one image; 0 where there was none."""
        return self._labels.get(label, 0) if image is None else self._parts.get((image, label), 0)

    def images(self, label: int | None = None) -> list[str]:
        """The annotated images in the order in which they came, or those with some label."""
        return [name for name, own in self._images.items() if (own.labels() if label is None else own.has(label))]

    def labels(self, image: str) -> frozenset[int]:
        """The labels that are annotated in an image."""
        return frozenset(self._images[image].labels()) if image in self._images else frozenset()

    def knows(self, image: str) -> bool:
        """Whether an image is annotated, or was."""
        return image in self._images

    def points(self, image: str) -> list[tuple[int, int, int]]:
        """The dots of an image, rows of (row, column, label), in an order that does not depend on how they came."""
        return [(*pixel, label) for pixel, label in sorted(self._images.get(image, _Image()).dots.items())]

    def mask(self, image: str) -> UInt8[np.ndarray, "H W"] | None:
        """All of an image's annotation as a label map, dots included; None where it has nothing but dots."""
        labels = self.painted(image)
        if labels is not None:
            for row, column, label in self.points(image):
                labels[row, column] = label
        return labels

    def painted(self, image: str) -> UInt8[np.ndarray, "H W"] | None:
        """An image's masks as a label map; None where it has none."""
        painted = self._images.get(image, _Image()).painted
        return painted.map() if painted else None

    # ---- changes ----

    def dot(self, image: str, pixel: Pixel, label: int | None) -> None:
        """Set a dot, in place of one that is there; None takes it away."""
        self._do([self._dot(image, pixel, label)])

    def move(self, image: str, start: Pixel, end: Pixel) -> None:
        """Move the dot at ``start``; one at ``end`` gives way."""
        label = self._images[image].dots[start]
        if start != end:
            self._do([self._dot(image, start, None), self._dot(image, end, label)])

    def paint(self, image: str, pixels: Bool[np.ndarray, "H W"], label: int) -> None:
        """Give all ``pixels`` a label; dots that lie there are painted over."""
        own = self._images.get(image, _Image())
        labels = own.painted.map() if own.painted else np.full(pixels.shape, IGNORE, np.uint8)
        labels[pixels] = label
        over = [self._dot(image, pixel, None) for pixel in own.dots if pixels[pixel]]
        self._do([*over, _Change(image, None, own.painted, Painted.of(labels))])

    def clear(self, images: Iterable[str]) -> None:
        """Take all annotation of these images away, as one step."""
        steps: list[_Change] = []
        for name in images:
            if own := self._images.get(name):
                steps += [self._dot(name, pixel, None) for pixel in own.dots]
                steps += [_Change(name, None, own.painted, None)] if own.painted else []
        self._do(steps)

    def undo(self) -> bool:
        """Take the last step back; False where there is none."""
        if not self._done:
            return False
        step = self._done.pop()
        self._undone.append(step)
        self._apply([_Change(c.image, c.pixel, c.after, c.before) for c in reversed(step)])
        return True

    def redo(self) -> bool:
        """Do again what was undone last; False where there is nothing, or something else was done since."""
        if not self._undone:
            return False
        step = self._undone.pop()
        self._done.append(step)
        self._apply(step)
        return True

    def forget_history(self) -> None:
        """Begin anew what can be undone."""
        self._done.clear()
        self._undone.clear()

    def _dot(self, image: str, pixel: Pixel, label: int | None) -> _Change:
        own = self._images.get(image)
        return _Change(image, pixel, own.dots.get(pixel) if own else None, label)

    def _do(self, step: Sequence[_Change]) -> None:
        step = [change for change in step if change.before != change.after]
        if step:
            self._done.append(step)
            self._undone.clear()
            self._apply(step)

    def _apply(self, step: Sequence[_Change]) -> None:
        for change in step:
            own = self._images.setdefault(change.image, _Image())
            before = own.labels() if self._touches_all(own, change) else set()
            if change.pixel is None:
                assert not isinstance(change.after, int)
                own.painted = change.after
            else:
                assert not isinstance(change.after, Painted)
                own.put(change.pixel, change.after)
            after = own.labels() if self._touches_all(own, change) else set()
            single = {label for label in (change.before, change.after) if isinstance(label, int)}
            self._touch(change.image, before | after | single)

    def _touches_all(self, own: _Image, change: _Change) -> bool:
        """A dot over a mask takes a pixel from another label."""
        return self.together or change.pixel is None or own.painted is not None

    def _touch(self, image: str, labels: Iterable[int]) -> None:
        self._clock += 1
        for label in labels:
            self._labels[label] = self._parts[image, label] = self._clock

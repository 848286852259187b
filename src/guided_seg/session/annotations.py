"""The annotations of a session: labels, dots and masks by image, change tracking, undo and redo."""

from __future__ import annotations

import zlib
from collections import ChainMap, Counter, deque
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

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


class _Change(NamedTuple):
    """A dot, or all masks of an image (pixel None), before and after a change."""

    image: str
    pixel: Pixel | None
    before: int | Painted | None
    after: int | Painted | None


class _Naming(NamedTuple):
    """The name of a label before and after a change; None where there is no such label.

    A label that comes or goes has no annotations then. Those of the labels behind it get other numbers.
    """

    number: int
    before: str | None
    after: str | None


_Step = Sequence[_Change | _Naming]
"""Changes that are undone together."""


@dataclass
class _Image:
    dots: dict[Pixel, int] = field(default_factory=dict)
    painted: Painted | None = None
    counts: Counter[int] = field(default_factory=Counter)  # dots per label, for fast lookup

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

    def renumber(self, numbers: UInt8[np.ndarray, "256"]) -> None:
        """Give each label the number that stands at its own."""
        self.dots = {pixel: int(numbers[label]) for pixel, label in self.dots.items()}
        self.counts = Counter(self.dots.values())
        if self.painted:
            self.painted = Painted.of(numbers[self.painted.map()])


class Annotations:
    """Labels, and dots and masks by image. Dots lie on top of masks; a new mask covers earlier masks and dots.

    Changes are numbered. `changed` gives the number of the last change of a label in an image, so that caches can
    detect stale results. Undo restores the annotations exactly.

    Args:
        together: a change of one label counts as a change of every label of the image.
        history: number of steps that can be undone. Older steps are dropped, which bounds memory.

    Attributes:
        names: of the labels, by number. One more may be appended at any time, which is no step.
    """

    def __init__(self, together: bool = False, history: int = 1000) -> None:
        self.together = together
        self.names: list[str] = []
        self._images: MutableMapping[str, _Image] = {}
        self._clock = 0
        self._changed: dict[tuple[str, int], int] = {}
        self._done: deque[_Step] = deque(maxlen=history)
        self._undone: list[_Step] = []

    @property
    def clock(self) -> int:
        """The number of the last change."""
        return self._clock

    def changed(self, label: int, image: str) -> int | None:
        """The number of the last change of a label in an image; 0 if there was none."""
        return self._changed.get((image, label), 0)

    def images(self, label: int | None = None) -> list[str]:
        """The annotated images, or those that annotate one label, in the order of their first annotation."""
        return [name for name, own in self._images.items() if (own.labels() if label is None else own.has(label))]

    def labels(self, image: str) -> frozenset[int]:
        """The labels annotated in an image."""
        return frozenset(self._images[image].labels()) if image in self._images else frozenset()

    def knows(self, image: str) -> bool:
        """Whether an image is, or ever was, annotated."""
        return image in self._images

    def points(self, image: str) -> list[tuple[int, int, int]]:
        """The dots of an image as (row, column, label), sorted, so that the order of edits does not matter."""
        return [(*pixel, label) for pixel, label in sorted(self._images.get(image, _Image()).dots.items())]

    def mask(self, image: str) -> UInt8[np.ndarray, "H W"] | None:
        """The masks of an image as a label map, with its dots drawn in; None if it has no masks."""
        labels = self.painted(image)
        if labels is not None:
            for row, column, label in self.points(image):
                labels[row, column] = label
        return labels

    def painted(self, image: str) -> UInt8[np.ndarray, "H W"] | None:
        """The masks of an image as a label map, without its dots; None if it has no masks."""
        painted = self._images.get(image, _Image()).painted
        return painted.map() if painted else None

    def supposing(self, image: str, pixel: Pixel, label: int) -> Supposed:
        """The annotations as they would be with one more dot. These here stay as they are."""
        return Supposed(self, image, pixel, label)

    # ---- changes ----

    def dot(self, image: str, pixel: Pixel, label: int | None) -> None:
        """Set the dot at a pixel, replacing any other; a label of None removes it."""
        self._do([self._dot(image, pixel, label)])

    def dots(self, image: str, dots: Mapping[Pixel, int]) -> None:
        """Set the dots at several pixels as one step, each replacing any other."""
        self._do([self._dot(image, pixel, label) for pixel, label in dots.items()])

    def move(self, image: str, start: Pixel, end: Pixel) -> None:
        """Move the dot at ``start``, replacing any dot at ``end``."""
        label = self._images[image].dots[start]
        if start != end:
            self._do([self._dot(image, start, None), self._dot(image, end, label)])

    def paint(self, image: str, pixels: Bool[np.ndarray, "H W"], label: int) -> None:
        """Label all ``pixels`` and remove the dots there."""
        own = self._images.get(image, _Image())
        labels = own.painted.map() if own.painted else np.full(pixels.shape, IGNORE, np.uint8)
        labels[pixels] = label
        over = [self._dot(image, pixel, None) for pixel in own.dots if pixels[pixel]]
        self._do([*over, _Change(image, None, own.painted, Painted.of(labels))])

    def clear(self, images: Iterable[str]) -> None:
        """Remove all annotations of these images, as one step."""
        steps: list[_Change] = []
        for name in images:
            if own := self._images.get(name):
                steps += [self._dot(name, pixel, None) for pixel in own.dots]
                steps += [_Change(name, None, own.painted, None)] if own.painted else []
        self._do(steps)

    def rename(self, label: int, name: str) -> None:
        """Give a label another name, which no other has."""
        self._do([_Naming(label, self.names[label], name)])

    def remove_label(self, label: int) -> None:
        """Remove a label with all its dots and masks. The labels behind it move up by one number."""
        steps: list[_Change | _Naming] = []
        for name in self.images(label):
            own = self._images[name]
            steps += [self._dot(name, pixel, None) for pixel, number in own.dots.items() if number == label]
            if own.painted and label in own.painted.labels:
                labels = own.painted.map()
                labels[labels == label] = IGNORE
                steps.append(_Change(name, None, own.painted, Painted.of(labels)))
        self._do([*steps, _Naming(label, self.names[label], None)])

    def follow(self, other: Annotations) -> None:
        """Take over the annotations of another. Only what differs counts as changed; the undo history is cleared."""
        self.names = list(other.names)
        steps: list[_Change] = []
        for name in {**self._images, **other._images}:
            own, new = self._images.get(name, _Image()), other._images.get(name, _Image())
            steps += [self._dot(name, pixel, new.dots.get(pixel)) for pixel in {**own.dots, **new.dots}]
            steps.append(_Change(name, None, own.painted, new.painted))
        self._do(steps)
        self.forget_history()

    def undo(self) -> bool:
        """Undo the last step; False if there is none.

        A label that was added since goes, if one that comes back needs its name. Redo brings it again.
        """
        if not self._done:
            return False
        step = self._done.pop()
        step = [*step, *self._in_the_way(_reversed(step))]
        self._undone.append(step)
        self._apply(_reversed(step))
        return True

    def redo(self) -> bool:
        """Redo the step undone last; False if there is none, or annotations changed since. See `undo` for labels."""
        if not self._undone:
            return False
        step = self._undone.pop()
        step = [*_reversed(self._in_the_way(step)), *step]
        self._done.append(step)
        self._apply(step)
        return True

    def _in_the_way(self, step: _Step) -> list[_Naming]:
        """How the label came that was added meanwhile and has the name, or the room, that a step needs.

        Nothing is annotated with it: that would have been undone before this step, or would have ended what can be
        redone.
        """
        names = [change for change in step if isinstance(change, _Naming)]
        free = {change.before for change in names}
        for number, name in enumerate(self.names):
            if name not in free and name in {change.after for change in names}:
                return [_Naming(number, None, name)]
        more = sum((change.after is not None) - (change.before is not None) for change in names)
        return [_Naming(len(self.names) - 1, None, self.names[-1])] if len(self.names) + more > IGNORE else []

    @property
    def steps(self) -> tuple[int, int]:
        """The number of steps that can be undone, and redone."""
        return len(self._done), len(self._undone)

    def forget_history(self) -> None:
        """Clear the undo history."""
        self._done.clear()
        self._undone.clear()

    def _dot(self, image: str, pixel: Pixel, label: int | None) -> _Change:
        own = self._images.get(image)
        return _Change(image, pixel, own.dots.get(pixel) if own else None, label)

    def _do(self, step: _Step) -> None:
        step = [change for change in step if change.before != change.after]
        if step:
            self._done.append(step)
            self._undone.clear()
            self._apply(step)

    def _apply(self, step: _Step) -> None:
        for change in step:
            if isinstance(change, _Naming):
                self._name(change)
                continue
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

    def _name(self, change: _Naming) -> None:
        number, before, after = change
        numbers = np.arange(256, dtype=np.uint8)
        if before is not None and after is not None:
            self.names[number] = after
            return
        if after is None:
            del self.names[number]
            numbers[number + 1 : IGNORE] -= 1
        else:
            self.names.insert(number, after)
            numbers[number:IGNORE] += 1
        for name, own in self._images.items():
            own.renumber(numbers)
            self._touch(name, range(len(self.names) + 1))
        self._clock += 1  # what was seen before has other numbers, also where nothing is annotated

    def _touches_all(self, own: _Image, change: _Change) -> bool:
        """Whether a change can affect every label of its image: a dot on a mask takes a pixel from another label."""
        return self.together or change.pixel is None or own.painted is not None

    def _touch(self, image: str, labels: Iterable[int]) -> None:
        self._clock += 1
        for label in labels:
            self._changed[image, label] = self._clock


def _reversed(step: _Step) -> _Step:
    """The step that takes a step back."""
    return [change._replace(before=change.after, after=change.before) for change in reversed(step)]  # type: ignore[arg-type]


class Supposed(Annotations):
    """Other annotations with one more dot, which share everything else with them.

    What the dot changes has no number, so that caches keep no result of it.

    Args:
        base: the other annotations. They must not change while these are in use.
        image: id of the image of the dot.
        pixel: row and column of the dot.
        label: its label.
    """

    def __init__(self, base: Annotations, image: str, pixel: Pixel, label: int) -> None:
        super().__init__(base.together)
        own = base._images.get(image, _Image())
        # its own copy of the image; a chain keeps the order of the images
        own = replace(own, dots=dict(own.dots), counts=Counter(own.counts))
        self._images = ChainMap({image: own}, base._images)
        self._changed, self._affected = base._changed, set[tuple[str, int]]()
        self.dot(image, pixel, label)

    def changed(self, label: int, image: str) -> int | None:
        """See `Annotations.changed`; None where the dot changes something."""
        return None if (image, label) in self._affected else super().changed(label, image)

    def _touch(self, image: str, labels: Iterable[int]) -> None:
        self._affected.update((image, label) for label in labels)

"""The annotations of a session: labels, dots and masks by image, change tracking, undo and redo."""

from __future__ import annotations

from collections import ChainMap, Counter, deque
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, UInt8

from guided_seg.episode import IGNORE
from guided_seg.session.marks import Change, Marks, Naming, Painted, Pixel, Step, in_the_way, reverse


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
        self._images: MutableMapping[str, Marks] = {}
        self._clock = 0
        self._changed: dict[tuple[str, int], int] = {}
        self._done: deque[Step] = deque(maxlen=history)
        self._undone: list[Step] = []

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
        return [(*pixel, label) for pixel, label in sorted(self._images.get(image, Marks()).dots.items())]

    def mask(self, image: str) -> UInt8[np.ndarray, "H W"] | None:
        """The masks of an image as a label map, with its dots drawn in; None if it has no masks."""
        labels = self.painted(image)
        if labels is not None:
            for row, column, label in self.points(image):
                labels[row, column] = label
        return labels

    def painted(self, image: str) -> UInt8[np.ndarray, "H W"] | None:
        """The masks of an image as a label map, without its dots; None if it has no masks."""
        painted = self._images.get(image, Marks()).painted
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
        own = self._images.get(image, Marks())
        labels = own.painted.map() if own.painted else np.full(pixels.shape, IGNORE, np.uint8)
        labels[pixels] = label
        over = [self._dot(image, pixel, None) for pixel in own.dots if pixels[pixel]]
        self._do([*over, Change(image, None, own.painted, Painted.of(labels))])

    def clear(self, images: Iterable[str]) -> None:
        """Remove all annotations of these images, as one step."""
        steps: list[Change] = []
        for name in images:
            if own := self._images.get(name):
                steps += [self._dot(name, pixel, None) for pixel in own.dots]
                steps += [Change(name, None, own.painted, None)] if own.painted else []
        self._do(steps)

    def rename(self, label: int, name: str) -> None:
        """Give a label another name, which no other has."""
        self._do([Naming(label, self.names[label], name)])

    def remove_label(self, label: int) -> None:
        """Remove a label with all its dots and masks. The labels behind it move up by one number."""
        steps: list[Change | Naming] = []
        for name in self.images(label):
            own = self._images[name]
            steps += [self._dot(name, pixel, None) for pixel, number in own.dots.items() if number == label]
            if own.painted and label in own.painted.labels:
                labels = own.painted.map()
                labels[labels == label] = IGNORE
                steps.append(Change(name, None, own.painted, Painted.of(labels)))
        self._do([*steps, Naming(label, self.names[label], None)])

    def follow(self, other: Annotations) -> None:
        """Take over the annotations of another. Only what differs counts as changed; the undo history is cleared."""
        self.names = list(other.names)
        steps: list[Change] = []
        for name in {**self._images, **other._images}:
            own, new = self._images.get(name, Marks()), other._images.get(name, Marks())
            steps += [self._dot(name, pixel, new.dots.get(pixel)) for pixel in {**own.dots, **new.dots}]
            steps.append(Change(name, None, own.painted, new.painted))
        self._do(steps)
        self.forget_history()

    def undo(self) -> bool:
        """Undo the last step; False if there is none.

        A label that was added since goes, if one that comes back needs its name. Redo brings it again.
        """
        if not self._done:
            return False
        step = self._done.pop()
        step = [*step, *in_the_way(reverse(step), self.names)]
        self._undone.append(step)
        self._apply(reverse(step))
        return True

    def redo(self) -> bool:
        """Redo the step undone last; False if there is none, or annotations changed since. See `undo` for labels."""
        if not self._undone:
            return False
        step = self._undone.pop()
        step = [*reverse(in_the_way(step, self.names)), *step]
        self._done.append(step)
        self._apply(step)
        return True

    @property
    def steps(self) -> tuple[int, int]:
        """The number of steps that can be undone, and redone."""
        return len(self._done), len(self._undone)

    def forget_history(self) -> None:
        """Clear the undo history."""
        self._done.clear()
        self._undone.clear()

    def _dot(self, image: str, pixel: Pixel, label: int | None) -> Change:
        own = self._images.get(image)
        return Change(image, pixel, own.dots.get(pixel) if own else None, label)

    def _do(self, step: Step) -> None:
        step = [change for change in step if change.before != change.after]
        if step:
            self._done.append(step)
            self._undone.clear()
            self._apply(step)

    def _apply(self, step: Step) -> None:
        for change in step:
            if isinstance(change, Naming):
                self._name(change)
                continue
            own = self._images.setdefault(change.image, Marks())
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

    def _name(self, change: Naming) -> None:
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

    def _touches_all(self, own: Marks, change: Change) -> bool:
        """Whether a change can affect every label of its image: a dot on a mask takes a pixel from another label."""
        return self.together or change.pixel is None or own.painted is not None

    def _touch(self, image: str, labels: Iterable[int]) -> None:
        self._clock += 1
        for label in labels:
            self._changed[image, label] = self._clock


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
        own = base._images.get(image, Marks())
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

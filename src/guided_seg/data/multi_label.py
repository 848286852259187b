"""Choose objects or classes for tasks with several positive labels, from the tables of a source."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from guided_seg.data.source import Mode, Target

T = TypeVar("T")
V = TypeVar("V")


class MultiLabel:
    """Chooses objects or classes for tasks with K - 1 > 1 positive labels, or fewer if there are not enough.

    *Interactive:* objects of one image. *Video:* objects of one video that appear together in the frame to annotate.
    *Semantic:* classes; the query contains at least two of them if possible, and the support contains all.

    Args:
        objects: each object of each image, by group name.
        classes: class name -> its images; a class has one value in all of them. Classes with the same value, as in data
            where every image has one object with value 1, never form a task.
        videos: object name -> its frames.
    """

    def __init__(
        self,
        objects: Sequence[tuple[str, Target]],
        classes: Mapping[str, Sequence[Target]],
        videos: Mapping[str, Sequence[Target]],
    ) -> None:
        self._in_image = _gather((target.key, (group, target)) for group, target in objects)
        self._frames = {group: tuple(target.key for target in targets) for group, targets in videos.items()}
        self._in_video = _gather((frames, group) for group, frames in self._frames.items())
        self._classes = classes
        self._value = {group: targets[0].value for group, targets in classes.items()}
        self._shown = _gather((target.key, group) for group, targets in classes.items() for target in targets)

    def most(self, mode: Mode) -> int:
        """The largest possible number of positive labels per task."""
        if mode == "semantic":
            return len(set(self._value.values()))
        together = self._in_image.values() if mode == "interactive" else self._in_video.values()
        return max(map(len, together), default=0)

    def draw_objects(self, key: Hashable, number: int, rng: np.random.Generator) -> list[tuple[str, Target]]:
        """Up to ``number`` random objects of the image ``key``."""
        return _shuffled(self._in_image[key], rng)[:number]

    def all_objects(self, number: int) -> list[list[tuple[str, Target]]]:
        """Group all objects of every image, up to ``number`` per group; each occurs once."""
        return [part for found in self._in_image.values() for part in _parts(found, number)]

    def draw_video(self, group: str, number: int, rng: np.random.Generator) -> list[str]:
        """Up to ``number`` random objects that share frames with ``group``."""
        return _shuffled(self._in_video[self._frames[group]], rng)[:number]

    def all_videos(self, number: int) -> list[list[str]]:
        """Group all objects of every video, up to ``number`` per group; each occurs once."""
        return [part for found in self._in_video.values() for part in _parts(found, number)]

    def draw_query(self, group: str, rng: np.random.Generator) -> Hashable:
        """A random image of a class, preferably one with another class."""
        keys = [target.key for target in self._classes[group]]
        keys = self._rich(keys) or keys
        return keys[int(rng.integers(len(keys)))]

    def all_queries(self) -> list[Hashable]:
        """Every image with at least two classes; every image if there is none."""
        return self._rich(self._shown) or list(self._shown)

    def draw_classes(
        self, query: Hashable, number: int, rng: np.random.Generator, first: str | None = None
    ) -> list[str]:
        """``number`` classes in random order: ``first``, others in the query, then any."""
        shown = _shuffled(self._shown[query], rng)
        others = _shuffled([group for group in self._classes if group not in shown], rng)
        chosen: dict[int, str] = {}
        for group in [*([first] if first else []), *shown, *others]:
            chosen.setdefault(self._value[group], group)
        return _shuffled(list(chosen.values())[:number], rng)

    def draw_support(
        self, groups: Sequence[str], query: Hashable, shots: int, rng: np.random.Generator
    ) -> list[Hashable]:
        """``shots`` images of each class in turn. No image repeats while others are left."""
        orders = [_shuffled([t.key for t in self._classes[group] if t.key != query], rng) for group in groups]
        support: list[Hashable] = []
        for _ in range(min(shots, *map(len, orders))):
            for order in orders:
                key = next((key for key in order if key not in support), order[0])
                order.remove(key)
                support.append(key)
        return support

    def _rich(self, keys: Iterable[Hashable]) -> list[Hashable]:
        return [key for key in keys if len(self._shown[key]) > 1]


def _gather(pairs: Iterable[tuple[Hashable, V]]) -> dict[Hashable, list[V]]:
    found: dict[Hashable, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def _parts(found: Sequence[T], number: int) -> list[list[T]]:
    return [list(found[i : i + number]) for i in range(0, len(found), number)]


def _shuffled(found: Sequence[T], rng: np.random.Generator) -> list[T]:
    return [found[i] for i in rng.permutation(len(found))]

"""Base class of sources with tables of objects in images, images of classes, and frames of videos."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from guided_seg.data.multi_label import MultiLabel
from guided_seg.data.source import MODES, Mode, Source, Target, Task, View
from guided_seg.errors import DataError


class IndexedSource(Source):
    """A source with tasks from three tables, which a subclass builds once.

    Args:
        name: for messages and meta.
        objects: interactive: each object of each image, by group name.
        classes: semantic: class name -> its images.
        videos: video: object name -> frames in time order, from its first appearance.
        balance: class-balanced sampling in training: 1 for equal frequency, 0 in proportion to the number of images,
            0.5 to its square root.

    Raises:
        DataError: the balance is outside 0 to 1.
    """

    def __init__(
        self,
        name: str,
        objects: Sequence[tuple[str, Target]],
        classes: Mapping[str, Sequence[Target]],
        videos: Mapping[str, Sequence[Target]],
        balance: float = 1.0,
    ) -> None:
        if not 0 <= balance <= 1:
            raise DataError(f"data.balance={balance}: expected a number from 0, as the images fall, to 1, all alike.")
        self.name = name
        self.objects = list(objects)
        # a class in only one image, or an object in only one frame, leaves no query for its support
        self.classes = {group: list(targets) for group, targets in classes.items() if len(targets) > 1}
        self.videos = {group: list(targets) for group, targets in videos.items() if len(targets) > 1}
        tables = {"interactive": self.objects, "semantic": self.classes, "video": self.videos}
        self.modes = tuple(mode for mode in MODES if tables[mode])
        self._shown = {
            mode: {group: [i for i, t in enumerate(targets) if t.visible] for group, targets in table.items()}
            for mode, table in (("semantic", self.classes), ("video", self.videos))
        }
        self._bounds = {
            "semantic": _bounds([len(targets) ** (1 - balance) for targets in self.classes.values()]),
            "video": _bounds([1.0] * len(self.videos)),
        }
        self._multi_label = MultiLabel(self.objects, self.classes, self.videos)
        self._posed: dict[tuple[Mode, int], Sequence[Any]] = {
            ("interactive", 1): [[named] for named in self.objects],
            ("semantic", 1): [([group], i) for group, targets in self.classes.items() for i in range(len(targets))],
            ("video", 1): [([group], i) for group, targets in self.videos.items() for i in range(1, len(targets))],
        }

    def most(self, mode: Mode) -> int:
        """See `Source.most`."""
        return self._multi_label.most(mode)

    def targets(self) -> list[Target]:
        """See `Source.targets`."""
        several = [targets for table in (self.classes, self.videos) for targets in table.values()]
        return list(dict.fromkeys(target for targets in ([t for _, t in self.objects], *several) for target in targets))

    def donor(self, groups: Sequence[str], rng: np.random.Generator, alike: bool = False) -> Target | None:
        """See `Source.donor`. Choose a random group, then one of its objects."""
        others = [group for group in self._donors if alike or group not in groups]
        if not others:
            return None
        found = self._donors[others[int(rng.integers(len(others)))]]
        return found[int(rng.integers(len(found)))]

    @cached_property
    def _donors(self) -> dict[str, list[Target]]:
        """Candidates to paste: objects, or classes or videos if there are none."""
        several = self.classes or self.videos
        named = self.objects or [(group, target) for group, found in several.items() for target in found]
        donors: dict[str, list[Target]] = {}
        for group, target in named:
            if target.visible:
                donors.setdefault(group, []).append(target)
        return donors

    def image_keys(self) -> list[Hashable]:
        """See `Source.image_keys`."""
        return list(dict.fromkeys(target.key for target in self.targets()))

    def sample(self, mode: Mode, shots: int, rng: np.random.Generator, objects: int = 1) -> Task:
        """A random task. Chooses a random object; or a class (see ``balance``) or video, then an image of it."""
        self.require(mode)
        if mode == "interactive":
            named = self.objects[rng.integers(len(self.objects))]
            return _objects([named] if objects == 1 else self._multi_label.draw_objects(named[1].key, objects, rng))
        table = self.classes if mode == "semantic" else self.videos
        group = list(table)[np.searchsorted(self._bounds[mode], rng.random(), "right")]
        if objects == 1:
            return self._draw([group], table, self._shown[mode][group], shots, rng)
        if mode == "semantic":
            return self._classes(self._multi_label.draw_query(group, rng), shots, rng, objects, group)
        groups = self._multi_label.draw_video(group, objects, rng)
        shown = [i for i, row in enumerate(_rows(groups, table)) if all(target.visible for target in row)]
        return self._draw(groups, table, shown, shots, rng)

    def _draw(
        self,
        groups: Sequence[str],
        table: Mapping[str, Sequence[Target]],
        shown: Sequence[int],
        shots: int,
        rng: np.random.Generator,
    ) -> Task:
        """Choose a random query and random support images, all among ``shown``."""
        rows = _rows(groups, table)
        chosen = [shown[i] for i in rng.choice(len(shown), size=min(shots + 1, len(shown)), replace=False)]
        query = (chosen[0] + rng.integers(1, len(rows))) % len(rows)  # any image except the first shot
        support = [i for i in chosen if i != query]
        return _task(groups, rows[query], [rows[i] for i in support[:shots]])

    def _classes(
        self, query: Hashable, shots: int, rng: np.random.Generator, objects: int, first: str | None = None
    ) -> Task:
        groups = self._multi_label.draw_classes(query, objects, rng, first)
        keys = [query, *self._multi_label.draw_support(groups, query, shots, rng)]
        rows = [[Target(key, self.classes[group][0].value) for group in groups] for key in keys]
        return _task(groups, rows[0], rows[1:], len(groups))

    def count(self, mode: Mode, objects: int = 1) -> int:
        """One task per object (interactive), per image of a class (semantic), per frame after the first (video).

        With several objects: one task per image, or as many as contain all its objects (interactive); per image of
        several classes (semantic); per frame after the first for the objects that appear together (video).
        """
        self.require(mode)
        return len(self._fixed(mode, objects))

    def _fixed(self, mode: Mode, objects: int) -> Sequence[Any]:
        """The subjects of the fixed tasks."""
        if (mode, objects) not in self._posed:
            several, length = self._multi_label, {group: len(targets) for group, targets in self.videos.items()}
            together: dict[Mode, Sequence[Any]] = {
                "interactive": several.all_objects(objects),
                "semantic": several.all_queries(),
                "video": [(gs, i) for gs in several.all_videos(objects) for i in range(1, length[gs[0]])],
            }
            self._posed[mode, objects] = together[mode]
        return self._posed[mode, objects]

    def fixed(self, mode: Mode, index: int, shots: int, rng: np.random.Generator, objects: int = 1) -> Task:
        """The task ``index``. In video, the support starts with the first frame, then halves the gaps in time."""
        self.require(mode)
        asked = self._fixed(mode, objects)[index]
        if mode == "interactive":
            return _objects(asked)
        if mode == "semantic" and objects > 1:
            return self._classes(asked, shots, rng, objects)
        groups, query = asked
        rows = _rows(groups, self.classes if mode == "semantic" else self.videos)
        if mode == "semantic":
            others = [i for i in rng.permutation(len(rows)).tolist() if i != query]
        else:
            others = [i for i in halving_order(len(rows)) if any(target.visible for target in rows[i])]
        return _task(groups, rows[query], [rows[i] for i in others[:shots]])


def halving_order(length: int) -> list[int]:
    """0, then the middle, the quarters, the eighths ...: for every S, the first S entries are spread over time.

    Example:
        >>> halving_order(8)
        [0, 4, 2, 6, 1, 3, 5, 7]
    """
    order, step = [0], 1
    while step < length:
        step *= 2
    while step > 1:
        order += range(step // 2, length, step)
        step //= 2
    return order[:length]


def _bounds(weights: Sequence[float]) -> np.ndarray:
    """Boundaries that divide 0 to 1 in proportion to the weights."""
    total = np.cumsum(weights)
    return total[:-1] / total[-1] if len(total) else total


def _rows(groups: Sequence[str], table: Mapping[str, Sequence[Target]]) -> list[tuple[Target, ...]]:
    """For each shared image of ``groups``, the target of each group."""
    return list(zip(*(table[group] for group in groups), strict=True))


def _objects(named: Sequence[tuple[str, Target]]) -> Task:
    """The interactive task for some objects of one image."""
    row = [target for _, target in named]
    return _task([group for group, _ in named], row, [row])


def _task(groups: Sequence[str], query: Sequence[Target], support: Sequence[Sequence[Target]], ways: int = 1) -> Task:
    return Task(_view(query), tuple(_view(row) for row in support), tuple(groups), ways)


def _view(row: Sequence[Target]) -> View:
    key = row[0].key
    values = tuple(target.value for target in row)
    return View(key, values, {"image": str(key.name if isinstance(key, Path) else key)})

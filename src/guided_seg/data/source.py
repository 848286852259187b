"""Source: labelled images and videos, and the tasks that can be posed on them.

A source is bound to one split. It knows which tasks exist in each mode (who is the query, who the support, which
label value is positive) and loads images with their label maps; it knows nothing of dots, tensors or models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import UInt8

from guided_seg.data.several import Several
from guided_seg.episode import Meta
from guided_seg.errors import UserError

Mode = Literal["interactive", "semantic", "video"]
MODES: tuple[Mode, ...] = get_args(Mode)
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


class DataError(UserError):
    """Data that cannot be used; the message says what was found, what was expected and what to do."""


class BrokenFile(DataError):
    """One file that cannot be read; a long run skips and counts it instead of stopping."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An image and its label map as numpy arrays: RGB uint8 ``[H, W, 3]`` and uint8 ``[H, W]``, 255 = void."""

    image: UInt8[np.ndarray, "H W 3"]
    labels: UInt8[np.ndarray, "H W"]


@dataclass(frozen=True, slots=True)
class View:
    """One labelled image as a task sees it.

    Attributes:
        key: what `Source.load` takes.
        values: the values of the label map that are positive; they become labels 1, 2, ... in this order, void
            stays ignored and everything else is negative.
        meta: image, class, instance, video and frame ids.
    """

    key: Hashable
    values: tuple[int, ...]
    meta: Meta = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """Who is segmented, shown by whom.

    Attributes:
        query: the image to segment.
        support: the annotated images, in order; the first S x ``ways`` of them make the S-shot task. In interactive
            mode it is the query itself and nothing else.
        groups: the class or object that IoU is grouped by, for each of the query's values.
        ways: how many images of the support make one shot. Several classes are shown by an image of each, so that
            every shot shows them all; otherwise 1.
    """

    query: View
    support: tuple[View, ...]
    groups: tuple[str, ...]
    ways: int = 1

    @property
    def group(self) -> str:
        """The names of all that is segmented."""
        return " + ".join(self.groups)


class Source(ABC):
    """Labelled images of one split. Subclasses fill in the tasks of each mode that they support."""

    name: str
    modes: tuple[Mode, ...]

    @abstractmethod
    def load(self, key: Hashable) -> Sample:
        """The image and its label map. Raises `BrokenFile` where one cannot be read."""

    @abstractmethod
    def sample(self, mode: Mode, shots: int, rng: np.random.Generator, objects: int = 1) -> Task:
        """A random task for training, with up to ``shots`` shots and ``objects`` positive labels (or what there is)."""

    @abstractmethod
    def count(self, mode: Mode, objects: int = 1) -> int:
        """How many fixed tasks `fixed` can enumerate for evaluation."""

    @abstractmethod
    def fixed(self, mode: Mode, index: int, shots: int, rng: np.random.Generator, objects: int = 1) -> Task:
        """The evaluation task ``index``, 0 ≤ index < count. A larger ``shots`` only appends to the support."""

    def most(self, mode: Mode) -> int:
        """The largest number of positive labels in a task of ``mode``."""
        return 1

    def spread(self, mode: Mode, number: int | None, objects: int = 1) -> list[int]:
        """Which ``number`` of the fixed tasks stand for all, evenly spread; all where these are fewer, or for None."""
        total = self.count(mode, objects)
        number = min(number or total, total)
        return [i * total // number for i in range(number)]

    def targets(self) -> list[Target]:
        """Each thing that tasks ask for, once, whatever the mode; none where images are made without end."""
        return []

    def donor(self, groups: Sequence[str], rng: np.random.Generator) -> Target | None:
        """A random thing to paste beside what a task of ``groups`` asks for: of none of them; None without another."""
        return None

    def image_keys(self) -> list[Hashable]:
        """One key of each image that tasks show; none where images are made without end."""
        return []

    def image_files(self) -> set[Path]:
        """The files of the images that tasks show, if they are in files."""
        return set()

    def require(self, mode: Mode) -> None:
        """Raise `DataError` unless this source has tasks of ``mode``."""
        if mode not in self.modes:
            raise DataError(
                f"The source '{self.name}' has no tasks for mode={mode}; it supports {', '.join(self.modes)}. "
                "Choose one of these, or another data=..."
            )


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to segment in one image: a value of the label map of ``key``.

    Where it is not visible (an object that has left the video), the image is a query but never support.
    """

    key: Hashable
    value: int
    visible: bool = True


class IndexedSource(Source):
    """A source whose tasks come from three tables, which a subclass builds once.

    Args:
        name: for messages and meta.
        objects: interactive: each object of each image, by group name.
        classes: semantic: class name -> its images.
        videos: video: object name -> the frames from the first that shows it, in time order.
        balance: how evenly classes are drawn in training: 1 all alike, 0 in proportion to their images, 0.5 to the
            square root of these.

    Raises:
        DataError: a balance outside 0 to 1.
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
        # a class seen in one image, or an object in one frame, leaves no query for its support
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
        self._several = Several(self.objects, self.classes, self.videos)
        self._posed: dict[tuple[Mode, int], Sequence[Any]] = {
            ("interactive", 1): [[named] for named in self.objects],
            ("semantic", 1): [([group], i) for group, targets in self.classes.items() for i in range(len(targets))],
            ("video", 1): [([group], i) for group, targets in self.videos.items() for i in range(1, len(targets))],
        }

    def most(self, mode: Mode) -> int:
        """See `Source.most`."""
        return self._several.most(mode)

    def targets(self) -> list[Target]:
        """See `Source.targets`."""
        several = [targets for table in (self.classes, self.videos) for targets in table.values()]
        return list(dict.fromkeys(target for targets in ([t for _, t in self.objects], *several) for target in targets))

    def donor(self, groups: Sequence[str], rng: np.random.Generator) -> Target | None:
        """See `Source.donor`; a random group, and then one of its objects."""
        others = [group for group in self._donors if group not in groups]
        if not others:
            return None
        found = self._donors[others[int(rng.integers(len(others)))]]
        return found[int(rng.integers(len(found)))]

    @cached_property
    def _donors(self) -> dict[str, list[Target]]:
        """What may be pasted: objects, and where there are none classes or videos."""
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
        """A random task: a random object; or a class (see ``balance``) or video, and then an image of it."""
        self.require(mode)
        if mode == "interactive":
            named = self.objects[rng.integers(len(self.objects))]
            return _objects([named] if objects == 1 else self._several.draw_objects(named[1].key, objects, rng))
        table = self.classes if mode == "semantic" else self.videos
        group = list(table)[np.searchsorted(self._bounds[mode], rng.random(), "right")]
        if objects == 1:
            return self._draw([group], table, self._shown[mode][group], shots, rng)
        if mode == "semantic":
            return self._classes(self._several.draw_query(group, rng), shots, rng, objects, group)
        groups = self._several.draw_video(group, objects, rng)
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
        """A random image as the query and random others, all among ``shown``, as the support."""
        rows = _rows(groups, table)
        chosen = [shown[i] for i in rng.choice(len(shown), size=min(shots + 1, len(shown)), replace=False)]
        query = (chosen[0] + rng.integers(1, len(rows))) % len(rows)  # any other than the first shot
        support = [i for i in chosen if i != query]
        return _task(groups, rows[query], [rows[i] for i in support[:shots]])

    def _classes(
        self, query: Hashable, shots: int, rng: np.random.Generator, objects: int, first: str | None = None
    ) -> Task:
        groups = self._several.draw_classes(query, objects, rng, first)
        keys = [query, *self._several.draw_support(groups, query, shots, rng)]
        rows = [[Target(key, self.classes[group][0].value) for group in groups] for key in keys]
        return _task(groups, rows[0], rows[1:], len(groups))

    def count(self, mode: Mode, objects: int = 1) -> int:
        """One task an object (interactive), an image of a class (semantic), a frame but the first (video).

        With several objects: one task an image, or as many as hold all its objects (interactive); an image of several
        classes (semantic); a frame but the first for the objects that appear together (video).
        """
        self.require(mode)
        return len(self._fixed(mode, objects))

    def _fixed(self, mode: Mode, objects: int) -> Sequence[Any]:
        """What the fixed tasks are about."""
        if (mode, objects) not in self._posed:
            several, length = self._several, {group: len(targets) for group, targets in self.videos.items()}
            together: dict[Mode, Sequence[Any]] = {
                "interactive": several.all_objects(objects),
                "semantic": several.all_queries(),
                "video": [(gs, i) for gs in several.all_videos(objects) for i in range(1, length[gs[0]])],
            }
            self._posed[mode, objects] = together[mode]
        return self._posed[mode, objects]

    def fixed(self, mode: Mode, index: int, shots: int, rng: np.random.Generator, objects: int = 1) -> Task:
        """The task ``index``; video: the first frame is shown first, then frames that halve the gaps in time."""
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
    """0, then the middle, the quarters, the eighths ...: the first S entries spread over time for every S.

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
    """What separates the shares of 0..1 that these weights give."""
    total = np.cumsum(weights)
    return total[:-1] / total[-1] if len(total) else total


def _rows(groups: Sequence[str], table: Mapping[str, Sequence[Target]]) -> list[tuple[Target, ...]]:
    """Image by image, what ``groups`` are in it; they have the same images."""
    return list(zip(*(table[group] for group in groups), strict=True))


def _objects(named: Sequence[tuple[str, Target]]) -> Task:
    """The interactive task of some objects of one image."""
    row = [target for _, target in named]
    return _task([group for group, _ in named], row, [row])


def _task(groups: Sequence[str], query: Sequence[Target], support: Sequence[Sequence[Target]], ways: int = 1) -> Task:
    return Task(_view(query), tuple(_view(row) for row in support), tuple(groups), ways)


def _view(row: Sequence[Target]) -> View:
    key = row[0].key
    values = tuple(target.value for target in row)
    return View(key, values, {"image": str(key.name if isinstance(key, Path) else key)})

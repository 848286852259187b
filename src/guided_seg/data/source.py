"""Source: labelled images and videos, and the tasks that can be posed on them.

A source is bound to one split. It knows which tasks exist in each mode (who is the query, who the support, which
label value is positive) and loads images with their label maps; it knows nothing of dots, tensors or models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import UInt8

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
        support: the annotated images, in order; the first S of them make the S-shot task. In interactive mode it
            is the query itself and nothing else.
        group: the class or object that IoU is grouped by.
    """

    query: View
    support: tuple[View, ...]
    group: str


class Source(ABC):
    """Labelled images of one split. Subclasses fill in the tasks of each mode that they support."""

    name: str
    modes: tuple[Mode, ...]

    @abstractmethod
    def load(self, key: Hashable) -> Sample:
        """The image and its label map. Raises `BrokenFile` where one cannot be read."""

    @abstractmethod
    def sample(self, mode: Mode, shots: int, rng: np.random.Generator) -> Task:
        """A random task for training, with up to ``shots`` support images (what there is, if fewer)."""

    @abstractmethod
    def count(self, mode: Mode) -> int:
        """How many fixed tasks `fixed` can enumerate for evaluation."""

    @abstractmethod
    def fixed(self, mode: Mode, index: int, shots: int, rng: np.random.Generator) -> Task:
        """The evaluation task ``index``, 0 ≤ index < count. A larger ``shots`` only appends to the support."""

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
        self._semantic = [(group, i) for group, targets in self.classes.items() for i in range(len(targets))]
        self._shown = {
            mode: {group: [i for i, t in enumerate(targets) if t.visible] for group, targets in table.items()}
            for mode, table in (("semantic", self.classes), ("video", self.videos))
        }
        self._bounds = {
            "semantic": _bounds([len(targets) ** (1 - balance) for targets in self.classes.values()]),
            "video": _bounds([1.0] * len(self.videos)),
        }
        self._video = [(group, i) for group, targets in self.videos.items() for i in range(1, len(targets))]

    def sample(self, mode: Mode, shots: int, rng: np.random.Generator) -> Task:
        """A random task: a random object; or a class (see ``balance``) or video, and then an image of it."""
        self.require(mode)
        if mode == "interactive":
            group, target = self.objects[rng.integers(len(self.objects))]
            return _task(group, target, [target])
        table = self.classes if mode == "semantic" else self.videos
        group = list(table)[np.searchsorted(self._bounds[mode], rng.random(), "right")]
        targets = table[group]
        shown = self._shown[mode][group]
        chosen = [shown[i] for i in rng.choice(len(shown), size=min(shots + 1, len(shown)), replace=False)]
        query = (chosen[0] + rng.integers(1, len(targets))) % len(targets)  # any other than the first shot
        support = [i for i in chosen if i != query]
        return _task(group, targets[query], [targets[i] for i in support[:shots]])

    def count(self, mode: Mode) -> int:
        """One task an object (interactive), an image of a class (semantic), a frame but the first (video)."""
        self.require(mode)
        tables: dict[Mode, Sequence[object]] = {
            "interactive": self.objects,
            "semantic": self._semantic,
            "video": self._video,
        }
        return len(tables[mode])

    def fixed(self, mode: Mode, index: int, shots: int, rng: np.random.Generator) -> Task:
        """The task ``index``; video: the first frame is shown first, then frames that halve the gaps in time."""
        self.require(mode)
        if mode == "interactive":
            group, target = self.objects[index]
            return _task(group, target, [target])
        if mode == "semantic":
            group, query = self._semantic[index]
            targets = self.classes[group]
            others = [i for i in rng.permutation(len(targets)).tolist() if i != query]
        else:
            group, query = self._video[index]
            targets = self.videos[group]
            others = [i for i in halving_order(len(targets)) if targets[i].visible]
        return _task(group, targets[query], [targets[i] for i in others[:shots]])


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


def _task(group: str, query: Target, support: Sequence[Target]) -> Task:
    return Task(_view(query), tuple(_view(target) for target in support), group)


def _view(target: Target) -> View:
    key = target.key
    return View(key, (target.value,), {"image": str(key.name if isinstance(key, Path) else key)})

"""Source: labelled images and videos, and the tasks that can be posed on them.

A source is bound to one split. It knows which tasks exist in each mode (who is the query, who the support, which
label value is positive) and loads images with their label maps; it knows nothing of dots, tensors or models.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import UInt8

from guided_seg.episode import Meta
from guided_seg.errors import TOO_MANY_OPEN, BrokenFile, DataError, why_unreadable

Mode = Literal["interactive", "semantic", "video"]
MODES: tuple[Mode, ...] = get_args(Mode)
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what the system says of reading ``path`` into a `BrokenFile`, or a `DataError` where no file is at fault."""
    try:
        yield
    except OSError as error:
        fault = DataError if error.errno in TOO_MANY_OPEN else BrokenFile
        raise fault(why_unreadable(path, error)) from error


@dataclass(frozen=True, slots=True)
class Sample:
    """An image and its label map as numpy arrays: RGB uint8 ``[H, W, 3]`` and uint8 ``[H, W]``, 255 = void."""

    image: UInt8[np.ndarray, "H W 3"]
    labels: UInt8[np.ndarray, "H W"]

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return int(self.image.nbytes + self.labels.nbytes)


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

    def donor(self, groups: Sequence[str], rng: np.random.Generator, alike: bool = False) -> Target | None:
        """A random thing to paste beside what a task of ``groups`` asks for; None without any.

        Args:
            groups: of the task.
            rng: decides.
            alike: it may be of them, too.
        """
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

"""Source: labelled images and videos of one split, and the tasks on them.

A source defines the tasks of each mode (query, support and positive label values) and loads images with their label
maps. It does not depend on dots, tensors or models.
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
    """Convert system errors of reading ``path`` to `BrokenFile`, or to `DataError` if the file is not at fault."""
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
        """Size of both arrays in bytes."""
        return int(self.image.nbytes + self.labels.nbytes)


@dataclass(frozen=True, slots=True)
class View:
    """A labelled image with the positive labels of a task.

    Attributes:
        key: the key for `Source.load`.
        values: the positive values of the label map; they become labels 1, 2, ... in this order, void remains ignored
            and everything else is negative.
        meta: image, class, instance, video and frame ids.
    """

    key: Hashable
    values: tuple[int, ...]
    meta: Meta = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """A query and its support.

    Attributes:
        query: the image to segment.
        support: the annotated images, in order; the first S x ``ways`` of them form the S-shot task. In interactive
            mode, only the query itself.
        groups: the class or object of each of the query's values, to group IoU by.
        ways: number of support images per shot. With several classes, a shot has one image of each, so every shot
            contains all classes; otherwise 1.
    """

    query: View
    support: tuple[View, ...]
    groups: tuple[str, ...]
    ways: int = 1

    @property
    def group(self) -> str:
        """The names of all groups."""
        return " + ".join(self.groups)


class Source(ABC):
    """Base class of sources. Subclasses implement the tasks of each mode that they support."""

    name: str
    modes: tuple[Mode, ...]

    @abstractmethod
    def load(self, key: Hashable) -> Sample:
        """Load an image and its label map. Raises `BrokenFile` if one cannot be read."""

    @abstractmethod
    def sample(self, mode: Mode, shots: int, rng: np.random.Generator, objects: int = 1) -> Task:
        """A random training task, with at most ``shots`` shots and ``objects`` positive labels."""

    @abstractmethod
    def count(self, mode: Mode, objects: int = 1) -> int:
        """The number of fixed tasks for evaluation, see `fixed`."""

    @abstractmethod
    def fixed(self, mode: Mode, index: int, shots: int, rng: np.random.Generator, objects: int = 1) -> Task:
        """The evaluation task ``index``, 0 ≤ index < count. Larger ``shots`` only append to the support."""

    def most(self, mode: Mode) -> int:
        """The largest number of positive labels in a task of ``mode``."""
        return 1

    def spread(self, mode: Mode, number: int | None, objects: int = 1) -> list[int]:
        """Indices of ``number`` evenly spread fixed tasks; all tasks if there are fewer, or for None."""
        total = self.count(mode, objects)
        number = min(number or total, total)
        return [i * total // number for i in range(number)]

    def targets(self) -> list[Target]:
        """All objects and classes in all images, once, for any mode; empty if images are generated without end."""
        return []

    def donor(self, groups: Sequence[str], rng: np.random.Generator, alike: bool = False) -> Target | None:
        """A random object to paste into the image of a task; None if there is none.

        Args:
            groups: groups of the task.
            rng: the source of randomness.
            alike: the object may belong to these groups.
        """
        return None

    def image_keys(self) -> list[Hashable]:
        """The key of each image in any task, once; empty if images are generated without end."""
        return []

    def image_files(self) -> set[Path]:
        """The files of all images in tasks, if they are in files."""
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
    """An object or class in one image: a value of the label map of ``key``.

    If it is not visible (an object that has left the video), the image can be a query but not support.
    """

    key: Hashable
    value: int
    visible: bool = True


def check_objects(source: Source, modes: Sequence[Mode], wanted: int, key: str) -> None:
    """Raise an error if several positive labels are requested and no task has more than one."""
    if wanted > 1 and all(source.most(mode) == 1 for mode in modes):
        raise DataError(
            f"{key} asks for up to {wanted} positive labels, but no {' or '.join(modes)} task of '{source.name}' has "
            f"more than one; leave {key} at 1, or choose other data."
        )

"""Instances as polygons or run lengths, and their label maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from guided_seg.data.coco.run_lengths import Size, area, decode, of_polygons
from guided_seg.data.images import image_size
from guided_seg.episode import IGNORE
from guided_seg.errors import BrokenFile, DataError
from guided_seg.files.text import is_there, read_text, shown

SLACK = 0.01
"""Polygons may exceed the image by this share of it, as exports round coordinates; the excess is clipped."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One annotated instance.

    Attributes:
        value: value of its class, from 1.
        runs: its pixels, in the run-length encoding of pycocotools.
        crowd: whether it is a group of objects without separate masks.
    """

    value: int
    runs: Any
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class Annotated:
    """An annotated image.

    Attributes:
        file: its file name.
        size: its size.
        instances: its instances; on the object map, instance i (from 0) has the value i + 1.
        part: the ``set`` that it belongs to, in data merged from several; empty without one.
    """

    file: str
    size: Size
    instances: tuple[Instance, ...]
    part: str = ""

    def paint(self, by_class: bool) -> UInt8[np.ndarray, "H W"]:
        """Paint the label map.

        Larger instances are painted first, so smaller ones are on top; equal areas keep their order. A crowd is void
        except under other instances.

        Args:
            by_class: paint class values instead of instance numbers.
        """
        numbered = list(enumerate(self.instances, 1))
        areas = area([instance.runs for instance in self.instances])
        numbered.sort(key=lambda item: (not item[1].crowd, -areas[item[0] - 1]))
        labels = np.zeros(self.size[::-1], np.uint8)  # column-major, as run lengths are, is twice as fast
        for number, instance in numbered:
            value = IGNORE if instance.crowd else instance.value if by_class else number
            labels[decode(instance.runs).T.view(bool)] = value
        return np.ascontiguousarray(labels.T)


def read_polygons(image: Path, classes: int, path: Path) -> Annotated:
    """Read a label file with one instance per line, ``class x1 y1 x2 y2 ...``; classes from 0, x and y in 0..1.

    Args:
        image: the image, whose size scales the polygons.
        classes: number of classes.
        path: the label file.

    Raises:
        BrokenFile: missing, or a line is invalid.
    """
    size = image_size(image)
    if not is_there(path):
        raise BrokenFile(
            f"The file {path} does not exist; add it (empty if the image has no instances), or remove the image."
        )
    lines = read_text(path, "label file", BrokenFile).splitlines()
    found = [_polygon(f"Line {i} of {path}", line, classes, size) for i, line in enumerate(lines, 1) if line.strip()]
    return Annotated(image.name, size, checked_number(found, path, image.name))


def _polygon(where: str, line: str, classes: int, size: Size) -> Instance:
    try:
        kind, *numbers = map(float, line.split())
        points = np.array(numbers).reshape(-1, 2)
    except ValueError:
        kind, points = -1.0, np.empty((0, 2))
    inside = ((points >= -SLACK) & (points <= 1 + SLACK)).all()
    if kind not in range(classes) or len(points) < 3 or not inside:
        box = " Four numbers are a box; export polygons (segmentation)." if len(points) == 2 else ""
        raise BrokenFile(
            f"{where} is {shown(line[:40])}; expected a class from 0 to {classes - 1} and three or more pairs x y "
            f"between 0 and 1, with spaces.{box}"
        )
    runs = of_polygons([(points.clip(0, 1) * size[::-1]).ravel().tolist()], size)
    assert runs is not None
    return Instance(int(kind) + 1, runs)


def checked_number(instances: Sequence[Instance], path: Path, image: str) -> tuple[Instance, ...]:
    """Return the instances of an image. Raises `DataError` if there are too many for a label map."""
    if len(instances) >= IGNORE:
        raise DataError(
            f"An image of {path} has {len(instances)} instances, but a label map can hold {IGNORE - 1}; leave out "
            f"the smallest of {shown(image)}."
        )
    return tuple(instances)

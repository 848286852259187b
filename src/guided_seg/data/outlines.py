"""Instances as COCO writes them down, outlines or run lengths, and the label maps that they paint."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from pycocotools import mask as run_lengths

from guided_seg.data.images import image_size
from guided_seg.data.source import BrokenFile, DataError
from guided_seg.episode import IGNORE

Size = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One annotated instance.

    Attributes:
        value: of its class, from 1.
        runs: its pixels, run-length encoded as pycocotools does.
        crowd: a region of many that are not told apart.
    """

    value: int
    runs: Any
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class Annotated:
    """An image's file name, its size and its instances; number i + 1 on the object map is the i-th of them."""

    file: str
    size: Size
    instances: tuple[Instance, ...]

    def paint(self, by_class: bool) -> UInt8[np.ndarray, "H W"]:
        """The label map.

        Where instances overlap, the smaller one is on top: larger ones are painted first, those of equal area in their
        order. A crowd is void where no other instance lies.

        Args:
            by_class: paint each with the value of its class, not with its number.
        """
        numbered = list(enumerate(self.instances, 1))
        areas = run_lengths.area([instance.runs for instance in self.instances]).tolist() if numbered else []
        numbered.sort(key=lambda item: (not item[1].crowd, -areas[item[0] - 1]))
        labels = np.zeros(self.size[::-1], np.uint8)  # column by column, as run lengths go, is twice as fast
        for number, instance in numbered:
            value = IGNORE if instance.crowd else instance.value if by_class else number
            labels[run_lengths.decode(instance.runs).T.view(bool)] = value
        return np.ascontiguousarray(labels.T)


def read_polygons(image: Path, classes: int, path: Path) -> Annotated:
    """The instances of a label file: a line each, ``class x1 y1 x2 y2 ...``, the class from 0, x and y in 0..1.

    Args:
        image: the image, whose size scales the polygons.
        classes: how many there are.
        path: the label file.

    Raises:
        BrokenFile: missing, or a line is something else.
    """
    size = image_size(image)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise BrokenFile(f"The file {path} does not exist; put it back.") from None
    except UnicodeDecodeError as error:
        raise BrokenFile(f"The file {path} is not text ({error}); copy it again from its origin.") from error
    found = [_polygon(f"Line {i} of {path}", line, classes, size) for i, line in enumerate(lines, 1) if line.strip()]
    return Annotated(image.name, size, _numbered(found, path))


def _polygon(where: str, line: str, classes: int, size: Size) -> Instance:
    try:
        kind, *numbers = line.split()
        value, points = int(kind), np.array(numbers, float).reshape(-1, 2)
    except ValueError:
        value, points = -1, np.empty((0, 2))
    if not 0 <= value < classes or len(points) < 3 or not ((points >= 0) & (points <= 1)).all():
        raise BrokenFile(
            f"{where} is '{line[:40]}'; expected a class from 0 to {classes - 1} and three or more pairs x y between 0 "
            "and 1, with spaces."
        )
    outline = (points * size[::-1]).ravel().tolist()
    return Instance(value + 1, run_lengths.frPyObjects([outline], *size)[0])


def read_json(path: Path, names: Sequence[str], wanted: Callable[[str], bool]) -> list[Annotated]:
    """The images of an ``instances_*.json`` that have annotations.

    Parts of fewer than three points are no area and are passed over.

    Args:
        path: the file.
        names: the classes; value 1 is the first.
        wanted: whether an image is, by its file name.

    Raises:
        DataError: missing, not COCO's JSON, a category that is not in ``names``, or too many instances in an image.
    """
    try:
        content = json.loads(path.read_bytes())
        values = {entry["id"]: _value(path, entry["name"], names) for entry in content["categories"]}
        images = {entry["id"]: entry for entry in content["images"] if wanted(entry["file_name"])}
        found: dict[int, list[Instance]] = {}
        for entry in content["annotations"]:
            image = images.get(entry["image_id"])
            if image is not None:
                size = (image["height"], image["width"])
                found.setdefault(entry["image_id"], []).extend(_instances(entry, values, size))
    except FileNotFoundError:
        raise DataError(f"The file {path} is missing; unpack COCO's annotations there.") from None
    except (KeyError, TypeError, IndexError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"The file {path} is not COCO's JSON of instances ({type(error).__name__}: {error}); unpack the "
            "annotations again."
        ) from error
    return [
        Annotated(images[i]["file_name"], (images[i]["height"], images[i]["width"]), _numbered(instances, path))
        for i, instances in sorted(found.items())
    ]


def _value(path: Path, name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise DataError(f"The file {path} has the category '{name}', which is none of COCO's {len(names)} classes.")
    return names.index(name) + 1


def _instances(entry: Mapping[str, Any], values: Mapping[int, int], size: Size) -> Iterator[Instance]:
    """The instance of an annotation, or none where nothing is outlined."""
    outline = entry["segmentation"]
    if isinstance(outline, list):
        parts = [part for part in outline if len(part) >= 6]
        runs = run_lengths.merge(run_lengths.frPyObjects(parts, *size)) if parts else None
    elif isinstance(outline["counts"], list):
        runs = run_lengths.frPyObjects(outline, *size)
    else:
        runs = {"size": list(outline["size"]), "counts": outline["counts"].encode()}
    if runs is not None:
        yield Instance(values[entry["category_id"]], runs, bool(entry.get("iscrowd", 0)))


def _numbered(instances: Sequence[Instance], path: Path) -> tuple[Instance, ...]:
    if len(instances) >= IGNORE:
        raise DataError(
            f"An image of {path} has {len(instances)} instances, but a label map tells {IGNORE - 1} apart; leave out "
            "the smallest."
        )
    return tuple(instances)

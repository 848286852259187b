"""What CVAT hands over: images, points, masks, and the annotated images of a task as annotations of a session."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from typing import Any, Protocol, runtime_checkable

import numpy as np
import PIL.Image
from cvat_sdk import auto_annotation as cvat
from cvat_sdk.masks import decode_mask
from jaxtyping import Bool

from guided_seg.data.coco.run_lengths import BadOutline, decode, of_polygons
from guided_seg.errors import UserError
from guided_seg.session import NEGATIVE, Session
from guided_seg.session.arguments import RGB
from guided_seg.session.marks import Pixel

Mask = Bool[np.ndarray, "H W"]

TAKEN = ("mask", "polygon", "rectangle", "points", "polyline")
"""The types of shapes that guide, if they are not rotated."""
LEAST = {"polygon": 6, "rectangle": 4, "points": 2, "polyline": 2}
"""How many coordinates they have at least."""


@runtime_checkable
class Dataset(Protocol):
    """A task of CVAT with its annotations, as ``cvat_sdk.datasets.TaskDataset`` is one."""

    @property
    def labels(self) -> Sequence[Any]:
        """Labels with id, name and type."""

    @property
    def samples(self) -> Sequence[Any]:
        """Images with their names and annotations."""


@contextmanager
def bad_function() -> Iterator[None]:
    """Raise a `UserError` as the error of CVAT, with the same sentence."""
    try:
        yield
    except UserError as error:
        raise cvat.BadFunctionError(str(error)) from error


def taken(sample: Any) -> list[Any]:
    """The shapes of an image that guide, the lowest first."""
    shapes = [each for each in sample.annotations.shapes if _kind(each) in TAKEN and not getattr(each, "rotation", 0)]
    return sorted(shapes, key=lambda shape: getattr(shape, "z_order", 0))


def _kind(shape: Any) -> str:
    return str(getattr(shape.type, "value", shape.type))


def annotate(session: Session, sample: Any, shapes: Sequence[Any], names: dict[int, str]) -> None:
    """Add an image of a task with its shapes."""
    name = sample.frame_name.replace("#", "_")
    session.add_image(name, rgb(sample.media.load_image()))
    size = session.picture(name).size
    if all(_kind(shape) in ("mask", "polygon") for shape in shapes):
        session.mask(name, np.ones(size, bool), NEGATIVE)
    for shape in shapes:
        if (label := names.get(shape.label_id)) is None:
            raise UserError(f"A shape of {name!r} has the label {shape.label_id}, which the task does not have.")
        if label not in session.labels:
            session.add_label(label)
        _mark(session, name, size, shape, label)


def _mark(session: Session, name: str, size: Pixel, shape: Any, label: str) -> None:
    """Annotate an image with a shape."""
    kind, flat = _kind(shape), [float(number) for number in shape.points]
    if kind == "mask":
        session.mask(name, decoded(shape.points, size), label)
        return
    if len(flat) % 2 or len(flat) < LEAST[kind]:
        raise UserError(f"A {kind} of {name!r} has {len(flat)} coordinates; expected {LEAST[kind]} or more, in pairs.")
    if kind == "polygon":
        try:
            runs = of_polygons([flat], size)
        except BadOutline as error:
            raise UserError(f"A polygon of {name!r} {error}; draw it again.") from None
        assert runs is not None
        session.mask(name, decode(runs).view(bool), label)
        return
    places = [pixel_at(point, size) for point in zip(flat[::2], flat[1::2], strict=True)]
    if kind == "rectangle":
        session.box(name, (*places[0], *places[1]), label)
    elif kind == "polyline":
        session.scribble(name, places, label)
    else:
        for row, column in places:
            session.dot(name, row, column, label)


def rgb(image: object) -> RGB:
    """The pixels of an image. Raises `UserError` for anything else."""
    if not isinstance(image, PIL.Image.Image):
        raise UserError(f"The image is a {type(image).__name__}; expected a PIL image.")
    return np.array(image.convert("RGB"))


def pixel_at(point: object, size: Pixel) -> Pixel:
    """Row and column of the pixel at (x, y). A point on the far edge belongs to the last pixel."""
    try:
        x, y = map(float, point)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise UserError(f"A point is {point!r}; expected two numbers (x, y).") from None
    if not (isfinite(x) and isfinite(y) and 0 <= x <= size[1] and 0 <= y <= size[0]):
        raise UserError(f"The point x {x:g}, y {y:g} lies outside its image of {size[1]} x {size[0]} pixels.")
    return min(int(y), size[0] - 1), min(int(x), size[1] - 1)


def decoded(points: Sequence[float], size: Pixel) -> Mask:
    """The mask of a shape, from CVAT's run lengths."""
    height, width = size
    try:
        if len(points) > 4 and 0 <= sum(points[:-4]) <= height * width:  # or it would take as much memory as it says
            return decode_mask(points, image_width=width, image_height=height)
        why = "its runs are longer than the image"
    except (TypeError, ValueError) as error:
        why = str(error)
    raise UserError(f"The mask of a shape cannot be read: {why}; expected run lengths and a box in {width} x {height}.")

"""Masks as run lengths. All input to the C code of pycocotools is checked here, since that code checks nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from reprlib import repr as _short
from typing import Any

import numpy as np
from jaxtyping import UInt8
from pycocotools import mask as pycoco

Size = tuple[int, int]
"""Height and width in pixels."""

FAR = 10
"""Largest distance of a point from the image, in image sizes; points beyond are errors."""

_LONGEST_SIDE, _MOST_PIXELS = 2**20, 2**30  # C multiplies sides by 5 x FAR, and counts pixels, in 32 bits
_MOST_STEPS = 2**24  # C keeps each step of a polygon outline, a fifth of a pixel, in memory
_LONGEST_CODE = 6  # characters per run length in text, 5 bits each


class BadOutline(ValueError):
    """Numbers that do not describe a mask. The message continues "Annotation 5 "."""


def check_size(size: Sequence[Any]) -> Size:
    """Convert height and width to whole numbers; 96.0 is 96.

    Raises:
        BadOutline: they are not whole numbers from 1, or too large for an image.
    """
    whole = [value for value in size if type(value) in (int, float) and abs(value) < 1e15 and value == int(value)]
    if len(size) != 2 or len(whole) != 2 or min(whole) < 1:
        raise BadOutline(f"has the height and width {_short(size)}; expected two whole numbers from 1")
    height, width = int(whole[0]), int(whole[1])
    if max(height, width) > _LONGEST_SIDE or height * width > _MOST_PIXELS:
        raise BadOutline(f"has the height {height:,} and the width {width:,}, which no image has")
    return height, width


def of_segmentation(found: Any, size: Size) -> dict[str, Any] | None:
    """Convert ``segmentation`` of COCO's JSON to run lengths.

    Args:
        found: a list of polygons ``[x1, y1, x2, y2, ...]``, one polygon, run lengths (``size`` and ``counts``, a list
            or text), or a list of these.
        size: size of the image.

    Returns:
        Run lengths in the format of pycocotools. None without points.

    Raises:
        BadOutline: anything else, such as polygons of one or two points alone.
    """
    if found is None:
        return None
    if isinstance(found, dict):
        return _of_counts(found, size)
    if not isinstance(found, list):
        raise BadOutline(f"has the segmentation {_short(found)}; expected polygons or run lengths")
    if found and isinstance(found[0], dict):
        return _merged([_of_counts(part, size) for part in found])
    polygons = [found] if found and not isinstance(found[0], list) else found
    with_area = [part for part in polygons if _is_polygon(part)]
    if not with_area and any(polygons):
        points = max(map(len, polygons)) // 2
        raise BadOutline(
            f"has a polygon of {points} point{'s' * (points > 1)}; three or more enclose an area, and four numbers are "
            "a box"
        )
    return of_polygons(with_area, size)


def of_polygons(polygons: Sequence[Sequence[float]], size: Size) -> dict[str, Any] | None:
    """The run lengths of the union of polygons ``[x1, y1, x2, y2, ...]``, clipped to the image.

    Args:
        polygons: coordinates in pixels, three or more points each.
        size: size of the image.

    Returns:
        Run lengths; None without polygons.

    Raises:
        BadOutline: a coordinate is NaN, infinite or far outside the image, or the outline is too long.
    """
    height, width = size
    for polygon in polygons:
        xs, ys = polygon[::2], polygon[1::2]
        inside = min(xs) >= 0 <= min(ys) and max(xs) <= width and max(ys) <= height
        inside = inside and sum(polygon) >= 0  # min and max may skip a NaN, a sum does not
        if not inside:
            _check_near(xs, "x", width)
            _check_near(ys, "y", height)
        reach = max(size) * (1 if inside else 1 + 2 * FAR)
        if 5 * reach * len(xs) > _MOST_STEPS and (steps := _steps(xs, ys)) > _MOST_STEPS:
            raise BadOutline(f"has an outline of {steps / 5:,.0f} pixels, which is longer than any")
    return _merged(pycoco.frPyObjects(list(polygons), height, width)) if polygons else None


def check_box(found: Any, size: Size) -> None:
    """Refuse a box outside the image, as of another image or another size of this one.

    Args:
        found: ``bbox`` of COCO's JSON: x, y, width and height. Anything else is not checked, as nothing else uses it.
        size: size of the image.

    Raises:
        BadOutline: the box has no point in common with the image.

    Example:
        >>> check_box([-3, 0, 3, 9], (4, 6))
    """
    if not isinstance(found, list) or len(found) != 4 or not set(map(type, found)) <= {int, float}:
        return
    left, top, width, height = found
    if left > size[1] or top > size[0] or left + width < 0 or top + height < 0:
        raise BadOutline(
            f"has the box {_short(found)} (x, y, width, height), which lies outside the image of {size[0]} x {size[1]} "
            "(height x width)"
        )


def check_within(found: Any, size: Size) -> None:
    """Raise `BadOutline` if polygons, in a form that `of_segmentation` accepts, are all outside the image."""
    if not isinstance(found, list) or isinstance(found[0], dict):
        return
    numbers = np.concatenate([np.ravel(part) for part in found])
    (left, top), (right, bottom) = numbers.reshape(-1, 2).min(0).tolist(), numbers.reshape(-1, 2).max(0).tolist()
    if left >= size[1] or top >= size[0] or right <= 0 or bottom <= 0:
        raise BadOutline(
            f"lies outside the image of {size[0]} x {size[1]} (height x width): x goes from {left:g} to {right:g} and "
            f"y from {top:g} to {bottom:g}"
        )


def nothing(size: Size) -> dict[str, Any]:
    """The run lengths of an empty mask."""
    found: dict[str, Any] = pycoco.frPyObjects({"size": list(size), "counts": [size[0] * size[1]]}, *size)
    return found


def area(runs: Sequence[dict[str, Any]]) -> list[int]:
    """Number of pixels of each mask."""
    found: list[int] = pycoco.area(list(runs)).tolist() if runs else []
    return found


def decode(runs: dict[str, Any]) -> UInt8[np.ndarray, "H W"]:
    """Decode a mask to 0 and 1, in column-major memory."""
    return np.asarray(pycoco.decode(runs), np.uint8)


def _is_polygon(part: Any) -> bool:
    """Whether a part has an area. Raises `BadOutline` if it is not a list of coordinate pairs."""
    if not isinstance(part, list):
        raise BadOutline(f"has the polygon {_short(part)}; expected a list of numbers x1, y1, x2, y2, ...")
    if not set(map(type, part)) <= {int, float}:
        odd = next(value for value in part if type(value) not in (int, float))
        raise BadOutline(f"has {_short(odd)} in a polygon; expected numbers x1, y1, x2, y2, ...")
    if len(part) % 2:
        raise BadOutline(f"has a polygon of {len(part)} numbers, so an x lacks its y")
    return len(part) >= 6


def _check_near(values: Sequence[float], axis: str, side: int) -> None:
    for value in values:
        if not -FAR * side <= value <= (1 + FAR) * side:
            raise BadOutline(f"has a point at {axis} = {_short(value)}, but {axis} goes from 0 to {side} in the image")


def _steps(xs: Sequence[float], ys: Sequence[float]) -> float:
    edges = pairwise(zip((*xs, xs[0]), (*ys, ys[0]), strict=True))
    return 5 * sum(max(abs(x - u), abs(y - v)) for (u, v), (x, y) in edges)


def _of_counts(found: Any, size: Size) -> dict[str, Any]:
    counts, own = (found.get("counts"), found.get("size")) if isinstance(found, dict) else (None, None)
    if not isinstance(counts, list | str) or not isinstance(own, list):
        raise BadOutline(f"has the segmentation {_short(found)}; run lengths are an object with size and counts")
    if check_size(own) != size:
        swapped = "; size is [height, width], not the reverse" if check_size(own) == size[::-1] else ""
        raise BadOutline(
            f"has run lengths of an image of {own[0]} x {own[1]} (height x width), but its image is {size[0]} x "
            f"{size[1]}{swapped}"
        )
    runs = _of_text(counts) if isinstance(counts, str) else _of_list(counts)
    if (runs < 0).any():
        raise BadOutline(f"has a run of {int(runs.min())} pixels; runs are from 0")
    if (total := int(runs.sum())) != size[0] * size[1]:
        raise BadOutline(f"has run lengths of {total:,} pixels in all, but its image has {size[0] * size[1]:,}")
    encoded: dict[str, Any] = pycoco.frPyObjects({"size": list(size), "counts": runs.tolist()}, *size)
    return encoded


def _of_list(counts: list[Any]) -> np.ndarray:
    if any(type(count) not in (int, float) or not abs(count) <= _MOST_PIXELS or count % 1 for count in counts):
        raise BadOutline(f"has the run lengths {_short(counts)}; expected whole numbers of pixels")
    return np.array(counts, np.int64)


def _of_text(counts: str) -> np.ndarray:
    """Decode run lengths from text: 5 bits per character, lowest first; from the fourth on they are differences."""
    codes = np.frombuffer(counts.encode("utf-8", "replace"), np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(codes & 32 == 0)
    lengths = np.diff(ends, prepend=-1)
    if not len(ends) or codes.min() < 0 or codes.max() > 63 or ends[-1] != len(codes) - 1:
        raise BadOutline(f"has the run lengths {_short(counts)}, which are not in COCO's code")
    if lengths.max() > _LONGEST_CODE:
        raise BadOutline(f"has the run lengths {_short(counts)}, and one run is longer than any image")
    places = np.arange(len(codes)) - np.repeat(ends - lengths + 1, lengths)
    runs = np.add.reduceat((codes & 31) << 5 * places, ends - lengths + 1)
    runs -= np.where(codes[ends] & 16, 1 << 5 * lengths, 0)  # sign-extend from the highest bit
    runs[1::2], runs[2::2] = runs[1::2].cumsum(), runs[2::2].cumsum()
    return runs


def _merged(runs: list[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = pycoco.merge(runs)
    return merged

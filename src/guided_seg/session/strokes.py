"""Scribbles and boxes as dots: which pixels stand for them. The figures were chosen by measurement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from guided_seg.session.marks import Pixel

SPACING = 0.05
"""Distance between the dots of a scribble, as a share of the longer side of the image."""

MOST = 9
"""Most dots of a scribble; a longer one has them further apart. More dots help no more, and cost time."""

GRID = (0.16, 0.39, 0.61, 0.84)
"""Rows and columns of the dots in a box, as shares of its height and width. Its corners seldom show the object."""

SIDE = 4
"""Number of steps between the dots along each side of a box, which lie around it."""

GAP = 0.05
"""Distance of these from the box, as a share of its longer side."""

Box = tuple[int, int, int, int]
"""The first row and column of a box and its last ones, which belong to it: (top, left, bottom, right)."""


def along(points: Sequence[Pixel], size: Pixel) -> list[Pixel]:
    """Evenly spaced pixels along a polyline, from its first to its last point; only its middle, if it is short.

    Args:
        points: row and column of each corner, at least one.
        size: height and width of the image.

    Example:
        >>> along([(0, 0), (0, 8), (4, 8)], (50, 80))
        [(0, 0), (0, 4), (0, 8), (4, 8)]
    """
    corners = np.array(points, np.float64)
    passed = np.concatenate([[0], np.hypot(*np.diff(corners, axis=0).T).cumsum()])
    number = min(1 + int(passed[-1] / (SPACING * max(size))), MOST)
    at = np.linspace(0, passed[-1], number) if number > 1 else passed[-1:] / 2
    return _pixels(zip(*(np.interp(at, passed, side) for side in corners.T), strict=True))


def inside(box: Box) -> list[Pixel]:
    """The pixels that stand for the object in a box: a grid of four by four without its corners.

    Example:
        >>> inside((10, 20, 10, 30))
        [(10, 24), (10, 26), (10, 22), (10, 28)]
    """
    top, left, bottom, right = box
    ends = (GRID[0], GRID[-1])
    shares = [(down, across) for down in GRID for across in GRID if down not in ends or across not in ends]
    return _pixels((top + down * (bottom - top), left + across * (right - left)) for down, across in shares)


def around(box: Box, size: Pixel) -> list[Pixel]:
    """The pixels around a box that stand for the background, without those beyond the image.

    Args:
        box: the box.
        size: height and width of the image.

    Example:
        >>> around((0, 0, 40, 40), (50, 43))
        [(42, 9), (9, 42), (42, 20), (20, 42), (42, 31), (31, 42), (42, 42)]
    """
    gap = max(round(GAP * max(box[2] - box[0], box[3] - box[1])), 2)
    top, left, bottom, right = box[0] - gap, box[1] - gap, box[2] + gap, box[3] + gap
    places: list[tuple[float, float]] = []
    for step in range(SIDE + 1):
        row, column = top + step / SIDE * (bottom - top), left + step / SIDE * (right - left)
        places += [(top, column), (bottom, column), (row, left), (row, right)]
    return [(row, column) for row, column in _pixels(places) if 0 <= row < size[0] and 0 <= column < size[1]]


def _pixels(places: Iterable[tuple[float, float]]) -> list[Pixel]:
    """The distinct pixels at these places, in their order."""
    return list(dict.fromkeys((round(float(row)), round(float(column))) for row, column in places))

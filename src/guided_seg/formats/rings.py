"""Outlines of masks that lose no pixel: along the edges of pixels, or a little inside of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

_INSIDE = 0.25
"""How far `joined` outlines lie within their pixels, so that every program finds the same ones."""
_NEAR = 16
"""How many neighbours of a corner are looked at before all are."""


class Ring(NamedTuple):
    """A closed outline.

    Attributes:
        corners: int ``[N, 2]``, its corners as (x, y); pixel (row, column) is the square from (column, row) to
            (column + 1, row + 1). The last one is joined to the first.
        hole: whether it is the inner edge of a part.
    """

    corners: Int[np.ndarray, "N 2"]
    hole: bool


def rings(mask: Bool[np.ndarray, "H W"]) -> list[Ring]:
    """The outlines of a mask: one for each part (pixels that touch at a side), and one for each hole.

    Example:
        >>> [(ring.corners.tolist(), ring.hole) for ring in rings(np.array([[False, True], [False, False]]))]
        [([[1, 0], [2, 0], [2, 1], [1, 1]], False)]
    """
    rows, columns, along, down = _corners(mask)
    places = np.stack([columns, rows], 1)
    found: list[Ring] = []
    seen = bytearray(len(rows))
    for start in range(len(rows)):
        if seen[start]:
            continue
        way: list[int] = []
        at = start
        while not seen[at]:
            other = along[at]
            way += (at, other)
            seen[at] = seen[other] = True
            at = down[other]
        # the first corner is the topmost, and of these the leftmost: the pixel below and right of it lies in the ring
        found.append(Ring(places[way], not mask[rows[start], columns[start]]))
    return found


def _corners(
    mask: Bool[np.ndarray, "H W"],
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"], list[int], list[int]]:
    """The corners of all outlines, sorted by row and column, and for each the next one along its row and its column.

    In each row of corners, edges run from the first to the second, from the third to the fourth, and so on; likewise
    in each column. Where two pixels touch only at a corner there are two corners, one for each pixel.
    """
    padded = np.pad(mask, 1)
    left_above, right_above, left_below, right_below = (
        padded[:-1, :-1],
        padded[:-1, 1:],
        padded[1:, :-1],
        padded[1:, 1:],
    )
    turns = left_above ^ right_above ^ left_below ^ right_below
    touch = (left_above == right_below) & (right_above == left_below) & (left_above != right_above)
    rows, columns = np.nonzero(turns | touch)
    twice = np.where(touch[rows, columns], 2, 1)
    second = np.arange(twice.sum()) - np.repeat(np.cumsum(twice) - twice, twice)  # 0, or 1 for the second of two
    rows, columns = np.repeat(rows, twice), np.repeat(columns, twice)
    # the first has the edge to the left: the one up as well if its pixel is above, else the one down
    order = np.lexsort((second ^ (touch & right_above)[rows, columns], rows, columns))
    down = np.empty(len(rows), int)
    down[order[::2]], down[order[1::2]] = order[1::2], order[::2]
    return rows, columns, (np.arange(len(rows)) ^ 1).tolist(), down.tolist()


def joined(outlines: Sequence[Ring]) -> Float[np.ndarray, "N 2"]:
    """All outlines as a single one, for formats that have one polygon for an object.

    Each ring is reached by a line from a near corner of an earlier one and left by the same line, so the parts and
    holes stay what they are in programs that fill by the even-odd rule. Programs that also paint the outline, such as
    OpenCV, add the pixels of lines between parts.
    """
    moved = [_inside(ring) for ring in outlines]
    points = np.concatenate(moved)
    ends = np.cumsum([len(ring) for ring in moved]).tolist()
    starts = [0, *ends[:-1]]
    later: dict[int, list[int]] = {}  # a corner -> the rings that are reached from it
    for ring, corner in enumerate(_nearest_before(points, starts), 1):
        later.setdefault(corner, []).append(ring)
    way: list[int] = []
    todo = [*reversed(range(ends[0]))]
    while todo:
        at = todo.pop()
        way.append(at)
        for ring in later.pop(at, ()):
            todo += (at, starts[ring], *reversed(range(starts[ring], ends[ring])))
    return points[way]


def _nearest_before(points: Float[np.ndarray, "N 2"], starts: Sequence[int]) -> Iterator[int]:
    """For the first corner of each ring but the first, the index of the nearest point of an earlier ring."""
    from scipy.spatial import cKDTree  # takes a third of a second, and one format needs it

    firsts = starts[1:]
    if not firsts:
        return
    near = cKDTree(points).query(points[firsts], min(_NEAR, len(points)))[1]
    for first, found in zip(firsts, near, strict=True):
        earlier = found[found < first]
        yield int(earlier[0] if len(earlier) else np.square(points[:first] - points[first]).sum(1).argmin())


def _inside(ring: Ring) -> Float[np.ndarray, "N 2"]:
    """The corners, moved by a quarter of a pixel into the pixels that the ring encloses, or that enclose the hole."""
    points = ring.corners.astype(float)
    into = -_INSIDE if ring.hole else _INSIDE
    # edges run along a row and along a column by turns; the pixels of the mask are on the right, of a hole on the left
    across = into * np.sign(points[1::2, 0] - points[::2, 0])
    down = into * np.sign(np.roll(points[::2, 1], -1) - points[1::2, 1])
    points[:, 1] += np.repeat(across, 2)
    points[:, 0] -= np.roll(np.repeat(down, 2), 1)
    return points

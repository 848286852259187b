"""Simulated clicks, and how many of them a model needs: NoC and NoF.

The rule is that of f-BRS (Sofiiuk et al., CVPR 2020) and RITM (Sofiiuk et al., ICIP 2022), the standard of interactive
segmentation: each click goes to the deepest point of the error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from guided_seg.distance import depth
from guided_seg.episode import IGNORE

LIMIT = 20
"""After this many clicks without success an object counts as failed."""


class Click(NamedTuple):
    """A click on a pixel: ``positive`` on the object, negative on the background."""

    row: int
    column: int
    positive: bool


def next_click(
    prediction: Bool[np.ndarray, "H W"] | UInt8[np.ndarray, "H W"],
    target: UInt8[np.ndarray, "H W"],
    clicked: Iterable[Click] = (),
) -> Click | None:
    """The deepest pixel of the errors, see `deeper_error`; of equally deep ones the first row, then the first column.

    Args:
        prediction: 0 for the background, any other value for the object.
        target: 0 for the background, `IGNORE` for void, any other value for the object.
        clicked: earlier clicks, which are not repeated; their pixels still belong to their error.

    Returns:
        The click, or None if there is no error left to click on.

    Example:
        >>> target = np.zeros((9, 9), np.uint8)
        >>> target[2:7, 2:7] = 1
        >>> next_click(np.zeros((9, 9), bool), target)
        Click(row=4, column=4, positive=True)
    """
    wrong, positive = deeper_error(prediction, target, clicked)
    row, column = deepest(wrong)
    return Click(row, column, positive) if wrong[row, column] else None


def deeper_error(
    prediction: Bool[np.ndarray, "H W"] | UInt8[np.ndarray, "H W"],
    target: UInt8[np.ndarray, "H W"],
    clicked: Iterable[Click] = (),
) -> tuple[Float32[np.ndarray, "H W"], bool]:
    """The missed pixels or the false positives, whichever reach deeper, not whichever are more.

    Depth is the Euclidean distance to the nearest pixel outside the error. Void pixels and everything beyond the image
    are outside. At equal depth the false positives are chosen.

    Args:
        prediction: see `next_click`.
        target: see `next_click`.
        clicked: see `next_click`.

    Returns:
        The depth of each pixel, 0 outside the error and where it was clicked; and whether the error is missed pixels.
    """
    scored, found = target != IGNORE, prediction != 0
    true = (target != 0) & scored
    missed, false = _depth(true & ~found), _depth(found & ~true & scored)
    for row, column, _ in clicked:
        missed[row, column] = false[row, column] = 0
    positive = bool(missed.max() > false.max())
    return (missed if positive else false), positive


def deepest(depths: Float32[np.ndarray, "H W"]) -> tuple[int, int]:
    """The row and column of the first deepest pixel."""
    row, column = np.unravel_index(depths.argmax(), depths.shape)
    return int(row), int(column)


def clicks_needed(ious: Sequence[float], threshold: float, limit: int = LIMIT) -> int:
    """NoC of one object: the smallest number of clicks whose IoU reaches the threshold, or the limit if none does.

    Args:
        ious: the IoU after 1, 2, ... clicks. A list shorter than ``limit`` means that later
            clicks do not reach the threshold.
        threshold: the IoU to reach, such as 0.85 for NoC@85.
        limit: the largest number of clicks to consider.

    Example:
        >>> clicks_needed([0.5, 0.85, 0.8], 0.85), clicks_needed([0.5, 0.6], 0.85)
        (2, 20)
    """
    return next((clicks for clicks, iou in enumerate(ious[:limit], 1) if iou >= threshold), limit)


def failed(ious: Sequence[float], threshold: float, limit: int = LIMIT) -> bool:
    """Whether an object never reaches the threshold; NoF is the share of such objects.

    The code of RITM also counts an object as failed that reaches the threshold with the last click; here it has not
    failed. The arguments are those of `clicks_needed`.

    Example:
        >>> failed([0.5, 0.9], 0.85), failed([0.5, 0.6], 0.85)
        (False, True)
    """
    return all(iou < threshold for iou in ious[:limit])


def _depth(error: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    return depth(np.pad(error, 1))[1:-1, 1:-1]

"""Simulated clicks, and how many of them a model needs: NoC and NoF.

The rule is that of f-BRS (Sofiiuk et al., CVPR 2020) and RITM (Sofiiuk et al., ICIP 2022), by which interactive
segmentation is compared: every click goes to the middle of what is most wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from guided_seg.distance import depth
from guided_seg.episode import IGNORE

LIMIT = 20
"""Clicks on an object before it counts as failed."""


class Click(NamedTuple):
    """A dot on a pixel: ``positive`` on the object, or else beside it."""

    row: int
    column: int
    positive: bool


def next_click(
    prediction: Bool[np.ndarray, "H W"] | UInt8[np.ndarray, "H W"],
    target: UInt8[np.ndarray, "H W"],
    clicked: Iterable[Click] = (),
) -> Click | None:
    """The pixel deepest inside the missed pixels or inside the false alarms, whichever goes deeper.

    Depth is the Euclidean distance to the nearest pixel outside the error; what lies beyond the image and void pixels
    are outside. Of equal depths a false alarm goes first, and then the first row and column.

    Args:
        prediction: not 0 where the object is found.
        target: 0 beside the object, `IGNORE` not scored, any other value on the object.
        clicked: pixels that are not clicked again; they stay part of their error.

    Returns:
        None where no error is left to click on.

    Example:
        >>> target = np.zeros((9, 9), np.uint8)
        >>> target[2:7, 2:7] = 1
        >>> next_click(np.zeros((9, 9), bool), target)
        Click(row=4, column=4, positive=True)
    """
    scored, found = target != IGNORE, prediction != 0
    true = (target != 0) & scored
    missed, false = _depth(true & ~found), _depth(found & ~true & scored)
    for row, column, _ in clicked:
        missed[row, column] = false[row, column] = 0
    positive = bool(missed.max() > false.max())
    wrong = missed if positive else false
    deepest = np.unravel_index(wrong.argmax(), wrong.shape)
    return Click(int(deepest[0]), int(deepest[1]), positive) if wrong[deepest] else None


def clicks_needed(ious: Sequence[float], threshold: float, limit: int = LIMIT) -> int:
    """NoC of one object: the first number of clicks whose IoU reaches the threshold, else the limit.

    Args:
        ious: after 1, 2, ... clicks; a list that ends early says that the threshold is not reached any more.
        threshold: such as 0.85 for NoC@85.
        limit: clicks beyond it are not looked at.

    Example:
        >>> clicks_needed([0.5, 0.85, 0.8], 0.85), clicks_needed([0.5, 0.6], 0.85)
        (2, 20)
    """
    return next((clicks for clicks, iou in enumerate(ious[:limit], 1) if iou >= threshold), limit)


def failed(ious: Sequence[float], threshold: float, limit: int = LIMIT) -> bool:
    """Whether an object never reaches the threshold; NoF is the share of such objects.

    The code of RITM also counts an object that reaches it at the very last click; here that one has not failed.
    Arguments are those of `clicks_needed`.

    Example:
        >>> failed([0.5, 0.9], 0.85), failed([0.5, 0.6], 0.85)
        (False, True)
    """
    return all(iou < threshold for iou in ious[:limit])


def _depth(error: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    return depth(np.pad(error, 1))[1:-1, 1:-1]

"""J and F of the DAVIS benchmark, for one object in one frame.

The rules are those of the benchmark's evaluation code (Perazzi et al., "A Benchmark Dataset and Evaluation Methodology
for Video Object Segmentation", CVPR 2016; Pont-Tuset et al., "The 2017 DAVIS Challenge", 2017). Void pixels count as
background in both prediction and target. The protocol chooses the frames and objects to average over.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from jaxtyping import Bool

Mask = Bool[np.ndarray, "H W"]


def region_similarity(prediction: Mask, target: Mask, void: Mask | None = None) -> float:
    """J: intersection over union of an object's pixels, in [0, 1]; 1 where both masks are empty.

    Args:
        prediction: the predicted pixels.
        target: the pixels of the object.
        void: the pixels that count as background in both.

    Example:
        >>> region_similarity(np.array([[True, True, False]]), np.array([[True, False, False]]))
        0.5
    """
    prediction, target = _scored(prediction, void), _scored(target, void)
    union = int(np.count_nonzero(prediction | target))
    return int(np.count_nonzero(prediction & target)) / union if union else 1.0


def contour_accuracy(prediction: Mask, target: Mask, void: Mask | None = None, bound: float = 0.008) -> float:
    """F: the harmonic mean of precision and recall of an object's boundary pixels, in [0, 1].

    A boundary pixel is correct if the other boundary has a pixel within the tolerance, in Euclidean distance. F is 1
    where neither mask has a boundary, and 0 where only one has. The edge of the image is not a boundary, so a mask of
    all pixels has none, like an empty mask.

    Args:
        prediction: the predicted pixels.
        target: the pixels of the object.
        void: the pixels that count as background in both.
        bound: the tolerance as a share of the image's diagonal; it is rounded up to whole pixels.

    Example:
        >>> target = np.zeros((9, 9), bool)
        >>> target[1:3, 1:8] = True
        >>> contour_accuracy(np.roll(target, 1, 0), target), contour_accuracy(np.roll(target, 5, 0), target)
        (1.0, 0.0)
    """
    found, true = _boundary(_scored(prediction, void)), _boundary(_scored(target, void))
    if not found.any() or not true.any():
        return float(found.any() == true.any())
    disk = _disk(math.ceil(bound * math.hypot(*target.shape)))
    precision, recall = _share_near(found, true, disk), _share_near(true, found, disk)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _scored(mask: Mask, void: Mask | None) -> Mask:
    return mask if void is None else mask & ~void


def _boundary(mask: Mask) -> Mask:
    """The pixels that differ from the one to the right, below, or diagonally below; the image edge is no boundary."""
    after = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    return (mask ^ after[:-1, 1:]) | (mask ^ after[1:, :-1]) | (mask ^ after[1:, 1:])


def _disk(radius: int) -> Bool[np.ndarray, "D D"]:
    rows, columns = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return rows**2 + columns**2 <= radius**2


def _share_near(pixels: Mask, others: Mask, disk: Bool[np.ndarray, "D D"]) -> float:
    """The share of ``pixels`` with one of ``others`` within the disk around them."""
    near = np.asarray(cv2.dilate(others.view(np.uint8), disk.view(np.uint8)))
    return float(near[pixels].mean())

"""Simulate earlier predictions by moving and corrupting the true mask, to train with memory."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import UInt8

from guided_seg.episode import IGNORE

_SHIFT, _ZOOM, _SHEAR = 0.04, 0.12, 0.1
_BRUSH = 9
_SPOILT = 0.4


def disturb(labels: UInt8[np.ndarray, "H W"], rng: np.random.Generator) -> UInt8[np.ndarray, "H W"]:
    """Simulate the prediction of a frame shortly before, from the true mask.

    Each object is slightly moved, deformed, and dilated or eroded; sometimes a part is removed or added. (As MaskTrack,
    Perazzi et al., 2017, deforms the masks of stills.)

    Args:
        labels: the true label of each pixel.
        rng: the source of randomness.

    Example:
        >>> mask = np.zeros((40, 60), np.uint8)
        >>> mask[10:30, 20:50] = 1
        >>> found = disturb(mask, np.random.default_rng(0))
        >>> bool(0.3 < (found & mask).sum() / (found | mask).sum() < 1)
        True
    """
    found = np.where(labels == IGNORE, IGNORE, 0).astype(np.uint8)
    for label in np.unique(labels).tolist():
        if label not in (0, IGNORE):
            found[_moved((labels == label).astype(np.uint8), rng) > 0] = label
    return found


def shifted(labels: UInt8[np.ndarray, "H W"], rng: np.random.Generator) -> UInt8[np.ndarray, "H W"]:
    """Move and zoom all labels together by a small random amount.

    Args:
        labels: the label of each pixel; pixels that enter the image become `IGNORE`.
        rng: the source of randomness.
    """
    size = np.array(labels.shape[::-1], float)
    linear = np.diag(np.exp(rng.uniform(-_ZOOM, _ZOOM, 2) / 2))
    matrix = np.column_stack([linear, size / 2 + rng.normal(0, _SHIFT / 2, 2) * size - linear @ size / 2])
    found = cv2.warpAffine(labels, matrix, labels.shape[::-1], flags=cv2.INTER_NEAREST, borderValue=IGNORE)
    return np.asarray(found, np.uint8)


def _moved(mask: UInt8[np.ndarray, "H W"], rng: np.random.Generator) -> UInt8[np.ndarray, "H W"]:
    size = np.array(mask.shape[::-1], float)
    centre = np.argwhere(mask).mean(0)[::-1]
    linear = np.diag(np.exp(rng.uniform(-_ZOOM, _ZOOM, 2)))
    linear[0, 1] = rng.uniform(-_SHEAR, _SHEAR)
    shift = rng.normal(0, _SHIFT, 2) * size
    matrix = np.column_stack([linear, centre + shift - linear @ centre])
    moved = cv2.warpAffine(mask, matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST)
    side = int(rng.integers(1, _BRUSH))
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    moved = cv2.dilate(moved, brush) if rng.random() < 0.5 else cv2.erode(moved, brush)
    if rng.random() < _SPOILT:
        for _ in range(int(rng.integers(1, 3))):
            middle = rng.integers(0, size).astype(int).tolist()
            axes = (rng.uniform(0.03, 0.25, 2) * size.min() + 1).astype(int).tolist()
            cv2.ellipse(moved, middle, axes, float(rng.uniform(0, 180)), 0, 360, int(rng.random() < 0.35), -1)
    return np.asarray(moved, np.uint8)

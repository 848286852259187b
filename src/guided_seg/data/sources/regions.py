"""Objects from class masks: connected components of a class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from guided_seg.episode import IGNORE

PIECE = 0.15
"""A component below this share of the pixels of the class's largest belongs to the nearest large one."""


def split(labels: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """Number the connected components of each class from 1; 0 and `IGNORE` remain.

    Occlusion may divide an object, so small components belong to the nearest large one. Touching objects of a class
    stay one.

    Args:
        labels: the class of each pixel.

    Example:
        >>> split(np.array([[3, 3, 0, 3, 3, 255, 7, 7]], np.uint8)).tolist()
        [[1, 1, 0, 2, 2, 255, 3, 3]]
    """
    found = np.where(labels == IGNORE, IGNORE, 0).astype(np.uint8)
    number = 0
    for value in np.flatnonzero(np.bincount(labels.ravel(), minlength=IGNORE)[1:IGNORE]) + 1:
        inside = labels == value
        large = _large(inside.view(np.uint8))[: IGNORE - 1 - number]
        found[inside] = number + 1
        if len(large) > 1:  # each pixel belongs to the nearest large component; inside one, its distance is 0
            nearest = np.argmin([_distance(region) for region in large], axis=0)
            found[inside] += nearest[inside].astype(np.uint8)
        number += len(large)
    return found


def read_regions(read: Callable[[Path], UInt8[np.ndarray, "H W"]], path: Path) -> UInt8[np.ndarray, "H W"]:
    """Read a class mask with ``read`` and number its regions."""
    return split(read(path))


def _large(inside: UInt8[np.ndarray, "H W"]) -> list[np.ndarray]:
    """The large components, largest first."""
    _, regions, facts, _ = cv2.connectedComponentsWithStats(inside)
    sizes = facts[1:, cv2.CC_STAT_AREA]
    order = [i for i in np.argsort(-sizes, kind="stable") if sizes[i] >= PIECE * sizes.max()]
    return [regions == i + 1 for i in order]


def _distance(region: np.ndarray) -> np.ndarray:
    return cv2.distanceTransform((~region).view(np.uint8), cv2.DIST_L2, 3)

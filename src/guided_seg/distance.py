"""The Euclidean distance transform."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float32


def depth(region: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """The distance of each pixel of a region to the nearest pixel outside, in pixels; 0 outside.

    OpenCV's result has rounding errors that differ between calls, so the argmax over equally deep pixels would be
    random. Squared distances are whole numbers, so they are rounded here.

    Example:
        >>> depth(np.array([[False, True, True]]))
        array([[0., 1., 2.]], dtype=float32)
    """
    found = cv2.distanceTransform(region.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.sqrt(np.rint(np.square(found, dtype=np.float64))).astype(np.float32)

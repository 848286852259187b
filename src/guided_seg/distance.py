"""How deep pixels lie in a region."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float32


def depth(region: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """The Euclidean distance of each pixel of a region to the nearest one outside, in pixels; 0 there.

    Squared distances are whole numbers, so what OpenCV finds is rounded to one: in some images it is off by a rounding
    error, which differs from call to call, and which of equally deep pixels is deepest would be chance.

    Example:
        >>> depth(np.array([[False, True, True]]))
        array([[0., 1., 2.]], dtype=float32)
    """
    found = cv2.distanceTransform(region.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.sqrt(np.rint(np.square(found, dtype=np.float64))).astype(np.float32)

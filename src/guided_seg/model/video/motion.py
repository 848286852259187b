"""Propagates a label map to the next frame by optical flow, and drops predicted regions far from it."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

SIDE = 432
"""Longest side, in pixels, at which optical flow is computed; larger frames are scaled down."""

LEAST = 16
"""Shortest side, in pixels, at which optical flow is computed; OpenCV crashes on narrower frames."""

REACH = 0.05
"""How far an object may be from its expected place, as a share of the frame's longer side."""


class Places(NamedTuple):
    """Where the labels of a frame are, or are expected in the next frame.

    Attributes:
        labels: a label for each pixel.
        frame: the frame, RGB, to compute optical flow from; None if labels are expected to stay where they are.

    Example:
        >>> still = Places(np.array([[1, 0, 0, 0]], np.uint8))
        >>> still.at(np.zeros((1, 4, 3), np.uint8)) is still
        True
        >>> followed = Places(still.labels, np.zeros((1, 4, 3), np.uint8))
        >>> followed.keep(np.array([[1, 0, 0, 1]], np.uint8)).tolist()
        [[1, 0, 0, 0]]
        >>> still.at(np.zeros((2, 8, 3), np.uint8)).labels.tolist()
        [[1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0]]
    """

    labels: UInt8[np.ndarray, "H W"]
    frame: UInt8[np.ndarray, "H W 3"] | None = None

    def at(self, frame: UInt8[np.ndarray, "H W 3"]) -> Places:
        """The places expected in the next frame, see `moved`; resized if that frame has another size."""
        sized = self._resized(frame.shape[0], frame.shape[1])
        return sized if sized.frame is None else Places(moved(sized.labels, sized.frame, frame), frame)

    def keep(self, labels: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
        """The predicted labels without regions out of reach, see `within_reach`; without a frame, all of them."""
        return labels if self.frame is None else within_reach(labels, self.labels)

    def _resized(self, height: int, width: int) -> Places:
        if self.labels.shape == (height, width):
            return self
        # labels are names, not amounts: there is nothing between two of them
        labels = cv2.resize(self.labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        frame = None if self.frame is None else cv2.resize(self.frame, (width, height), interpolation=cv2.INTER_AREA)
        return Places(labels.astype(np.uint8), frame if frame is None else frame.astype(np.uint8))


def moved(
    labels: UInt8[np.ndarray, "H W"], before: UInt8[np.ndarray, "H W 3"], now: UInt8[np.ndarray, "H W 3"]
) -> UInt8[np.ndarray, "H W"]:
    """Warp a label map to the next frame by dense optical flow (DIS, Kroeger et al., 2016).

    Args:
        labels: of the frame before.
        before: that frame, RGB.
        now: the next one, of the same size.

    Example:
        >>> before = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        >>> before = cv2.GaussianBlur(before, (0, 0), 3)
        >>> labels = np.zeros((64, 64), np.uint8)
        >>> labels[20:40, 20:40] = 1
        >>> found = moved(labels, before, np.roll(before, 4, axis=1))
        >>> int(labels.argmax(1).max()), int(found[30].argmax())
        (20, 24)
    """
    height, width = labels.shape
    part = min(1.0, SIDE / max(height, width))
    size = (max(round(width * part), LEAST), max(round(height * part), LEAST))
    # from each pixel of the new frame to where it was, so that every one of them is given a label
    small = [
        cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
        for frame in (now, before)
    ]
    flow = _estimator().calc(small[0], small[1], None)  # type: ignore[call-overload]
    flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    columns += flow[..., 0] * (width / size[0])
    rows += flow[..., 1] * (height / size[1])
    return cv2.remap(labels, columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)


def within_reach(
    labels: UInt8[np.ndarray, "H W"], expected: UInt8[np.ndarray, "H W"], reach: float = REACH
) -> UInt8[np.ndarray, "H W"]:
    """Drop regions of a positive label that are far from where that label was expected.

    A label that was expected nowhere, or has no region near its expected place, stays as it is: objects may reappear.

    Args:
        labels: the prediction.
        expected: the expected place of each label.
        reach: see `REACH`.

    Example:
        >>> labels = np.array([[1, 1, 0, 0, 0, 0, 1, 0]], np.uint8)
        >>> within_reach(labels, np.array([[0, 1, 1, 0, 0, 0, 0, 0]], np.uint8)).tolist()
        [[1, 1, 0, 0, 0, 0, 0, 0]]
    """
    kept = labels.copy()
    for label in np.flatnonzero(np.bincount(labels.ravel())[1:]) + 1:
        there = expected == label
        if not there.any():
            continue
        inside = labels == label
        apart = cv2.distanceTransform((~there).view(np.uint8), cv2.DIST_L2, 3)
        number, regions = cv2.connectedComponents(inside.view(np.uint8))
        near = np.zeros(number, bool)
        near[regions[inside & (apart <= reach * max(labels.shape))]] = True
        if near.any():
            kept[inside & ~near[regions]] = 0
    return kept


@cache
def _estimator() -> cv2.DISOpticalFlow:
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

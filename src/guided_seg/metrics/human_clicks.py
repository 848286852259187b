"""Simulated clicks as people place them: not at the deepest point of the error."""

from __future__ import annotations

import math
from collections.abc import Iterable

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from guided_seg.errors import DataError
from guided_seg.metrics.simulated_clicks import Click, deeper_error, deepest


class Person:
    """A simulated person who clicks on one object.

    People do not click the deepest point of an error, and networks need more clicks from them than from a simulation
    that does (Antonov et al., "RClicks: Realistic Click Simulation for Benchmarking Interactive Segmentation", NeurIPS
    2024, who fit a network to 475,000 clicks). This model is simple and fitted to nothing:

    1. The person sees the error that `next_click` sees, of connected pixels around its deepest point, of depth d.
    2. They aim ``bias`` x d away from that point, in a direction drawn once for each person: a habit.
    3. They hit a pixel of this error that was not clicked before, with a probability that falls with the distance r
       from the aim as exp(-r^2 / 2 s^2), where s = ``jitter`` x d.

    So a click is always in the error, and without bias and jitter it is that of `next_click`.

    Args:
        rng: draws the direction and the pixels.
        jitter: the scatter of clicks, relative to the depth of the error.
        bias: the distance of the aim from the deepest point, relative to the depth of the error.

    Raises:
        DataError: a share is negative or not finite.

    Example:
        >>> target = np.zeros((9, 9), np.uint8)
        >>> target[2:7, 2:7] = 1
        >>> Person(np.random.default_rng(0), jitter=0, bias=0).next_click(np.zeros((9, 9), bool), target)
        Click(row=4, column=4, positive=True)
    """

    def __init__(self, rng: np.random.Generator, jitter: float, bias: float) -> None:
        if not (0 <= jitter < math.inf and 0 <= bias < math.inf):
            raise DataError(f"jitter={jitter}, bias={bias}: expected shares of the depth of an error, from 0.")
        angle = rng.uniform(0, 2 * math.pi)
        self.rng, self.jitter = rng, jitter
        self.bias = bias * np.array([math.sin(angle), math.cos(angle)])

    def next_click(
        self,
        prediction: Bool[np.ndarray, "H W"] | UInt8[np.ndarray, "H W"],
        target: UInt8[np.ndarray, "H W"],
        clicked: Iterable[Click] = (),
    ) -> Click | None:
        """The next click; see `guided_seg.metrics.simulated_clicks.next_click`."""
        wrong, positive = deeper_error(prediction, target, clicked)
        centre = deepest(wrong)
        depth = float(wrong[centre])
        if not depth:
            return None
        _, parts = cv2.connectedComponents((wrong > 0).astype(np.uint8))
        pixels = np.argwhere(parts == parts[centre])
        row, column = pixels[self._hit((pixels - centre) / depth - self.bias)].tolist()
        return Click(row, column, positive)

    def _hit(self, places: Float[np.ndarray, "N 2"]) -> int:
        """The number of the pixel that is hit, of pixels at places relative to the aim, in units of the depth."""
        squared = (places**2).sum(1)
        squared -= squared.min()
        if not self.jitter:
            return int(squared.argmin())
        chances = np.exp(-squared / (2 * self.jitter**2))
        return int(self.rng.choice(len(chances), p=chances / chances.sum()))

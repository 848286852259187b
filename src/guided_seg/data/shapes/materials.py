"""Materials of the built-in `shapes`: a palette of two colours times a pattern, each from a number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import UInt8

TILE = 64
"""Side of a seamless texture tile, in pixels."""


@dataclass(frozen=True)
class _Canvas:
    """Input of a pattern: columns x and rows y in 0..1, a number of waves, and a random generator."""

    x: np.ndarray
    y: np.ndarray
    waves: int
    rng: np.random.Generator

    def wave(self, phase: np.ndarray) -> np.ndarray:
        return np.sin(2 * np.pi * self.waves * phase)


_Pattern = Callable[[_Canvas], np.ndarray]


def _stripes(canvas: _Canvas) -> np.ndarray:
    return canvas.wave(canvas.x)


def _checks(canvas: _Canvas) -> np.ndarray:
    return canvas.wave(canvas.x) * canvas.wave(canvas.y)


def _spots(canvas: _Canvas) -> np.ndarray:
    return canvas.wave(canvas.x) + canvas.wave(canvas.y) - 0.9


def _waves(canvas: _Canvas) -> np.ndarray:
    return canvas.wave(canvas.x + 0.35 / canvas.waves * canvas.wave(canvas.y))


def _clouds(canvas: _Canvas) -> np.ndarray:
    noise = np.tile(canvas.rng.standard_normal((TILE, TILE)), (3, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), TILE / (5.0 * canvas.waves))[TILE : 2 * TILE, TILE : 2 * TILE]
    return smooth / smooth.std()


def _plain(canvas: _Canvas) -> np.ndarray:
    return 1.0 + 0.3 * canvas.rng.standard_normal((TILE, TILE))


PATTERNS: tuple[_Pattern, ...] = (_stripes, _checks, _spots, _waves, _clouds, _plain)


@lru_cache(maxsize=1024)
def texture(material: int) -> UInt8[np.ndarray, "64 64 3"]:
    """The seamless RGB tile of a material, uint8.

    Args:
        material: ``palette * len(PATTERNS) + pattern``.

    Example:
        >>> texture(7).shape
        (64, 64, 3)
    """
    palette, pattern = divmod(material, len(PATTERNS))
    rng = np.random.default_rng((20180411, palette, pattern))
    y, x = np.mgrid[:TILE, :TILE] / TILE
    wave = PATTERNS[pattern](_Canvas(x, y, int(rng.integers(4, 8)), rng))
    share = 1 / (1 + np.exp(-4 * wave))[..., None]
    first, second = _colours(palette)
    return np.round(share * first + (1 - share) * second).astype(np.uint8)


def _colours(palette: int) -> tuple[np.ndarray, np.ndarray]:
    """Two colours that differ clearly from each other."""
    rng = np.random.default_rng((20180411, palette))
    first = rng.uniform(20, 235, size=3)
    while True:
        second = rng.uniform(20, 235, size=3)
        if 90 < np.linalg.norm(first - second) < 200:
            return first, second

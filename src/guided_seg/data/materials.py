"""Materials of the built-in `shapes`: a palette of two colours times a pattern, both functions of a number."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import UInt8

TILE = 64
"""Textures are tiles of this many pixels that repeat without a seam."""

_Grid = np.ndarray
_Pattern = Callable[[_Grid, _Grid, int, np.random.Generator], np.ndarray]


def _stripes(x: _Grid, y: _Grid, waves: int, rng: np.random.Generator) -> np.ndarray:
    return np.sin(2 * np.pi * waves * x)


def _checks(x: _Grid, y: _Grid, waves: int, rng: np.random.Generator) -> np.ndarray:
    return np.sin(2 * np.pi * waves * x) * np.sin(2 * np.pi * waves * y)


def _spots(x: _Grid, y: _Grid, waves: int, rng: np.random.Generator) -> np.ndarray:
    return np.cos(2 * np.pi * waves * x) + np.cos(2 * np.pi * waves * y) - 0.9


def _waves(x: _Grid, y: _Grid, waves: int, rng: np.random.Generator) -> np.ndarray:
    return np.sin(2 * np.pi * (waves * x + 0.35 * np.sin(2 * np.pi * waves * y)))


def _clouds(x: _Grid, y: _Grid, waves: int, rng: np.random.Generator) -> np.ndarray:
    noise = np.tile(rng.standard_normal((TILE, TILE)), (3, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), TILE / (5.0 * waves))[TILE : 2 * TILE, TILE : 2 * TILE]
    return smooth / smooth.std()


def _plain(x: _Grid, y: _Grid, waves: int, rng: np.random.Generator) -> np.ndarray:
    return 1.0 + 0.3 * rng.standard_normal((TILE, TILE))


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
    wave = PATTERNS[pattern](x, y, int(rng.integers(4, 8)), rng)
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

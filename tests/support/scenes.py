"""Small masks for metrics to fail on: random, empty, full, one pixel, at the border."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from guided_seg.episode import IGNORE

quick = settings(max_examples=150, deadline=None)

Scene = tuple[np.ndarray, np.ndarray, np.ndarray]
KINDS = ("noise", "box", "empty", "full", "one pixel", "border")


def mask(kind: str, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A bool mask of one kind."""
    out = np.zeros((height, width), bool)
    if kind == "noise":
        out |= rng.random((height, width)) < rng.random()
    elif kind == "box":
        rows, columns = np.sort(rng.integers(height + 1, size=2)), np.sort(rng.integers(width + 1, size=2))
        out[slice(*rows), slice(*columns)] = True
    elif kind == "full":
        out[:] = True
    elif kind == "one pixel":
        out[rng.integers(height), rng.integers(width)] = True
    elif kind == "border":
        out[:] = True
        out[1:-1, 1:-1] = False
    return out


@st.composite
def scenes(draw: st.DrawFn, largest: int = 14) -> Scene:
    """The bool masks of a prediction, an object and void pixels, each of any kind, on one image."""
    height, width = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = [draw(st.sampled_from(KINDS)) for _ in range(2)] + [draw(st.sampled_from(("empty", *KINDS)))]
    prediction, target, void = (mask(kind, height, width, rng) for kind in kinds)
    return prediction, target, void


def label_map(target: np.ndarray, void: np.ndarray) -> np.ndarray:
    """The same as values: 0, 1 and `IGNORE`."""
    return np.where(void, IGNORE, target).astype(np.uint8)

"""Depth in a region: exact, whatever the rounding of the library that finds it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from guided_seg.distance import depth


def blobs(seed: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    region = np.zeros((height, width), np.uint8)
    for _ in range(3):
        centre, axes = (rng.integers((width, height)).tolist(), rng.integers(2, 60, 2).tolist())
        cv2.ellipse(region, centre, axes, 0, 0, 360, (1,), -1)
    return np.pad(region, 1) == 1


@given(st.integers(0, 10**6), st.integers(1, 200), st.integers(1, 200))
def test_it_is_the_exact_distance(seed: int, height: int, width: int) -> None:
    region = blobs(seed, height, width)
    assert np.array_equal(depth(region), ndimage.distance_transform_edt(region).astype(np.float32))


def test_rounding_of_the_library_does_not_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    region = blobs(3, 120, 160)
    expected, exact = depth(region), cv2.distanceTransform
    rng = np.random.default_rng(0)

    def rounded(*args: int) -> np.ndarray:
        found = np.asarray(exact(*args))
        return np.nextafter(found, np.where(rng.random(found.shape) < 0.5, np.inf, -np.inf), dtype=np.float32)

    monkeypatch.setattr(cv2, "distanceTransform", rounded)
    assert np.array_equal(depth(region), expected)

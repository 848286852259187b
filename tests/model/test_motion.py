"""Labels that are moved along by optical flow, and regions that are out of reach."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jaxtyping import UInt8

from guided_seg.metrics.j_and_f import region_similarity
from guided_seg.model.video.motion import moved, within_reach

LABELS = hnp.arrays(np.uint8, (12, 17), elements=st.sampled_from([0, 0, 1, 2, 255]))


def textured(height: int, width: int) -> UInt8[np.ndarray, "H W 3"]:
    noise = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.mark.parametrize(("height", "width", "down", "right"), [(120, 160, 5, -7), (480, 864, -16, 20)])
def test_a_label_is_where_its_pixels_have_gone(height: int, width: int, down: int, right: int) -> None:
    before = textured(height, width)
    labels = np.zeros((height, width), np.uint8)
    labels[height // 4 : height // 2, width // 4 : width // 2] = 2
    shift, axes = (down, right), (0, 1)
    found = moved(labels, before, np.roll(before, shift, axes))
    there = np.roll(labels, shift, axes) == 2
    assert set(np.unique(found)) == {0, 2}
    assert region_similarity(found == 2, there) > 0.97
    assert region_similarity(found == 2, there) > region_similarity(labels == 2, there) + 0.1


def test_of_a_frame_that_stands_still_labels_stay() -> None:
    frame = textured(60, 80)
    labels = np.random.default_rng(1).integers(0, 3, (60, 80)).astype(np.uint8)
    assert (moved(labels, frame, frame) == labels).all()


@given(labels=LABELS, expected=LABELS, reach=st.sampled_from([0.0, 0.1, 0.3]))
def test_what_is_out_of_reach_is_negative_and_all_else_stays(
    labels: UInt8[np.ndarray, "12 17"], expected: UInt8[np.ndarray, "12 17"], reach: float
) -> None:
    found = within_reach(labels, expected, reach)
    changed = found != labels
    assert (found[changed] == 0).all()
    assert (within_reach(found, expected, reach) == found).all()
    for label in (1, 2):
        here = labels == label
        # what lies where it was expected stays, and a label is never lost as a whole
        assert (found[here & (expected == label)] == label).all()
        assert (found == label).any() == here.any()
        if not (expected == label).any():
            assert ((found == label) == here).all()
    assert (within_reach(labels, expected, 2.0) == labels).all()

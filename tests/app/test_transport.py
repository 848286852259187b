"""Label maps and masks survive their way between server and page."""

from __future__ import annotations

import base64
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from guided_seg.app.transport import frame, grey, mask_of, runs
from guided_seg.errors import UserError

SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=9)


def decoded(data: bytes) -> np.ndarray:
    """The label map of runs, as the page decodes it."""
    number = len(data) // 5
    lengths = struct.unpack(f"<{number}I", data[: 4 * number])
    return np.concatenate([np.full(n, label, np.uint8) for n, label in zip(lengths, data[4 * number :], strict=True)])


@given(labels=arrays(np.uint8, SHAPES, elements=st.integers(0, 3)))
def test_runs_are_the_label_map(labels: np.ndarray) -> None:
    data = runs(labels)
    assert np.array_equal(decoded(data).reshape(labels.shape), labels)
    shortest = 1 + np.count_nonzero(np.diff(labels.ravel()))
    assert len(data) == 5 * shortest


@given(mask=arrays(np.bool_, SHAPES))
def test_a_mask_comes_back(mask: np.ndarray) -> None:
    flat = np.concatenate([[False], mask.ravel()])
    starts = np.flatnonzero(np.diff(flat)) if len(flat) > 1 else []
    lengths = np.diff(np.concatenate([[0], starts, [mask.size]])).astype("<u4")
    assert np.array_equal(mask_of(base64.b64encode(lengths.tobytes()).decode(), mask.shape), mask)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", "cannot be read"),
        ("AAA=", "no run lengths"),
        ("", "has 0 pixels"),
        (base64.b64encode(struct.pack("<2I", 3, 4)).decode(), "has 7 pixels and the image 6"),
        (base64.b64encode(struct.pack("<2I", 2**32 - 1, 2**32 - 1)).decode(), "same size"),
        ("ÄÖ", "cannot be read"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(text: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        mask_of(text, (2, 3))


def test_a_frame_is_its_header_and_its_payload() -> None:
    data = frame({"type": "mask", "image": "größe"}, b"payload")
    (length,) = struct.unpack("<I", data[:4])
    assert json.loads(data[4 : 4 + length]) == {"type": "mask", "image": "größe"}
    assert data[4 + length :] == b"payload"


def test_grey_values_are_bytes() -> None:
    values = np.array([[0, 0.5, 1], [-1, 2, np.nan]])
    assert list(grey(values)) == [0, 128, 255, 0, 255, 0]

"""How sure an answer is, and where to click next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.networks import network

from guided_seg.errors import UserError
from guided_seg.session import Session
from guided_seg.session.confidence import EMPTY, confidence, next_click

scores = st.tuples(st.integers(2, 4), st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(-20, 20, width=32))
)


@given(scores=scores, data=st.data())
def test_confidence_grows_with_the_probability_of_the_labels_that_pixels_have(
    scores: np.ndarray, data: st.DataObject
) -> None:
    before = confidence(scores)
    assert 0 <= before <= 1
    row, column = (data.draw(st.integers(0, side - 1)) for side in scores.shape[1:])
    label = scores[:, row, column].argmax()
    scores[label, row, column] += data.draw(st.floats(0, 10, width=32))
    assert confidence(scores) >= before - 1e-6


def test_confidence_is_the_expected_iou() -> None:
    """Of 60 pixels found half are right, and of the other 340 a tenth is missed."""
    odds = np.full((20, 20), np.log(0.1 / 0.9), np.float32)
    odds[:3] = 1e-3  # found, with a probability of just over a half
    scores = np.stack([np.zeros_like(odds), odds])
    spare = 400 * EMPTY
    assert confidence(scores) == pytest.approx((30 + spare) / (60 + 34 + spare), abs=1e-3)


@pytest.mark.parametrize("label", [0, 1])
def test_certain_answers_are_sure_also_where_they_are_empty(label: int) -> None:
    scores = np.zeros((2, 20, 30), np.float32)
    scores[label] = 20
    assert confidence(scores) == pytest.approx(1, abs=1e-4)
    assert next_click(scores) is None


def unsure(*regions: tuple[slice, slice]) -> np.ndarray:
    """Scores of three labels: certain of 1, but in the regions, where 2 is close."""
    scores = np.zeros((3, 60, 80), np.float32)
    scores[1] = 8
    for region in regions:
        scores[2][region] = 7.9
    return scores


def test_a_click_goes_to_the_middle_of_the_deepest_region() -> None:
    small, large = (slice(5, 14), slice(5, 14)), (slice(20, 51), slice(30, 61))
    assert next_click(unsure(small, large)) == (35, 45, 2)
    known = np.zeros((60, 80), bool)
    known[large] = True
    assert next_click(unsure(small, large), known) == (9, 9, 2)


def test_a_region_that_is_thin_is_no_place_to_click() -> None:
    assert next_click(unsure((slice(0, 60), slice(40, 41)))) is None


@given(scores=scores, seed=st.integers(0, 99))
def test_a_click_is_in_the_image_and_on_no_known_pixel(scores: np.ndarray, seed: int) -> None:
    known = np.random.default_rng(seed).random(scores.shape[1:]) < 0.3
    if (found := next_click(scores, known)) is not None:
        row, column, label = found
        assert not known[row, column]
        assert label != scores[:, row, column].argmax() or len(np.unique(scores[:, row, column])) < len(scores)


def test_a_session_says_them_of_its_own_answers(late: Session) -> None:
    late.add_label("cup")
    late.dot("a", 3, 4, "cup")
    found = {name: late.segment(name, return_scores=True)[1] for name in "ab"}
    assert {name: late.confidence(name) for name in "ab"} == {name: confidence(found[name]) for name in "ab"}
    known = np.zeros((37, 50), bool)
    known[3, 4] = True
    assert late.next_click("a") == next_click(found["a"], known)
    assert late.next_image() == min("ab", key=lambda name: confidence(found[name]))
    assert Session(network("late_global")).next_image() is None


@pytest.mark.parametrize("act", ["confidence", "next_click"])
def test_there_has_to_be_an_answer(late: Session, act: str) -> None:
    with pytest.raises(UserError, match="no image 'c'"):
        getattr(late, act)("c")
    with pytest.raises(UserError, match="nothing to segment yet"):
        getattr(late, act)("a")
    with pytest.raises(UserError, match="nothing to segment yet"):
        late.next_image()

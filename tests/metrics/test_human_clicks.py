"""Clicks of simulated people: in the error, around a point beside its deepest one, and the same again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scenes import Scene, label_map, quick, scenes

from guided_seg.errors import DataError
from guided_seg.metrics.human_clicks import Person
from guided_seg.metrics.simulated_clicks import Click, deeper_error, deepest, next_click

DEPTH = 40


def disc() -> np.ndarray:
    """A target whose deepest point is (50, 50)."""
    rows, columns = np.indices((101, 101))
    return ((rows - 50) ** 2 + (columns - 50) ** 2 < DEPTH**2).astype(np.uint8)


def first_clicks(people: int, jitter: float, bias: float) -> np.ndarray:
    """Where as many people click a disc first, relative to its centre."""
    target = disc()
    found = []
    for number in range(people):
        click = Person(np.random.default_rng(number), jitter, bias).next_click(np.zeros(target.shape, bool), target)
        assert click is not None
        assert click.positive
        found.append((click.row - 50, click.column - 50))
    return np.array(found)


@quick
@given(scenes(largest=9), st.floats(0, 2), st.floats(0, 2), st.integers(0, 99))
def test_a_click_is_in_the_part_of_the_error_around_its_deepest_point(
    scene: Scene, jitter: float, bias: float, seed: int
) -> None:
    prediction, target = scene[0], label_map(*scene[1:])
    person, clicks = Person(np.random.default_rng(seed), round(jitter, 3), round(bias, 3)), list[Click]()
    while (click := person.next_click(prediction, target, clicks)) is not None:
        wrong, positive = deeper_error(prediction, target, clicks)
        _, parts = cv2.connectedComponents((wrong > 0).astype(np.uint8))
        assert parts[click.row, click.column] == parts[deepest(wrong)] > 0
        assert click.positive == positive == bool(target[click.row, click.column] == 1)
        clicks.append(click)
    assert len(set(clicks)) == len(clicks)
    assert next_click(prediction, target, clicks) is None


def test_jitter_scatters_clicks_by_a_share_of_the_depth() -> None:
    found = first_clicks(400, jitter=0.2, bias=0)
    assert np.abs(found.mean(0)).max() < 1.5
    assert found.std(0) == pytest.approx(0.2 * DEPTH, rel=0.1)


def test_bias_moves_the_aim_in_a_direction_of_the_person() -> None:
    found = first_clicks(400, jitter=0, bias=0.5)
    assert np.hypot(*found.T) == pytest.approx(0.5 * DEPTH, abs=1)
    assert np.abs(found.mean(0)).max() < 2


def test_a_person_keeps_their_direction() -> None:
    target, person = disc(), Person(np.random.default_rng(3), jitter=0, bias=0.5)
    nothing = np.zeros(target.shape, bool)
    clicks = [person.next_click(nothing, target), person.next_click(nothing, target)]
    assert clicks[0] == clicks[1]
    assert clicks[0] != Person(np.random.default_rng(4), jitter=0, bias=0.5).next_click(nothing, target)


def test_an_aim_beyond_the_error_hits_the_nearest_of_its_pixels() -> None:
    target = np.zeros((9, 9), np.uint8)
    target[3:6, 3:6] = 1
    clicks = [Person(np.random.default_rng(n), 0, 9).next_click(np.zeros((9, 9), bool), target) for n in range(20)]
    assert all(click is not None and target[click.row, click.column] == 1 for click in clicks)
    assert len(set(clicks)) > 2


def test_the_same_numbers_give_the_same_clicks() -> None:
    assert (first_clicks(20, 0.5, 0.3) == first_clicks(20, 0.5, 0.3)).all()


@pytest.mark.parametrize(("jitter", "bias"), [(-0.1, 0), (0, -0.1), (float("nan"), 0), (0, float("inf"))])
def test_what_cannot_be_is_refused(jitter: float, bias: float) -> None:
    with pytest.raises(DataError, match=r"jitter=.*, bias=.*: expected shares of the depth of an error, from 0"):
        Person(np.random.default_rng(0), jitter, bias)

"""J and F against their definitions, pixel by pixel, and against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scenes import Scene, quick, scenes

from guided_seg.metrics.j_and_f import contour_accuracy, region_similarity

EMPTY, FULL = np.zeros((10, 12), bool), np.ones((10, 12), bool)
ONE, OTHER = EMPTY.copy(), EMPTY.copy()
ONE[4, 4], OTHER[8, 9] = True, True


def slow_similarity(prediction: np.ndarray, target: np.ndarray, void: np.ndarray) -> float:
    pixels = [(p, t) for p, t, v in zip(prediction.flat, target.flat, void.flat, strict=True) if not v]
    union = sum(bool(p or t) for p, t in pixels)
    return sum(bool(p and t) for p, t in pixels) / union if union else 1.0


def slow_boundary(mask: np.ndarray) -> list[tuple[int, int]]:
    """The pixels with another value to their right, below, or right below."""
    height, width = mask.shape
    return [
        (row, column)
        for row in range(height)
        for column in range(width)
        if any(
            mask[row, column] != mask[r, c]
            for r, c in [(row, column + 1), (row + 1, column), (row + 1, column + 1)]
            if r < height and c < width
        )
    ]


def slow_accuracy(prediction: np.ndarray, target: np.ndarray, void: np.ndarray, bound: float) -> float:
    found, true = slow_boundary(prediction & ~void), slow_boundary(target & ~void)
    tolerance = math.ceil(bound * math.sqrt(target.shape[0] ** 2 + target.shape[1] ** 2))

    def share(pixels: list[tuple[int, int]], others: list[tuple[int, int]]) -> float:
        return sum(any(math.dist(pixel, other) <= tolerance for other in others) for pixel in pixels) / len(pixels)

    precision = share(found, true) if found else 1.0
    recall = share(true, found) if true else 1.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@quick
@given(scenes())
def test_j_is_that_of_a_loop_over_pixels(scene: Scene) -> None:
    assert region_similarity(*scene) == slow_similarity(*scene)


@quick
@given(scenes(largest=11), st.sampled_from([0.0, 0.008, 0.1, 0.25, 1.0]))
def test_f_is_that_of_a_loop_over_boundary_pixels(scene: Scene, bound: float) -> None:
    assert contour_accuracy(*scene, bound=bound) == pytest.approx(slow_accuracy(*scene, bound))


@quick
@given(scenes())
def test_void_pixels_do_not_matter(scene: Scene) -> None:
    prediction, target, void = scene
    for metric in (region_similarity, contour_accuracy):
        scores = [metric(p, t, void) for p in (prediction | void, prediction & ~void) for t in (target, target ^ void)]
        assert len(set(scores)) == 1


@quick
@given(scenes())
def test_prediction_and_target_may_be_swapped(scene: Scene) -> None:
    prediction, target, void = scene
    for metric in (region_similarity, contour_accuracy):
        assert metric(prediction, target, void) == metric(target, prediction, void)


@pytest.mark.parametrize(
    ("prediction", "target", "void", "j", "f"),
    [
        pytest.param(ONE, ONE, None, 1.0, 1.0, id="equal"),
        pytest.param(EMPTY, EMPTY, None, 1.0, 1.0, id="both empty"),
        pytest.param(EMPTY, ONE, None, 0.0, 0.0, id="missed"),
        pytest.param(ONE, EMPTY, None, 0.0, 0.0, id="false alarm"),
        pytest.param(OTHER, ONE, None, 0.0, 0.0, id="elsewhere"),
        pytest.param(FULL, FULL, None, 1.0, 1.0, id="both full"),
        pytest.param(EMPTY, FULL, None, 0.0, 1.0, id="neither has a boundary"),
        pytest.param(ONE, FULL, FULL, 1.0, 1.0, id="only void"),
        pytest.param(ONE | OTHER, ONE, OTHER, 1.0, 1.0, id="false alarm in void"),
        # 4 boundary pixels around each dot: 4 of 8 are right, and all 4 are found
        pytest.param(ONE | OTHER, ONE, None, 1 / 2, 2 / 3, id="one of two"),
    ],
)
def test_scores_worked_out_by_hand(
    prediction: np.ndarray, target: np.ndarray, void: np.ndarray | None, j: float, f: float
) -> None:
    assert region_similarity(prediction, target, void) == j
    assert contour_accuracy(prediction, target, void) == pytest.approx(f)


@pytest.mark.parametrize(("apart", "score"), [(4, 1.0), (5, 0.0)])
@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (301, 349)], ids=str)
def test_the_tolerance_is_a_share_of_the_diagonal_rounded_up(shape: tuple[int, int], apart: int, score: float) -> None:
    # 0.008 of diagonals of 500, 500 and 460.9 pixels: 4, 4 and 3.7
    prediction, target = np.zeros(shape, bool), np.zeros(shape, bool)
    prediction[:, :100], target[:, : 100 + apart] = True, True
    assert contour_accuracy(prediction, target) == score

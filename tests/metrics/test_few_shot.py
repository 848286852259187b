"""mIoU and FB-IoU against brute-force counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scenes import Scene, label_map, quick, scenes

from guided_seg.metrics.few_shot import class_miou, count, fb_iou

Named = tuple[str, Scene]


def slow_iou(episodes: list[Scene], value: bool) -> float:
    """IoU of the pixels that are (or are not) the class, over all episodes; 1 of none."""
    intersection = union = 0
    for prediction, target, void in episodes:
        for p, t, v in zip(prediction.flat, target.flat, void.flat, strict=True):
            if not v:
                intersection += bool(p == value and t == value)
                union += bool(p == value or t == value)
    return intersection / union if union else 1.0


def counts(episodes: list[Scene]) -> np.ndarray:
    return np.array([count(prediction, label_map(target, void)) for prediction, target, void in episodes])


@quick
@given(st.lists(st.tuples(st.sampled_from(["cow", "dog", "car"]), scenes(largest=8)), min_size=1, max_size=6))
def test_scores_are_those_of_a_loop_over_pixels(named: list[Named]) -> None:
    names, episodes = [name for name, _ in named], [scene for _, scene in named]
    foreground, background = slow_iou(episodes, True), slow_iou(episodes, False)
    assert fb_iou(counts(episodes)) == pytest.approx((foreground + background) / 2)
    classes = [slow_iou([scene for other, scene in named if other == name], True) for name in sorted(set(names))]
    assert class_miou(names, counts(episodes)) == pytest.approx(sum(classes) / len(classes))


@pytest.mark.parametrize(
    ("prediction", "target", "expected"),
    [
        pytest.param([1, 1, 0, 0], [1, 0, 1, 0], (1, 3, 1, 3), id="some right"),
        pytest.param([0, 0, 0, 0], [0, 0, 0, 0], (0, 0, 4, 4), id="the class is absent"),
        pytest.param([1, 0, 0, 0], [0, 0, 0, 0], (0, 1, 3, 4), id="absent but found"),
        pytest.param([1, 1, 1, 1], [1, 1, 1, 1], (4, 4, 0, 0), id="full"),
        pytest.param([1, 0, 1, 0], [255, 255, 255, 255], (0, 0, 0, 0), id="only void"),
        pytest.param([1, 0, 1, 0], [1, 0, 255, 255], (1, 1, 1, 1), id="void is left out of all four"),
        pytest.param([7, 0, 0, 0], [15, 15, 0, 0], (1, 2, 2, 3), id="any value is the class"),
    ],
)
def test_counts_worked_out_by_hand(prediction: list[int], target: list[int], expected: tuple[int, ...]) -> None:
    found = np.array([prediction], np.uint8)
    assert count(found, np.array([target], np.uint8)) == expected
    assert count(found != 0, np.array([target], np.uint8)) == expected


def test_pixels_are_summed_within_a_class_and_classes_are_averaged() -> None:
    table = np.array([[9, 10, 80, 90], [0, 90, 0, 10], [1, 2, 8, 9]])
    assert class_miou(["cow", "cow", "dog"], table) == pytest.approx((9 / 100 + 1 / 2) / 2)
    assert fb_iou(table) == pytest.approx((10 / 102 + 88 / 109) / 2)


def test_names_and_counts_must_match() -> None:
    with pytest.raises(ValueError, match="2 names of classes for 1 episodes"):
        class_miou(["cow", "dog"], np.array([[1, 2, 3, 4]]))
    with pytest.raises(ValueError, match="1 names of classes for 2 episodes"):
        class_miou(["cow"], np.array([[1, 2, 3, 4]] * 2))


def test_no_episodes_are_no_score() -> None:
    nothing = np.zeros((0, 4), np.int64)
    with pytest.raises(ValueError, match="no episodes to score"):
        class_miou([], nothing)
    with pytest.raises(ValueError, match="no episodes to score"):
        fb_iou(nothing)

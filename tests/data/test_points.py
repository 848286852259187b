from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from guided_seg.data.sampling.points import DENSE, PointRange, binarize, keep_labels, sample_points
from guided_seg.episode import IGNORE
from guided_seg.errors import DataError

many = settings(max_examples=60, deadline=None)


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    """Any size; labels from rare to everywhere, and void."""
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    shares = draw(st.lists(st.sampled_from([0.0, 0.002, 0.1, 1.0]), min_size=4, max_size=4).filter(any))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = np.array([0, 1, 2, IGNORE], np.uint8)
    return rng.choice(values, size=(height, width), p=np.array(shares) / sum(shares))


class TestSamplePoints:
    @many
    @given(mask=masks(), points=st.integers(1, 3000), seed=st.integers(0, 2**32))
    def test_distinct_pixels_of_the_right_label_as_many_as_there_are(
        self, mask: np.ndarray, points: int, seed: int
    ) -> None:
        dots = sample_points(mask, points, (0, 1, 2), np.random.default_rng(seed))
        assert dots.dtype == torch.int64
        assert all(mask[row, column] == label for row, column, label in dots.tolist())
        assert len({(row, column) for row, column, _ in dots.tolist()}) == len(dots)
        for label in (0, 1, 2):
            assert int((dots[:, 2] == label).sum()) == min(points, int((mask == label).sum()))

    @many
    @given(mask=masks(), few=st.integers(1, 2000), more=st.integers(0, 2000), seed=st.integers(0, 2**32))
    def test_fewer_dots_are_the_first_of_more(self, mask: np.ndarray, few: int, more: int, seed: int) -> None:
        small, large = (sample_points(mask, p, (0, 1, 2), np.random.default_rng(seed)) for p in (few, few + more))
        for label in (0, 1, 2):
            ours, theirs = (dots[dots[:, 2] == label].tolist() for dots in (small, large))
            assert theirs[: len(ours)] == ours

    def test_fewer_dots_are_the_first_of_more_where_several_labels_are_rare(self) -> None:
        mask = np.full((300, 300), IGNORE, np.uint8)
        mask[:3, :20], mask[10:13, :20] = 0, 1
        for seed in range(50):
            one, ten = (sample_points(mask, p, (0, 1), np.random.default_rng(seed)).tolist() for p in (1, 10))
            assert one == [ten[0], ten[10]]

    @pytest.mark.parametrize("labels", [(0,), (1,), (2, 0)])
    def test_only_the_asked_labels_in_their_order(self, labels: tuple[int, ...]) -> None:
        mask = np.repeat(np.array([0, 1, 2, IGNORE], np.uint8), 40).reshape(16, 10)
        dots = sample_points(mask, 5, labels, np.random.default_rng(0))
        assert dots[:, 2].tolist() == [label for label in labels for _ in range(5)]

    def test_nothing_where_there_is_nothing(self) -> None:
        mask = np.full((4, 5), IGNORE, np.uint8)
        assert sample_points(mask, 3, (0, 1), np.random.default_rng(0)).shape == (0, 3)

    def test_equal_generators_give_equal_dots(self) -> None:
        mask = np.eye(50, dtype=np.uint8)
        first, second, other = (sample_points(mask, 9, (0, 1), np.random.default_rng(s)) for s in (1, 1, 2))
        assert torch.equal(first, second)
        assert not torch.equal(first, other)

    def test_the_whole_mask_is_looked_through_for_rare_labels_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[int] = []
        look = np.flatnonzero
        monkeypatch.setattr(np, "flatnonzero", lambda array: calls.append(1) or look(array))
        monkeypatch.setattr(np, "where", None)
        mask = np.zeros((375, 500), np.uint8)
        mask[100:200, 100:250] = 1  # 8 % of the image, as objects are
        for seed in range(200):
            sample_points(mask, 1 + seed % 64, (0, 1), np.random.default_rng(seed))
        assert not calls
        mask[:] = 0
        mask[7, 7] = 1
        assert sample_points(mask, 5, (0, 1), np.random.default_rng(0))[-1].tolist() == [7, 7, 1]
        assert len(calls) == 1

    @pytest.mark.parametrize(("height", "width", "points"), [(6, 10, 1), (6, 10, 7), (60, 100, 3)])
    def test_every_pixel_is_as_likely_as_any_other(self, height: int, width: int, points: int) -> None:
        """Chi-square over the pixels of a label; the last size has it so rare that it is looked up."""
        mask = np.full((height, width), 0, np.uint8)
        mask[1:5, 2:7] = 1
        rng = np.random.default_rng(0)
        times = np.zeros((height, width))
        rounds = 1500
        for _ in range(rounds):
            dots = sample_points(mask, points, (1,), rng)
            times[dots[:, 0], dots[:, 1]] += 1
        expected = rounds * points / 20
        chi = ((times[mask == 1] - expected) ** 2 / expected).sum()
        assert times[mask == 0].sum() == 0
        assert chi < 50  # 19 degrees of freedom: one in 10 000

    def test_the_image_may_be_one_pixel(self) -> None:
        assert sample_points(np.ones((1, 1), np.uint8), 4, (0, 1), np.random.default_rng(0)).tolist() == [[0, 0, 1]]


class TestPointRange:
    def test_one_and_dense_and_all_between(self) -> None:
        points, rng = PointRange(low=1, high=8, dense=0.2), np.random.default_rng(0)
        drawn = [points.draw(rng) for _ in range(4000)]
        sparse = [p for p in drawn if p is not DENSE]
        assert set(sparse) == set(range(1, 9))
        assert abs(1 - len(sparse) / 4000 - 0.2) < 0.03

    def test_each_doubling_is_as_likely(self) -> None:
        points, rng = PointRange(low=1, high=63, dense=0.0), np.random.default_rng(0)
        drawn = np.array([points.draw(rng) for _ in range(6000)])
        shares = [((drawn >= 2**k) & (drawn < 2 ** (k + 1))).mean() for k in range(6)]
        assert np.allclose(shares, 1 / 6, atol=0.03)

    @pytest.mark.parametrize(("low", "high"), [(1, 1), (5, 5), (3, 4), (1000, 1000)])
    def test_bounds_are_kept(self, low: int, high: int) -> None:
        points, rng = PointRange(low=low, high=high, dense=0.0), np.random.default_rng(0)
        assert {points.draw(rng) for _ in range(300)} == set(range(low, high + 1))

    def test_always_dense(self) -> None:
        assert {PointRange(dense=1.0).draw(np.random.default_rng(s)) for s in range(20)} == {DENSE}

    def test_one_label_is_missing_in_its_share_of_the_shots(self) -> None:
        points, rng = PointRange(missing=0.3), np.random.default_rng(0)
        drawn = [points.labels(3, rng) for _ in range(3000)]
        shares = {labels: drawn.count(labels) / 3000 for labels in set(drawn)}
        assert shares.pop((0, 1, 2)) == pytest.approx(0.7, abs=0.03)
        assert set(shares) == {(0, 1), (0, 2), (1, 2)}
        assert list(shares.values()) == pytest.approx([0.1] * 3, abs=0.02)

    def test_none_is_missing(self) -> None:
        assert {PointRange(missing=0.0).labels(2, np.random.default_rng(s)) for s in range(50)} == {(0, 1)}

    def test_the_p_of_an_episode_is_that_of_its_shots_and_draws_nothing(self) -> None:
        rng = np.random.default_rng(0)
        assert [PointRange().draw_shot(points, (0, 1), rng) for points in (7, DENSE)] == [7, DENSE]
        assert rng.random() == np.random.default_rng(0).random()

    def test_each_shot_may_have_its_own_p(self) -> None:
        points, rng = PointRange(low=1, high=4, dense=0.5, vary="shot"), np.random.default_rng(0)
        drawn = [points.draw_shot(9, (0, 1), rng) for _ in range(400)]
        assert set(drawn) == {1, 2, 3, 4, DENSE}
        assert drawn.count(DENSE) / 400 == pytest.approx(0.5, abs=0.1)

    def test_each_label_may_have_its_own_p(self) -> None:
        points, rng = PointRange(low=1, high=4, dense=0.2, vary="label"), np.random.default_rng(0)
        drawn = [points.draw_shot(DENSE, (0, 2), rng) for _ in range(600)]
        pairs = {(p[0], p[2]) for p in drawn if isinstance(p, Mapping)}
        assert pairs == {(first, second) for first in range(1, 5) for second in range(1, 5)}
        assert all(set(p) == {0, 2} if isinstance(p, Mapping) else p is DENSE for p in drawn)
        assert drawn.count(DENSE) / 600 == pytest.approx(0.2, abs=0.06)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"low": 0}, "points.low=0, points.high=64: expected 1 <= low <= high"),
            ({"low": 9, "high": 8}, "points.low=9, points.high=8"),
            ({"dense": 1.1}, "points.dense=1.1, points.missing=0.05: shares lie in 0..1"),
            ({"missing": -0.1}, "shares lie in 0..1"),
            ({"vary": "image"}, "points.vary=image: expected episode, shot, label"),
        ],
    )
    def test_a_range_that_cannot_be_is_refused(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(DataError, match=message):
            PointRange(**options)


@many
@given(values=st.lists(st.integers(1, 254), unique=True, max_size=5), seed=st.integers(0, 2**32))
def test_binarize(values: list[int], seed: int) -> None:
    labels = np.random.default_rng(seed).integers(256, size=(20, 30), dtype=np.uint8)
    labels[0, : len(values) + 1] = [*values, IGNORE]
    before = labels.copy()
    task = binarize(labels, tuple(values))
    for label, value in enumerate(values, 1):
        assert np.array_equal(task == label, labels == value)
    assert np.array_equal(task == IGNORE, labels == IGNORE)
    assert np.array_equal(task == 0, ~np.isin(labels, [*values, IGNORE]))
    assert np.array_equal(labels, before)
    assert task.dtype == np.uint8


@pytest.mark.parametrize("labels", [(0,), (1,), (0, 2), (0, 1, 2)])
def test_labels_that_are_not_kept_are_not_annotated(labels: tuple[int, ...]) -> None:
    mask = np.array([[0, 1, 2, IGNORE]], np.uint8)
    kept = keep_labels(mask, labels)
    assert kept.tolist() == [[value if value in labels else IGNORE for value in (0, 1, 2, IGNORE)]]
    assert kept is not mask

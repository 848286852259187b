"""Intervals against printed tables, hand computation and a plain bootstrap."""

from __future__ import annotations

import math
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from guided_seg.metrics import intervals
from guided_seg.metrics.intervals import bootstrap, paired_p, t_interval


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622), (120, 1.9799)]
)
def test_t_is_that_of_the_tables(freedom: int, quantile: float) -> None:
    values = [float(number) for number in range(freedom + 1)]
    error = stdev(values) / math.sqrt(len(values))
    low, high = t_interval(values)
    assert (high - low) / 2 / error == pytest.approx(quantile, abs=1e-4)
    # shifted so that the mean is `quantile` errors away from 0
    shifted = [value - fmean(values) + quantile * error for value in values]
    assert paired_p(shifted, [0.0] * len(values)) == pytest.approx(0.05, abs=1e-5)


def test_intervals_by_hand() -> None:
    # 50, 52, 57: mean 53, variance 13, 4.3027 * sqrt(13 / 3) = 8.9567
    assert t_interval([50, 52, 57]) == pytest.approx((53 - 8.9567, 53 + 8.9567), abs=1e-3)
    assert all(map(math.isnan, t_interval([50])))
    assert t_interval([50, 50]) == (50, 50)


def test_the_paired_test_by_hand() -> None:
    # differences 3, 5, 4, 4: mean 4, deviation sqrt(2/3), t = 4 / (0.8165 / 2) = 9.798 at 3 degrees of freedom
    assert paired_p([53, 56, 57, 60], [50, 51, 53, 56]) == pytest.approx(0.002255, abs=1e-5)
    assert paired_p([50, 51], [50, 51]) == 1
    assert paired_p([1.0], [2.0]) == 1
    assert paired_p([2.0, 3.0], [1.0, 2.0]) == 0  # the same difference each time


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_both_tests_are_those_of_scipy(number: int, seed: int) -> None:
    ours, theirs = np.random.default_rng(seed).random((2, number))
    expected = stats.t.interval(0.95, number - 1, ours.mean(), stats.sem(ours))
    assert t_interval(ours.tolist()) == pytest.approx(expected)
    assert paired_p(ours.tolist(), theirs.tolist()) == pytest.approx(stats.ttest_rel(ours, theirs).pvalue)


def mean(values: np.ndarray, units: int, draws: int) -> list[float]:
    return bootstrap(lambda times: times @ values / times.sum(1), units, draws)


@pytest.mark.parametrize("block", [10, 1 << 20])
def test_the_bootstrap_draws_units_with_replacement(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "_CELLS", block)
    values, rng = np.random.default_rng(1).random(40), np.random.default_rng(0)
    drawn = [values[rng.integers(40, size=40)].mean() for _ in range(300)]
    assert mean(values, 40, 300) == pytest.approx(np.quantile(drawn, [0.025, 0.975]))


def test_every_unit_is_drawn_and_each_draw_is_of_all_units() -> None:
    seen: list[np.ndarray] = []

    def first(times: np.ndarray) -> np.ndarray:
        seen.append(times)
        return np.asarray(times[:, 0])

    low, high = bootstrap(first, 7, 200)
    times = np.concatenate(seen)
    assert times.shape == (200, 7)
    assert (times.sum(1) == 7).all()
    assert (times.max(0) > 1).all()
    assert (low, high) == (0, 3)


def test_one_unit_gives_an_interval_without_width() -> None:
    assert mean(np.array([0.25]), 1, 100) == [0.25, 0.25]

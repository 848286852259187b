"""95 % intervals and tests: Student's t over repetitions, and a bootstrap over independent units."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, stdev

import numpy as np
from jaxtyping import Float, Int64
from scipy.special import stdtr, stdtrit  # Student's t; importing scipy.stats takes four times as long

DRAWS = 1000
"""How many times a bootstrap draws."""

_CELLS = 1 << 19  # of a block of draws: 4 MB, which the processor's cache holds


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean, by Student's t; NaN for fewer than two values.

    Args:
        values: one for each repetition, such as a seed.

    Example:
        >>> low, high = t_interval([1.0, 2.0, 3.0])
        >>> round(low, 3), round(high, 3)
        (-0.484, 4.484)
    """
    if len(values) < 2:
        return math.nan, math.nan
    mean = fmean(values)
    half = float(stdtrit(len(values) - 1, 0.975)) * stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half


def paired_p(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The two-sided p of the paired t-test; 1 for fewer than two pairs or where nothing differs.

    Example:
        >>> round(paired_p([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]), 4)
        0.0742
    """
    differences = [our - their for our, their in zip(ours, theirs, strict=True)]
    if len(differences) < 2 or not any(differences):
        return 1.0
    if len(set(differences)) == 1:  # t is infinite
        return 0.0
    t = fmean(differences) / stdev(differences) * math.sqrt(len(differences))
    return 2 * float(stdtr(len(differences) - 1, -abs(t)))


def bootstrap(
    statistic: Callable[[Float[np.ndarray, "D U"]], Float[np.ndarray, " D"]],
    units: int,
    draws: int = DRAWS,
    rows: int = 1,
) -> list[float]:
    """The 95 % percentile interval, [low, high], of a statistic under a bootstrap.

    Args:
        statistic: takes how often each of U units was drawn in each of D draws, and gives its value in each draw.
        units: how many independent units there are, such as episodes or whole videos.
        draws: how many times to draw U units with replacement. The draws are the same in every call.
        rows: how many numbers the statistic handles for each draw, such as the frames of all videos. It is called for
            blocks of draws, so that they fit into memory.

    Example:
        >>> values = np.arange(100.0)
        >>> low, high = bootstrap(lambda times: times @ values / times.sum(1), len(values))
        >>> 43 < low < 45 < 54 < high < 56
        True
    """
    if units == 1:  # which scipy refuses
        value = float(statistic(np.ones((1, 1)))[0])
        return [value, value]
    from scipy import stats  # a second that only those who need it should pay

    def of_drawn(drawn: Int64[np.ndarray, "D U"], axis: int) -> Float[np.ndarray, " D"]:
        assert axis == -1
        return statistic(_times(drawn, units))

    found = stats.bootstrap(
        (np.arange(units),),
        of_drawn,
        n_resamples=draws,
        batch=max(1, _CELLS // max(units, rows)),
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return [float(end) for end in found.confidence_interval]


def _times(drawn: Int64[np.ndarray, "D U"], units: int) -> Float[np.ndarray, "D U"]:
    """How often each unit was drawn in each draw."""
    rows = units * np.arange(len(drawn))[:, None]
    return np.bincount((drawn + rows).ravel(), minlength=drawn.size).reshape(drawn.shape).astype(float)

"""Intervals and tests over seeds, by Student's t distribution; exact for whole degrees of freedom."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev


def t_probability(t: float, freedom: int) -> float:
    """The share of Student's distribution between -t and t (Abramowitz and Stegun, 26.7.3 and 26.7.4).

    Args:
        t: any number, also infinite.
        freedom: degrees of freedom, from 1.

    Example:
        >>> round(t_probability(4.302653, 2), 6), round(t_probability(1.0, 1), 6)
        (0.95, 0.5)
    """
    angle = math.atan(abs(t) / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(2 + odd, freedom - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def t_quantile(freedom: int, inside: float = 0.95) -> float:
    """The t between whose negative and itself the share ``inside`` of Student's distribution lies.

    Example:
        >>> [round(t_quantile(freedom), 3) for freedom in (1, 2, 4, 30)]
        [12.706, 4.303, 2.776, 2.042]
    """
    low, high = 0.0, 1.0
    while t_probability(high, freedom) < inside:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_probability(middle, freedom) < inside else (low, middle)
    return (low + high) / 2


def half_width(values: Sequence[float]) -> float:
    """Half of the 95 % interval of the mean of two or more values; NaN for fewer.

    Example:
        >>> round(half_width([1.0, 2.0, 3.0]), 3)
        2.484
    """
    if len(values) < 2:
        return math.nan
    return t_quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values))


def paired_p(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The two-sided p of the paired t-test; 1 for fewer than two pairs or where nothing differs.

    Example:
        >>> round(paired_p([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]), 4)
        0.0742
    """
    differences = [our - their for our, their in zip(ours, theirs, strict=True)]
    if len(differences) < 2 or not any(differences):
        return 1.0
    spread = stdev(differences) / math.sqrt(len(differences))
    t = fmean(differences) / spread if spread > 0 else math.inf
    return 1 - t_probability(t, len(differences) - 1)

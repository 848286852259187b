"""Figures of a table of rows, their intervals, and the difference of two models on the same episodes.

A statistic takes the table and a weight for each row, so that a bootstrap is a matter of weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from jaxtyping import Float, Int64

from guided_seg.data.sources.classes import unknown
from guided_seg.errors import DataError
from guided_seg.metrics import few_shot
from guided_seg.study.intervals import half_width

Table = Mapping[str, np.ndarray]
"""A column of each name, all of one length."""

Weights = Float[np.ndarray, " N"]
Values = Float[np.ndarray, " S"]
Statistic = Callable[[Table, Weights], float]

DRAWS = 1000


class Interval(TypedDict):
    """A figure and how sure it is.

    Keys:
        value: the figure; over several seeds the mean of theirs.
        ci95: its 95 % interval under a bootstrap over episodes or groups.
        ci95_seeds: its 95 % interval over seeds, by Student's t; None for one seed.
    """

    value: float
    ci95: list[float]
    ci95_seeds: list[float] | None


def positive_iou(table: Table, weights: Weights) -> float:
    """Σ intersection / Σ union of the positives over all episodes (concepts, rule 8)."""
    return _ratio(weights @ table["fg_i"], weights @ table["fg_u"])


def class_miou(table: Table, weights: Weights) -> float:
    """`guided_seg.metrics.few_shot.class_miou`; a class that was not drawn is left out."""
    drawn = weights > 0
    return few_shot.class_miou(table["group"][drawn], _counts(table, weights)[drawn])


def fb_iou(table: Table, weights: Weights) -> float:
    """`guided_seg.metrics.few_shot.fb_iou`."""
    return few_shot.fb_iou(_counts(table, weights))


def _counts(table: Table, weights: Weights) -> Int64[np.ndarray, "N 4"]:
    return np.stack([weights * table[name] for name in ("fg_i", "fg_u", "bg_i", "bg_u")], 1).astype(np.int64)


def mean_of(column: str) -> Statistic:
    """The mean over rows."""
    return lambda table, weights: _ratio(weights @ table[column].astype(float), weights.sum())


def group_mean(column: str) -> Statistic:
    """The mean within each group, such as the frames of an object, and of these over groups."""

    def statistic(table: Table, weights: Weights) -> float:
        _, number = np.unique(table["group"], return_inverse=True)
        total, there = np.bincount(number, weights * table[column]), np.bincount(number, weights)
        rows = np.bincount(number)
        # a group drawn twice counts twice: its share is the mean weight of its rows
        share = there / rows
        return _ratio(share @ (total / np.where(there > 0, there, 1)), share.sum())

    return statistic


_J, _F = group_mean("j"), group_mean("f")


def _j_and_f(table: Table, weights: Weights) -> float:
    return (_J(table, weights) + _F(table, weights)) / 2


STATISTICS: dict[str, Statistic] = {
    "positive_iou": positive_iou,
    "class_miou": class_miou,
    "fb_iou": fb_iou,
    "mean_iou": mean_of("j"),
    "J": _J,
    "F": _F,
    "J&F": _j_and_f,
    **{f"NoC@{t}": mean_of(f"noc{t}") for t in (80, 85, 90)},
    **{f"NoF@{t}": mean_of(f"nof{t}") for t in (80, 85, 90)},
    **{f"IoU@{n}": mean_of(f"iou{n}") for n in (1, 3, 5, 10, 20)},
}
"""What protocols may report, by name."""


def check_figures(names: Sequence[str], columns: Sequence[str]) -> None:
    """Raise `DataError` for a name that is none of `STATISTICS`, or needs more than the measured ``columns``."""
    if not names:
        raise DataError(f"figures=[]: expected at least one of {', '.join(STATISTICS)}.")
    row = table_of([dict.fromkeys(("group", *columns), 1)])
    for name in names:
        if name not in STATISTICS:
            raise unknown("figure", name, STATISTICS)
        try:
            STATISTICS[name](row, np.ones(1))
        except KeyError as column:
            raise DataError(
                f"The figure '{name}' is of {column}, and only {', '.join(columns)} are measured; {_cure(name)}."
            ) from None


def _cure(figure: str) -> str:
    """How a figure that is not measured can be."""
    kind, _, threshold = figure.partition("@")
    if kind in ("NoC", "NoF"):
        return f"leave it out, or add {threshold} to thresholds"
    return "leave it out, or set contours=true" if figure in ("F", "J&F") else "leave it out"


def table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows as columns."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def measure(table: Table, name: str, unit: str) -> Interval:
    """A figure with its intervals."""
    return _interval(table, unit, _by_seed(table, name))


def paired(ours: Table, theirs: Table, name: str, unit: str) -> Interval:
    """The difference of two models on the same rows, ours minus theirs: both are drawn together."""
    our, their = _by_seed(ours, name), _by_seed(theirs, name)
    return _interval(ours, unit, lambda weights: our(weights) - their(weights))


def _by_seed(table: Table, name: str) -> Callable[[Weights], Values]:
    """Takes a weight for each row and gives the figure of each seed that has any."""
    # groups as numbers, which a thousand draws sort several times as fast as names
    table = {**table, "group": np.unique(table["group"], return_inverse=True)[1]}
    seeds = [table["seed"] == seed for seed in np.unique(table["seed"])]
    parts = [(rows, {key: column[rows] for key, column in table.items()}) for rows in seeds]
    statistic = STATISTICS[name]
    return lambda weights: np.array([statistic(part, weights[rows]) for rows, part in parts if weights[rows].any()])


def _interval(table: Table, unit: str, by_seed: Callable[[Weights], Values]) -> Interval:
    each = by_seed(np.ones(len(table["seed"])))
    value, half = float(each.mean()), half_width(each.tolist())
    drawn = [float(by_seed(weights).mean()) for weights in draws(table, unit)]
    return {
        "value": value,
        "ci95": np.quantile(drawn, [0.025, 0.975]).tolist(),
        "ci95_seeds": [value - half, value + half] if len(each) > 1 else None,
    }


def draws(table: Table, unit: str) -> list[Weights]:
    """How often each row is drawn, in each draw of a bootstrap over episodes or groups; always the same draws."""
    _, number = np.unique(table["episode" if unit == "episodes" else "group"], return_inverse=True)
    size = int(number.max()) + 1
    rng = np.random.default_rng(0)
    return [np.bincount(rng.integers(size, size=size), minlength=size)[number].astype(float) for _ in range(DRAWS)]


def _ratio(inside: Any, union: Any) -> float:
    """1 where nothing was asked and nothing claimed."""
    return float(inside / union) if union > 0 else 1.0

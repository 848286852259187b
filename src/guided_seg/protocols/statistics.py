"""Figures of a protocol with confidence intervals, and paired differences of two models on the same episodes.

A statistic maps the measured rows and their weights in each bootstrap draw to one value per draw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from jaxtyping import Bool, Float, Int64

from guided_seg.data.sources.classes import unknown
from guided_seg.errors import DataError
from guided_seg.metrics import few_shot
from guided_seg.metrics.intervals import DRAWS, bootstrap, t_interval

Columns = Mapping[str, np.ndarray]
"""The measured rows as columns: name -> array of length N."""

Weights = Float[np.ndarray, "D N"]
"""The number of times that each of N rows occurs in each of D bootstrap draws."""
Values = Float[np.ndarray, " D"]
Statistic = Callable[[Columns, Weights], Values]


class Interval(TypedDict):
    """A figure with its confidence intervals.

    Keys:
        value: the figure; the mean over seeds if there are several.
        ci95: 95 % bootstrap interval over episodes or groups.
        ci95_seeds: 95 % interval over seeds, by Student's t; None for one seed.
    """

    value: float
    ci95: list[float]
    ci95_seeds: list[float] | None


def positive_iou(table: Columns, weights: Weights) -> Values:
    """Σ intersection / Σ union of the positive labels over all episodes (concepts, rule 8)."""
    return _ratio(weights @ table["fg_i"], weights @ table["fg_u"])


def class_miou(table: Columns, weights: Weights) -> Values:
    """`guided_seg.metrics.few_shot.class_miou`, over the classes in the draw."""
    return few_shot.class_miou(table["group"], _counts(table), weights)


def fb_iou(table: Columns, weights: Weights) -> Values:
    """`guided_seg.metrics.few_shot.fb_iou`."""
    return few_shot.fb_iou(_counts(table), weights)


def _counts(table: Columns) -> Int64[np.ndarray, "N 4"]:
    return np.stack([table[name] for name in ("fg_i", "fg_u", "bg_i", "bg_u")], 1).astype(np.int64)


def mean_of(column: str) -> Statistic:
    """The mean over rows."""
    return lambda table, weights: _ratio(weights @ table[column].astype(float), weights.sum(1))


def group_mean(column: str) -> Statistic:
    """The mean over groups of the mean within each group, such as the frames of an object."""

    def statistic(table: Columns, weights: Weights) -> Values:
        names, own = np.unique(table["group"], return_inverse=True)
        member = np.eye(len(names))[own]
        total, there = weights @ (member * table[column][:, None]), weights @ member
        # a group drawn twice counts twice: the weight of a group is the mean weight of its rows
        share = there / member.sum(0)
        return _ratio((share * total / np.where(there > 0, there, 1)).sum(1), share.sum(1))

    return statistic


_J, _F = group_mean("j"), group_mean("f")


def _j_and_f(table: Columns, weights: Weights) -> Values:
    return (_J(table, weights) + _F(table, weights)) / 2


def recall(table: Columns, weights: Weights) -> Values:
    """The share of a video's frames with a J above 0.5, averaged over videos; the recall of DAVIS."""
    return group_mean("found")({**table, "found": table["j"] > 0.5}, weights)


def quarter(number: int) -> Statistic:
    """J over a quarter of each video, from 1 to 4; as in DAVIS, neighbouring quarters share a frame."""

    def statistic(table: Columns, weights: Weights) -> Values:
        inside = _in_quarter(table, number)
        return _J({name: column[inside] for name, column in table.items()}, weights[:, inside])

    return statistic


def decay(table: Columns, weights: Weights) -> Values:
    """J over the first quarter of a video minus J over its last one, averaged over videos; the decay of DAVIS."""
    return quarter(1)(table, weights) - quarter(4)(table, weights)


def _in_quarter(table: Columns, number: int) -> Bool[np.ndarray, " N"]:
    inside = np.zeros(len(table["group"]), dtype=bool)
    for group in np.unique(table["group"]):
        own = table["group"] == group
        frames, place = np.unique(table["episode"][own], return_inverse=True)  # in the order of the video
        first, last = np.round(np.linspace(0, len(frames) - 1, 5) + 1e-10)[number - 1 : number + 1]
        inside[own] = (first <= place) & (place <= last)
    return inside


AFTER = (1, 2, 3, 5, 10, 20)
"""Numbers of clicks after which figures are reported."""

_EQUAL = 1e-9  # IoUs that differ by less


def iou_after(number: int) -> Statistic:
    """The mean IoU after that many clicks; after the last one if there are fewer."""

    def statistic(table: Columns, weights: Weights) -> Values:
        ious = _by_click(table, "ious")
        return _ratio(weights @ ious[:, min(number, ious.shape[1]) - 1], weights.sum(1))

    return statistic


def honoured(table: Columns, weights: Weights) -> Values:
    """The share of all clicks whose own pixel has the label of the click in the answer to it."""
    return _ratio(weights @ (_by_click(table, "honoured") * _made(table)).sum(1), weights @ table["clicks"])


def honoured_at(number: int) -> Statistic:
    """`honoured` among the clicks of that number, of objects with as many clicks."""

    def statistic(table: Columns, weights: Weights) -> Values:
        made, right = _made(table), _by_click(table, "honoured")
        at = min(number, made.shape[1]) - 1
        return _ratio(weights @ (right * made)[:, at], weights @ made[:, at])

    return statistic


def falls(table: Columns, weights: Weights) -> Values:
    """The share of all clicks after an object's first one that lower its IoU; 0 if there are none."""
    made = _made(table)[:, 1:]
    fell = (_changes(table) < -_EQUAL) & made
    clicks = weights @ made.sum(1)
    return weights @ fell.sum(1) / np.where(clicks > 0, clicks, 1)


def change_at(number: int) -> Statistic:
    """The change of the mean IoU by the click of that number; 0 if no object has as many."""

    def statistic(table: Columns, weights: Weights) -> Values:
        changes = _changes(table)
        if number - 2 >= changes.shape[1]:
            return np.zeros(len(weights))
        return weights @ changes[:, number - 2] / np.maximum(weights.sum(1), 1)

    return statistic


def worst_change(table: Columns, weights: Weights) -> Values:
    """The change of the mean IoU by one click, at the click after the first that changes it least or lowers it most.

    Below 0, the mean IoU falls at some click. The smallest of several uncertain values tends to be too small, and so
    does its interval. 0 if no object has a second click.
    """
    mean = weights @ _changes(table) / np.maximum(weights.sum(1), 1)[:, None]
    return mean.min(1) if mean.shape[1] else np.zeros(len(weights))


def _by_click(table: Columns, name: str) -> Float[np.ndarray, "N L"]:
    """A measurement of each click of N objects with up to L clicks."""
    return table[name].reshape(len(table[name]), -1).astype(float)


def _made(table: Columns) -> Bool[np.ndarray, "N L"]:
    """Which of the clicks were made; clicking ends early if no error is left."""
    return np.arange(_by_click(table, "ious").shape[1]) < table["clicks"][:, None]


def _changes(table: Columns) -> Float[np.ndarray, "N K"]:
    """The change of the IoU by each click after the first; 0 for those that were not made."""
    return np.diff(_by_click(table, "ious"), axis=1)


STATISTICS: dict[str, Statistic] = {
    "positive_iou": positive_iou,
    "class_miou": class_miou,
    "fb_iou": fb_iou,
    "mean_iou": mean_of("j"),
    "J": _J,
    "F": _F,
    "J&F": _j_and_f,
    "recall": recall,
    "decay": decay,
    **{f"J@quarter{n}": quarter(n) for n in range(1, 5)},
    **{f"NoC@{t}": mean_of(f"noc{t}") for t in (80, 85, 90)},
    **{f"NoF@{t}": mean_of(f"nof{t}") for t in (80, 85, 90)},
    **{f"IoU@{n}": iou_after(n) for n in AFTER},
    "honoured": honoured,
    **{f"honoured@{n}": honoured_at(n) for n in AFTER},
    "falls": falls,
    **{f"change@{n}": change_at(n) for n in AFTER[1:]},
    "worst_change": worst_change,
}
"""The figures that protocols may report, by name."""


def check_figures(names: Sequence[str], columns: Sequence[str]) -> None:
    """Raise `DataError` for a name that is not in `STATISTICS` or that needs columns that are not measured."""
    if not names:
        raise DataError(f"figures=[]: expected at least one of {', '.join(STATISTICS)}.")
    row = table_of([dict.fromkeys(("group", "episode", *columns), 1)])
    for name in names:
        if name not in STATISTICS:
            raise unknown("figure", name, STATISTICS)
        try:
            STATISTICS[name](row, np.ones((1, 1)))
        except KeyError as column:
            raise DataError(
                f"The figure '{name}' is of {column}, and only {', '.join(columns)} are measured; {_cure(name)}."
            ) from None


def _cure(figure: str) -> str:
    """Advice for a figure whose columns are not measured."""
    kind, _, threshold = figure.partition("@")
    if kind in ("NoC", "NoF"):
        return f"leave it out, or add {threshold} to thresholds"
    return "leave it out, or set contours=true" if figure in ("F", "J&F") else "leave it out"


def table_of(rows: Sequence[Mapping[str, Any]]) -> Columns:
    """Convert rows to columns."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def figure(table: Columns, name: str) -> float:
    """Compute a figure of `STATISTICS` over all rows."""
    rows = len(next(iter(table.values())))
    return float(STATISTICS[name](table, np.ones((1, rows)))[0])


def measure(table: Columns, name: str, unit: str) -> Interval:
    """Compute a figure with its confidence intervals.

    Args:
        table: the measured rows.
        name: a key of `STATISTICS`.
        unit: the resampling unit of the bootstrap, ``episodes`` or whole ``groups``.
    """
    return _interval(table, unit, _by_seed(table, name))


def paired(ours: Columns, theirs: Columns, name: str, unit: str) -> Interval:
    """The difference of two models on the same rows, ours minus theirs, with paired bootstrap intervals."""
    our, their = _by_seed(ours, name), _by_seed(theirs, name)
    return _interval(ours, unit, lambda weights: our(weights) - their(weights))


def _by_seed(table: Columns, name: str) -> Callable[[Weights], Float[np.ndarray, "D S"]]:
    """A function from weights to the figure of each seed in each draw; NaN for a seed without rows in the draw."""
    # numbers sort several times as fast as names
    table = {**table, "group": np.unique(table["group"], return_inverse=True)[1]}
    seeds = np.unique(table["seed"])
    each = [table["seed"] == seed for seed in seeds] if len(seeds) > 1 else [slice(None)]  # a mask would copy
    parts = [(rows, {key: column[rows] for key, column in table.items()}) for rows in each]

    def figures(weights: Weights) -> Float[np.ndarray, "D S"]:
        own = [weights[:, rows] for rows, _ in parts]
        found = [STATISTICS[name](part, times) for times, (_, part) in zip(own, parts, strict=True)]
        return np.stack([np.where(times.any(1), values, np.nan) for times, values in zip(own, found, strict=True)], 1)

    return figures


def _interval(table: Columns, unit: str, by_seed: Callable[[Weights], Float[np.ndarray, "D S"]]) -> Interval:
    _, own = np.unique(table["episode" if unit == "episodes" else "group"], return_inverse=True)
    units, rows = int(own.max()) + 1, len(own)
    (each,) = by_seed(np.ones((1, rows)))
    return {
        "value": float(each.mean()),
        "ci95": bootstrap(lambda times: np.nanmean(by_seed(times[:, own]), axis=1), units, DRAWS, rows),
        "ci95_seeds": list(t_interval(each.tolist())) if len(each) > 1 else None,
    }


def _ratio(inside: Values, union: Values) -> Values:
    """Divide elementwise; 0 / 0 is 1."""
    return np.where(union > 0, inside / np.where(union > 0, union, 1), 1.0)

"""The table of a study, a row per composition and a column per mode, and the notes below it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from guided_seg.report.results import Points
from guided_seg.report.table import Cell, Cells, Column, Table, columns
from guided_seg.study.averages import Average, average, modes, p_value, shown_at, update_ms
from guided_seg.study.compositions import Composition, seeds
from guided_seg.study.runs import Missing, Run

LEVEL = 0.05
"""A difference with a smaller p is marked."""


def build(
    compositions: Sequence[Composition], shots: int, points: Points, reference: Composition | None, timing: bool
) -> Table:
    """The table at one (S, P), without notes.

    Args:
        compositions: the rows.
        shots: S; interactive tasks always have one.
        points: P.
        reference: the row that the others are compared with, by the paired t-test over seeds.
        timing: whether to add how long a new dot takes.
    """
    names = modes(compositions)
    by_mode = [_column(compositions, mode, shots, points, reference) for mode in names]
    rows: list[Cells] = []
    for number, composition in enumerate(compositions):
        label = composition.label + (" (reference)" if composition is reference else "")
        time = [update_ms(composition)] if timing else []
        rows.append([label, len(composition.runs), *(column[number] for column in by_mode), *time])
    head = [*columns(("composition", "seeds", *names)), *([Column("update ms", "right", ".2f")] if timing else [])]
    return Table(head, rows, f"Positive IoU at S = {shots}, P = {points}")


def _column(
    compositions: Sequence[Composition], mode: str, shots: int, points: Points, reference: Composition | None
) -> list[Cell]:
    at = (mode, shown_at(mode, shots), points)
    found = [average(composition, *at) for composition in compositions]
    best = max((_percent(each.mean) for each in found if each), default=math.nan)
    basis = average(reference, *at) if reference else None
    return [_cell(each, best, basis) for each in found]


def _cell(found: Average | None, best: float, basis: Average | None) -> Cell:
    if found is None:
        return Cell(None)
    mean, low, high = (_percent(value) for value in (found.mean, found.low, found.high))
    differs = basis is not None and p_value(found, basis) < LEVEL
    marks = ("*" if differs else "") + ("†" if found.one_seed else "")
    # the best is chosen among rounded means, so that all that look equal are bold
    return Cell(f"{mean:.1f} [{low:.1f}, {high:.1f}]", mean == best, marks)


def _percent(share: float) -> float:
    return round(100 * share, 1)


def protocol(
    compositions: Sequence[Composition], shots: int, points: Points, reference: Composition | None
) -> list[str]:
    """Notes: what the numbers and marks mean, and the data, episodes, S, P and seeds behind them."""
    dots = "full masks" if points == "dense" else f"P = {points} dots per label"
    runs = [run for composition in compositions for run in composition.runs.values()]
    episodes = f"{_episodes(compositions, shots, points)}, drawn with seed {_values(runs, 'evaluation.seed')}"
    data = f"{_values(runs, 'data.name')}, image size {_values(runs, 'data.size')}"
    training = f"{_values(runs, 'trainer.max_steps')}; seeds: {_listed(seeds(compositions))}"
    return [
        _METRIC,
        _INTERVAL,
        *_significance(reference),
        f"Support: {dots}, S = {shots}; in interactive tasks the query is the only shot.",
        f"Test episodes: {episodes}; data: {data}; training steps: {training}.",
    ]


_METRIC = "Positive IoU in percent: the sum of intersections over the sum of unions, both over all test episodes."
_INTERVAL = (
    "Mean over seeds with its 95 % interval (Student's t). † one seed: the interval is over its episodes. "
    "Bold: the best of each column."
)


def _significance(reference: Composition | None) -> Iterator[str]:
    if reference is not None:
        yield (
            f"An asterisk marks a difference from the reference ({reference.label}) with p < {LEVEL} in a two-sided "
            "paired t-test over shared seeds, not corrected for the number of comparisons."
        )


def unfinished(missing: Sequence[Missing], repeated: Sequence[tuple[Run, Run]], folders: bool) -> list[str]:
    """Notes on the runs that are not in the table, one for each reason.

    Args:
        missing: runs without scores.
        repeated: (left out, kept) runs of one composition and seed.
        folders: whether to name every folder.
    """
    together: dict[tuple[str, str], list[str]] = {}
    for run in missing:
        together.setdefault((run.status, run.reason), []).append(run.folder)
    found = sorted(together.items())
    if repeated:
        same = [left_out.folder for left_out, _ in repeated]
        found.append((("left out", "another run has the same composition and seed"), same))
    return [_line(status, reason, names, folders) for (status, reason), names in found]


def _line(status: str, reason: str, found: Sequence[str], folders: bool) -> str:
    where = f" ({'; '.join(sorted(found))})" if folders else ""
    return f"{len(found)} {status}: {reason.rstrip('.')}{where}."


def _episodes(compositions: Sequence[Composition], shots: int, points: Points) -> str:
    parts = []
    for mode in modes(compositions):
        found = [average(composition, mode, shown_at(mode, shots), points) for composition in compositions]
        if numbers := sorted({number for each in found if each for number in each.episodes}):
            parts.append(f"{mode} {_listed(numbers)}")
    return ", ".join(parts) or "none"


def _values(runs: Sequence[Run], key: str) -> str:
    found = {str(run.config[key]) for run in runs if run.config.get(key) is not None}
    return _listed(sorted(found)) or "as in the files"


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))

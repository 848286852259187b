"""study.csv and study_groups.csv: a row for every figure that any run measured."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from guided_seg.report.results import sorted_settings
from guided_seg.study.averages import modes
from guided_seg.study.compositions import Composition
from guided_seg.study.runs import Run

SCORES = ("positive_iou", "ci95_low", "ci95_high", "mean_iou", "episodes")
FACTS = ("steps", "encode_ms", "update_ms", "seconds", "peak_memory_bytes", "data_wait_share")
"""Facts about the run itself; all but ``steps`` differ from machine to machine and from run to run."""


def write_scores(compositions: Sequence[Composition], path: Path) -> None:
    """A row per run, mode and (S, P): the settings that differ between runs, the seed, the scores and the facts."""
    order = modes(compositions)
    _write(compositions, path, (*SCORES, *FACTS), lambda run: _scores(run, order))


def write_groups(compositions: Sequence[Composition], path: Path) -> None:
    """The rows of every run's groups.csv, the IoU of each class or object, with the same settings before them."""
    _write(compositions, path, ("group", "iou"), lambda run: run.groups)


def _write(
    compositions: Sequence[Composition],
    path: Path,
    columns: Sequence[str],
    rows_of: Callable[[Run], Iterable[Sequence[Any]]],
) -> None:
    """Write the rows (mode, S, P, ``columns``) of each run, after its settings and seed and before its folder."""
    settings = [key for key, _ in compositions[0].settings] if compositions else []
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*settings, "seed", "test_mode", "shots", "points", *columns, "run"])
        for composition in compositions:
            values = [value for _, value in composition.settings]
            for seed, run in composition.runs.items():
                writer.writerows([*values, seed, *row, run.folder] for row in rows_of(run))


def _scores(run: Run, order: Sequence[str]) -> Iterator[list[Any]]:
    facts = [_number(run.facts.get(name, math.nan)) for name in FACTS]
    for mode in (mode for mode in order if mode in run.results):
        for shots, points, score in sorted_settings(run.results[mode]):
            figures = [score["positive_iou"], *score["ci95"], score["mean_iou"]]
            yield [mode, shots, points, *map(_number, figures), score["episodes"], *facts]


def _number(value: float) -> str:
    """The shortest form that reads back the same; empty for NaN."""
    return "" if math.isnan(value) else f"{value:.10g}"

"""study.csv and study_groups.csv: a row for every figure that any run measured."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from guided_seg.report.results import sorted_settings
from guided_seg.study.cells import modes
from guided_seg.study.compositions import Composition
from guided_seg.study.runs import Run

FACTS = ("steps", "encode_ms", "update_ms", "seconds", "peak_memory_bytes", "data_wait_share")
"""What a run says about itself; all but ``steps`` differs from one machine and hour to the next."""


def write_scores(compositions: Sequence[Composition], path: Path) -> None:
    """A row per run, mode and (S, P): the settings that differ between runs, the seed, the scores and the facts."""
    scores = ("test_mode", "shots", "points", "positive_iou", "ci95_low", "ci95_high", "mean_iou", "episodes")
    header = (*_settings(compositions), "seed", *scores, *FACTS, "run")
    _write(path, header, _scores(compositions))


def write_groups(compositions: Sequence[Composition], path: Path) -> None:
    """The rows of every run's groups.csv, the IoU of each class or object, with the same settings before them."""
    header = (*_settings(compositions), "seed", "test_mode", "shots", "points", "group", "iou", "run")
    _write(path, header, _groups(compositions))


def _settings(compositions: Sequence[Composition]) -> list[str]:
    return [key for key, _ in compositions[0].settings] if compositions else []


def _each(compositions: Sequence[Composition]) -> Iterator[tuple[list[Any], Run]]:
    for composition in compositions:
        for seed, run in composition.runs.items():
            yield [*(value for _, value in composition.settings), seed], run


def _scores(compositions: Sequence[Composition]) -> Iterator[list[Any]]:
    order = modes(compositions)
    for first, run in _each(compositions):
        facts = [_number(run.facts.get(name, math.nan)) for name in FACTS]
        for mode in (mode for mode in order if mode in run.results):
            for shots, points, score in sorted_settings(run.results[mode]):
                figures = [score["positive_iou"], *score["ci95"], score["mean_iou"]]
                yield [*first, mode, shots, points, *map(_number, figures), score["episodes"], *facts, run.folder]


def _groups(compositions: Sequence[Composition]) -> Iterator[list[Any]]:
    for first, run in _each(compositions):
        for row in run.groups:
            yield [*first, *row, run.folder]


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def _number(value: float) -> str:
    """The shortest form that reads back the same; empty for what does not exist."""
    return "" if math.isnan(value) else f"{value:.10g}"

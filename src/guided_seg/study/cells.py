"""One number of a table or a figure: what a composition scored in one mode at one (S, P), over its seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from guided_seg.report.results import Points, setting_key, sorted_settings
from guided_seg.study.compositions import Composition
from guided_seg.study.intervals import half_width, paired_p

MODES = ("interactive", "semantic", "video")
"""The order of columns and panels; modes of other names follow."""


@dataclass(frozen=True)
class Cell:
    """Positive IoU over seeds.

    Attributes:
        values: seed -> positive IoU in [0, 1].
        low: of the 95 % interval, over seeds by Student's t; for one seed, over its episodes.
        high: see ``low``.
        episodes: how many each value was measured on, without repetition.
    """

    values: dict[int, float]
    low: float
    high: float
    episodes: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Over seeds."""
        return fmean(self.values.values())

    @property
    def one_seed(self) -> bool:
        """Whether the interval is that of a single run."""
        return len(self.values) == 1


def cell(composition: Composition, mode: str, shots: int, points: Points) -> Cell | None:
    """The composition's positive IoU there, or None where nothing was measured."""
    key = setting_key(shots, points)
    scores = {
        seed: run.results[mode][key] for seed, run in composition.runs.items() if key in run.results.get(mode, {})
    }
    values = {seed: s["positive_iou"] for seed, s in scores.items() if math.isfinite(s["positive_iou"])}
    if not values:
        return None
    episodes = tuple(sorted({scores[seed]["episodes"] for seed in values}))
    if len(values) == 1:
        low, high = scores[next(iter(values))]["ci95"]
    else:
        half, mean = half_width(list(values.values())), fmean(values.values())
        low, high = mean - half, mean + half
    return Cell(values, low, high, episodes)


def p_value(ours: Cell, theirs: Cell) -> float:
    """Of the paired t-test over the seeds that both have; 1 where that is not two or more."""
    both = sorted(ours.values.keys() & theirs.values.keys())
    return paired_p([ours.values[seed] for seed in both], [theirs.values[seed] for seed in both])


def modes(compositions: Sequence[Composition]) -> list[str]:
    """The modes that any run was tested in, in the usual order."""
    found = {mode for composition in compositions for run in composition.runs.values() for mode in run.results}
    return [mode for mode in MODES if mode in found] + sorted(found - set(MODES))


def settings(compositions: Sequence[Composition], mode: str) -> list[tuple[int, Points]]:
    """The (S, P) that any run was tested at in ``mode``, by S and then by P, dense last."""
    runs = [run for composition in compositions for run in composition.runs.values()]
    merged = {key: score for run in runs for key, score in run.results.get(mode, {}).items()}
    return [(shots, points) for shots, points, _ in sorted_settings(merged)]


def update_ms(composition: Composition) -> float:
    """What a new dot costs in milliseconds, the median over seeds; NaN where no run measured it."""
    found = [run.facts.get("update_ms", math.nan) for run in composition.runs.values()]
    known = [value for value in found if math.isfinite(value)]
    return median(known) if known else math.nan

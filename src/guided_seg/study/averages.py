"""What a composition scored in one mode at one (S, P), averaged over its seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from guided_seg.metrics.intervals import paired_p, t_interval
from guided_seg.report.results import Points, setting_key, sorted_settings
from guided_seg.study.compositions import Composition

MODES = ("interactive", "semantic", "video")
"""The order of columns and panels; modes of other names follow."""


@dataclass(frozen=True)
class Average:
    """Positive IoU over seeds.

    Attributes:
        values: seed -> positive IoU in [0, 1].
        low: the lower end of the 95 % interval: of the mean over seeds, by Student's t, or, where there is only one
            seed, of that run over its episodes.
        high: its upper end.
        episodes: the numbers of episodes that the values were measured on, each once.
    """

    values: dict[int, float]
    low: float
    high: float
    episodes: tuple[int, ...]

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return fmean(self.values.values())

    @property
    def one_seed(self) -> bool:
        """Whether the interval is that of a single run."""
        return len(self.values) == 1


def average(composition: Composition, mode: str, shots: int, points: Points) -> Average | None:
    """The composition's positive IoU there, or None where nothing was measured."""
    key = setting_key(shots, points)
    scores = {
        seed: run.results[mode][key] for seed, run in composition.runs.items() if key in run.results.get(mode, {})
    }
    values = {seed: s["positive_iou"] for seed, s in scores.items() if math.isfinite(s["positive_iou"])}
    if not values:
        return None
    episodes = tuple(sorted({scores[seed]["episodes"] for seed in values}))
    low, high = t_interval(list(values.values())) if len(values) > 1 else scores[next(iter(values))]["ci95"]
    return Average(values, low, high, episodes)


def p_value(ours: Average, theirs: Average) -> float:
    """The p of the paired t-test over the seeds that both have; 1 where that is fewer than two."""
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


def shown_at(mode: str, shots: int) -> int:
    """S in ``mode``: an interactive task has a single shot, the query itself."""
    return 1 if mode == "interactive" else shots


def update_ms(composition: Composition) -> float:
    """Milliseconds that a new dot takes, the median over seeds; NaN where no run measured it."""
    found = [run.facts.get("update_ms", math.nan) for run in composition.runs.values()]
    known = [value for value in found if math.isfinite(value)]
    return median(known) if known else math.nan

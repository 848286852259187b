"""Interactive segmentation with simulated clicks: the number of clicks (NoC) to reach an IoU."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisode, shot_with
from guided_seg.data.frozen.freeze import Plan
from guided_seg.episode import IGNORE
from guided_seg.errors import DataError
from guided_seg.metrics.human_clicks import Person
from guided_seg.metrics.j_and_f import region_similarity
from guided_seg.metrics.simulated_clicks import Click, clicks_needed, failed, next_click
from guided_seg.protocols.answers import Answers
from guided_seg.protocols.protocol import Keep, Labels, Protocol, Row, one_label, row_of
from guided_seg.settings.limits import STRATEGIES

Clicker = Callable[[Labels, Sequence[Click]], Click | None]
"""The next click, given the last prediction and the earlier clicks; None if there is nothing left to click on."""


class Clicks(Protocol):
    """Simulate ``limit`` clicks per object; the first is positive.

    Args:
        about: see `Protocol`.
        figures: see `Protocol`.
        strategy: ``error``: the next click is the deepest point of the errors, see
            `guided_seg.metrics.simulated_clicks.next_click`; ``human``: a point near it, see
            `guided_seg.metrics.human_clicks.Person`; ``random``: a random pixel, alternately inside and outside the
            object, as the paper's dots.
        limit: maximum number of clicks.
        thresholds: target IoUs, in percent.
        episodes: see `guided_seg.data.frozen.freeze.Plan`, as ``seeds``.
        size: see `Protocol`.
        jitter: of ``human`` clicks, see `guided_seg.metrics.human_clicks.Person`, as ``bias``. Each seed is another
            person.
    """

    def __init__(
        self,
        about: str,
        figures: Sequence[str],
        strategy: str = "error",
        limit: int = 20,
        thresholds: Sequence[int] = (80, 85, 90),
        episodes: int | None = None,
        seeds: Sequence[int] = (0,),
        size: Sequence[int] | None = None,
        jitter: float = 0.5,
        bias: float = 0.3,
    ) -> None:
        if strategy not in STRATEGIES:
            raise DataError(f"strategy={strategy}: expected {', '.join(STRATEGIES[:-1])} or {STRATEGIES[-1]}.")
        if limit < 1 or not all(0 < threshold <= 100 for threshold in thresholds):
            raise DataError(
                f"limit={limit}, thresholds={list(thresholds)}: expected a number of clicks from 1, and percentages."
            )
        # random clicks are the frozen dots; half of them are positive
        points = (limit + 1) // 2 if strategy == "random" else 0
        plan = Plan(["interactive"], episodes, "spread", list(seeds), shots=1, points=points)
        self.strategy, self.limit, self.thresholds = strategy, limit, list(thresholds)
        self.jitter, self.bias = jitter, bias
        Person(np.random.default_rng(0), jitter, bias)  # refuses impossible values before anything is measured
        super().__init__(about, plan, figures, list(self._columns([], [])), size=size)

    def measure(self, item: EvaluationEpisode, answers: Answers, keep: Keep | None = None) -> list[Row]:
        """See `Protocol.measure`. Only the last prediction is kept."""
        target = one_label(item.dense.target.numpy(), 1)
        prediction = np.zeros_like(target)
        clicker = self._clicker(item, target)
        clicks: list[Click] = []
        ious: list[float] = []
        honoured: list[bool] = []
        while len(clicks) < self.limit and (click := clicker(prediction, clicks)):
            clicks.append(click)
            shot = shot_with(item.dense.support[0], torch.tensor(clicks, dtype=torch.int64))
            prediction = answers.segment(item, item.with_support([shot]))
            ious.append(region_similarity(prediction == 1, target == 1, target == IGNORE))
            honoured.append(bool(prediction[click.row, click.column] == 1) == click.positive)
        if keep:
            keep(item, "clicks", prediction)
        asked: Row = {"shots": 1, "points": "clicks"}
        return [{**row_of(item, 1, item.frozen.groups[0]), **asked, **self._columns(ious, honoured)}]

    def _clicker(self, item: EvaluationEpisode, target: Labels) -> Clicker:
        if self.strategy == "error":
            return lambda prediction, clicks: next_click(prediction, target, clicks)
        if self.strategy == "human":
            person = Person(np.random.default_rng((item.frozen.seed, item.number)), self.jitter, self.bias)
            return lambda prediction, clicks: person.next_click(prediction, target, clicks)
        return lambda _, clicks: _turn(item, len(clicks))

    def _columns(self, ious: Sequence[float], honoured: Sequence[bool]) -> Row:
        """NoC and failure, the number of clicks, and the IoU after each click and whether it was honoured.

        If clicking ended early, later IoUs repeat the last one.
        """
        columns: Row = {}
        for threshold in self.thresholds:
            columns[f"noc{threshold}"] = clicks_needed(ious, threshold / 100, self.limit)
            columns[f"nof{threshold}"] = float(failed(ious, threshold / 100, self.limit))
        later = self.limit - len(ious)
        columns["clicks"] = len(ious)
        columns["ious"] = [*ious, *later * [ious[-1] if ious else 0.0]]
        columns["honoured"] = [*map(int, honoured), *later * [0]]
        return columns


def _turn(item: EvaluationEpisode, number: int) -> Click | None:
    """The random click of that number, of the frozen dots; the first and every second one is positive."""
    positive, own = number % 2 == 0, number // 2
    turn = [Click(row, column, positive) for row, column, label in item.dots[0].tolist() if label == positive]
    return turn[own] if own < len(turn) else None

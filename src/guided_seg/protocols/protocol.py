"""Evaluation protocols: which episodes, what to measure for each prediction, and which figures to report."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import UInt8

from guided_seg.composition.build import known_modes
from guided_seg.data.frozen.episode_file import FrozenEpisode
from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisode
from guided_seg.data.frozen.freeze import Plan
from guided_seg.episode import IGNORE
from guided_seg.errors import DataError
from guided_seg.metrics.few_shot import count
from guided_seg.metrics.j_and_f import contour_accuracy, region_similarity
from guided_seg.model.video.previous_frame import Memory, check_memory
from guided_seg.protocols.answers import Answers
from guided_seg.protocols.statistics import check_figures
from guided_seg.settings.limits import UNITS

Row = dict[str, Any]
"""The measurements of one positive label of one prediction, by column; ``shots`` and ``points`` are the setting."""

Labels = UInt8[np.ndarray, "H W"]
Keep = Callable[[EvaluationEpisode, str, Labels], None]
"""Receives each predicted label map, with its episode and the name of the setting."""

COUNTS = ("fg_i", "fg_u", "bg_i", "bg_u")
"""The columns of `guided_seg.metrics.few_shot.count`."""


class Protocol(ABC):
    """Base class of evaluation protocols.

    Args:
        about: the rule in one line, for tables.
        plan: the episodes; see `guided_seg.data.frozen.freeze.Plan`.
        figures: names in `guided_seg.protocols.statistics.STATISTICS`.
        columns: the measurements of each prediction.
        unit: the resampling unit of the bootstrap: ``episodes``, or whole ``groups`` if the episodes of a group are
            not independent (frames of a video).
        size: height and width of images and predictions, in pixels; None for the original size.

    Raises:
        DataError: a value is invalid, or a figure needs other columns.
    """

    def __init__(
        self,
        about: str,
        plan: Plan,
        figures: Sequence[str],
        columns: Sequence[str],
        unit: str = "episodes",
        size: Sequence[int] | None = None,
    ) -> None:
        check_figures(figures, columns)
        if unit not in UNITS:
            raise DataError(f"unit={unit}: expected episodes or groups.")
        if size and (len(size) != 2 or min(size) < 1):
            raise DataError(f"size={list(size)}: expected [height, width] in pixels, or null for the images' own.")
        self.about, self.plan, self.figures, self.unit = about, plan, list(figures), unit
        self.size = (size[0], size[1]) if size else None

    def tied(self, episodes: Sequence[FrozenEpisode]) -> list[range]:
        """Ranges of episodes to run in order in one process, because each needs the prediction of the one before."""
        return [range(number, number + 1) for number in range(len(episodes))]

    @abstractmethod
    def measure(self, item: EvaluationEpisode, answers: Answers, keep: Keep | None = None) -> list[Row]:
        """Segment an episode at every setting and measure the predictions.

        Args:
            item: an episode of the plan.
            answers: runs the network.
            keep: receives every predicted label map.
        """


class Masks(Protocol):
    """Segment each episode once at every (S, P) and measure the mask.

    Args:
        about: see `Protocol`.
        modes: the tasks; those that the data lacks are skipped.
        shots: S, annotated images; interactive tasks have one.
        points: P, dots per label, or ``dense``.
        figures: see `Protocol`.
        contours: also measure the contour accuracy F of DAVIS, which takes a few milliseconds.
        skip_last: segment the last frame of a video, but do not score it.
        memory: previous-frame propagation in videos, see `video.previous_frame.Memory`. It starts from the mask of the
            annotated frame, or from its prediction if the annotation is dots. A network that reads no map gets none.
        exchange: exchange the positive and the negative label, in annotations and target: the task is the complement of
            the object, and its IoU is that of the background. The episodes and dots are those without ``exchange``.
        episodes: see `guided_seg.data.frozen.freeze.Plan`, as ``draw``, ``seeds`` and ``objects``.
    """

    def __init__(
        self,
        about: str,
        modes: Sequence[str],
        shots: Sequence[int],
        points: Sequence[int | str],
        figures: Sequence[str],
        contours: bool = False,
        skip_last: bool = False,
        episodes: int | None = None,
        draw: str = "spread",
        seeds: Sequence[int] = (0,),
        objects: int = 1,
        unit: str = "episodes",
        size: Sequence[int] | None = None,
        memory: Memory = "none",
        exchange: bool = False,
    ) -> None:
        _check_settings(shots, points)
        if exchange and objects > 1:
            raise DataError(f"exchange=true is for tasks of one object and objects={objects}; choose objects=1.")
        check_memory(memory)
        if memory != "none" and list(modes) != ["video"]:
            raise DataError(f"memory={memory} is for frames of videos and modes={list(modes)}; choose modes=[video].")
        most = max((p for p in points if not isinstance(p, str)), default=0)
        plan = Plan(known_modes(modes), episodes, draw, list(seeds), max(shots), most, objects)
        super().__init__(about, plan, figures, [*COUNTS, "j", *(["f"] if contours else [])], unit, size)
        self.shots, self.points, self.contours, self.skip_last = list(shots), list(points), contours, skip_last
        self.memory: Memory = memory
        self.exchange = exchange

    def tied(self, episodes: Sequence[FrozenEpisode]) -> list[range]:
        """See `Protocol.tied`. With memory, a range is the frames of a video."""
        if self.memory == "none":
            return super().tied(episodes)
        videos = [(episode.groups, episode.seed) for episode in episodes]
        starts = [i for i, video in enumerate(videos) if i == 0 or video != videos[i - 1]]
        return [range(start, end) for start, end in pairwise([*starts, len(episodes)])]

    def measure(self, item: EvaluationEpisode, answers: Answers, keep: Keep | None = None) -> list[Row]:
        """See `Protocol.measure`."""
        rows: list[Row] = []
        item = item.exchanged() if self.exchange else item
        answers.encode(item, max(self.shots))
        for shots in self.shots if item.frozen.mode != "interactive" else [1]:
            for points in self.points:
                dots = None if isinstance(points, str) else points
                episode = item.with_setting(shots, dots)
                if episode is None:
                    continue
                setting = f"s{shots}_p{points}"
                if self.memory != "none":
                    prediction = answers.remember(item, episode, setting, self.memory)
                else:
                    prediction = answers.segment(item, episode)
                if keep:
                    keep(item, setting, prediction)
                if not (self.skip_last and item.frozen.last):
                    few_shots, few_dots = item.fewer_than(shots, dots)
                    fewer = {"fewer_shots": int(few_shots), "fewer_dots": int(few_dots)}
                    rows += self._rows(item, {"shots": shots, "points": str(points), **fewer}, prediction)
        return rows

    def _rows(self, item: EvaluationEpisode, asked: Row, prediction: Labels) -> Iterable[Row]:
        target = item.dense.target.numpy()
        for label, group in enumerate(item.frozen.groups, start=1):
            true = one_label(target, label)
            found = (prediction == label).astype(np.uint8)
            counts = dict(zip(COUNTS, count(found, true), strict=True))
            measured = {**counts, "j": region_similarity(found == 1, true == 1, true == IGNORE)}
            if self.contours:
                measured["f"] = contour_accuracy(found == 1, true == 1, true == IGNORE)
            yield {**row_of(item, label, group), **asked, **measured}


def one_label(target: Labels, label: int) -> Labels:
    """A binary mask: 1 for the label, `IGNORE` for void pixels, else 0."""
    return np.where(target == IGNORE, IGNORE, target == label).astype(np.uint8)


def row_of(item: EvaluationEpisode, label: int, group: str) -> Row:
    """The columns that identify the episode and label of a row."""
    frozen = item.frozen
    return {"episode": item.number, "seed": frozen.seed, "mode": frozen.mode, "label": label, "group": group}


def _check_settings(shots: Sequence[int], points: Sequence[int | str]) -> None:
    if not shots or not points or min(shots) < 1:
        raise DataError(f"shots={list(shots)}, points={list(points)}: expected at least one of each, from 1.")
    for number in points:
        right = number > 0 if isinstance(number, int) else number == "dense"
        if not right:
            raise DataError(f"points={list(points)}: {number} is neither a whole number from 1 nor dense.")

"""Select the episodes of a protocol and freeze them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track

from guided_seg.data.frozen.episode_file import FrozenEpisode, FrozenEpisodes, FrozenView, Mark, mark_of
from guided_seg.data.sampling.points import binarize, sample_points
from guided_seg.data.source import Mode, Sample, Source, Task, View
from guided_seg.errors import DataError
from guided_seg.settings.limits import DRAWS


@dataclass(frozen=True)
class Plan:
    """How to select episodes.

    Attributes:
        modes: the modes; those that the data lacks are skipped.
        episodes: number per mode (and seed); None for all of the data.
        draw: ``spread``: the fixed tasks of the data, evenly spread; ``random``: a random class or object, with equal
            probability, then a random image of it and random support, as in few-shot protocols.
        seeds: random seeds, each for a draw of ``episodes``.
        shots: the largest S.
        points: the largest P; 0 for full masks only.
        objects: positive labels of a task.

    Raises:
        DataError: a value is invalid.
    """

    modes: Sequence[Mode]
    episodes: int | None = None
    draw: str = "spread"
    seeds: Sequence[int] = (0,)
    shots: int = 1
    points: int = 0
    objects: int = 1

    def __post_init__(self) -> None:
        if self.draw not in DRAWS:
            raise DataError(f"draw={self.draw}: expected {' or '.join(DRAWS)}.")
        if self.draw == "random" and self.episodes is None:
            raise DataError("draw=random needs a number of episodes; random draws never end.")
        if not self.modes or not self.seeds:
            raise DataError(f"modes={list(self.modes)}, seeds={list(self.seeds)}: expected at least one of each.")
        if self.episodes is not None and (type(self.episodes) is not int or self.episodes < 1):
            raise DataError(f"episodes={self.episodes}: expected a whole number from 1, or null for all.")
        for name, least in (("shots", 1), ("points", 0), ("objects", 1)):
            if type(found := getattr(self, name)) is not int or found < least:
                raise DataError(f"{name}={found}: expected a whole number from {least}.")
        if any(type(seed) is not int or seed < 0 for seed in self.seeds):
            raise DataError(f"seeds={list(self.seeds)}: expected whole numbers from 0.")


def freeze(source: Source, split: str, plan: Plan, progress: bool = False) -> FrozenEpisodes:
    """Select the episodes, draw their dots, and store the marks of their images.

    The dots are those of `data.sampling.points.restrict`, so frozen and other evaluations use the same dots.

    Args:
        source: the data of ``split``.
        split: name of the split.
        plan: how to select episodes.
        progress: show a progress bar.

    Raises:
        DataError: the data has no task of these modes.
        BrokenFile: an image cannot be read.
    """
    modes = [mode for mode in plan.modes if mode in source.modes]
    if not modes:
        source.require(plan.modes[0])
    images: dict[Hashable, Mark] = {}
    tasks = [drawn for mode in modes for seed in plan.seeds for drawn in _tasks(source, mode, plan, seed)]
    bar = track(tasks, "Freezing episodes", disable=not (progress and Console().is_terminal), transient=True)
    episodes = tuple(_freeze(source, plan, images, drawn) for drawn in bar)
    rule = {**asdict(plan), "modes": modes, "seeds": list(plan.seeds)}
    return FrozenEpisodes(source.name, split, rule, images, episodes)


class _Drawn(NamedTuple):
    mode: Mode
    seed: int
    number: int
    last: bool
    task: Task


def _tasks(source: Source, mode: Mode, plan: Plan, seed: int) -> Iterator[_Drawn]:
    """The tasks of one mode and seed."""
    total = source.count(mode, plan.objects)
    members = _members(source, mode, plan, seed, total) if mode == "video" or plan.draw == "random" else {}
    last = {found[-1] for found in members.values()} if mode == "video" else set()
    if plan.draw == "spread":
        indices = source.spread(mode, plan.episodes, plan.objects)
    else:
        rng, groups = np.random.default_rng((seed, total)), list(members.values())
        drawn = (groups[rng.integers(len(groups))] for _ in range(plan.episodes or 0))
        indices = [found[rng.integers(len(found))] for found in drawn]
    for number, index in enumerate(indices):
        rng = np.random.default_rng((seed, number))
        task = source.fixed(mode, index, plan.shots, rng, plan.objects)
        yield _Drawn(mode, seed, number, index in last, task)


def _members(source: Source, mode: Mode, plan: Plan, seed: int, total: int) -> dict[str, list[int]]:
    """The fixed tasks of each class or object, by index."""
    members: dict[str, list[int]] = {}
    for index in range(total):
        task = source.fixed(mode, index, 0, np.random.default_rng((seed, index)), plan.objects)
        members.setdefault(task.group, []).append(index)
    return members


def _freeze(source: Source, plan: Plan, images: dict[Hashable, Mark], drawn: _Drawn) -> FrozenEpisode:
    def look(view: View) -> Sample | None:
        # labels are needed for dots, and once per image for its mark
        if view.key in images and not plan.points:
            return None
        sample = source.load(view.key)
        images.setdefault(view.key, mark_of(sample))
        return sample

    task, support = drawn.task, []
    look(task.query)
    for rank, view in enumerate(task.support):
        sample = look(view)
        dots = _dots(sample, view, plan.points, (drawn.seed, drawn.number, rank)) if sample and plan.points else ()
        support.append(FrozenView(view.key, view.values, dots))
    query = FrozenView(task.query.key, task.query.values)
    return FrozenEpisode(drawn.mode, drawn.seed, query, tuple(support), task.groups, task.ways, drawn.last)


def _dots(sample: Sample, view: View, points: int, key: tuple[int, int, int]) -> tuple[tuple[int, int, int], ...]:
    mask, labels = binarize(sample.labels, view.values), tuple(range(len(view.values) + 1))
    rows: list[list[int]] = sample_points(mask, points, labels, np.random.default_rng(key)).tolist()
    return tuple((row, column, label) for row, column, label in rows)

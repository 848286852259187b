"""Select the episodes of a protocol and freeze them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from rich.console import Console
from rich.progress import track

from guided_seg.data.files.skipped import SkippedFiles
from guided_seg.data.frozen.episode_file import LEFT_OUT, FrozenEpisode, FrozenEpisodes, FrozenView, Mark, mark_of
from guided_seg.data.sampling.points import binarize, sample_points
from guided_seg.data.source import Mode, Sample, Source
from guided_seg.errors import BrokenFile, DataError
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


def select(source: Source, split: str, plan: Plan) -> FrozenEpisodes:
    """Select the episodes without loading an image. Their dots are drawn when `EvaluationEpisodes` loads them.

    Raises:
        DataError: the data has no task of these modes.
    """
    modes = [mode for mode in plan.modes if mode in source.modes]
    if not modes:
        source.require(plan.modes[0])
    episodes = tuple(e for mode in modes for seed in plan.seeds for e in _episodes(source, mode, plan, seed))
    rule = {**asdict(plan), "modes": modes, "seeds": list(plan.seeds)}
    return FrozenEpisodes(source.name, split, rule, {}, episodes)


def freeze(source: Source, split: str, plan: Plan, progress: bool = False, max_broken: float = 0.01) -> FrozenEpisodes:
    """Select the episodes, draw their dots, and store the marks of their images.

    An episode with an unreadable file is left out. This does not change the dots of the others.

    Args:
        source: the data of ``split``.
        split: name of the split.
        plan: how to select episodes.
        progress: show a progress bar.
        max_broken: largest share of episodes with an unreadable file.

    Raises:
        DataError: the data has no task of these modes, or too many files cannot be read.
    """
    selected = select(source, split, plan)
    images: dict[Hashable, Mark] = {}
    episodes: list[FrozenEpisode] = []
    skipped, left_out = SkippedFiles(max_broken), Counter[str]()
    shown = progress and Console().is_terminal
    for episode in track(selected.episodes, "Freezing episodes", disable=not shown, transient=True):
        faults: list[str] = []
        try:
            episodes.append(_freeze(source, plan.points, images, episode))
        except BrokenFile as error:
            faults = [str(error)]
            left_out[episode.mode] += 1
        skipped.count([faults])
    rule = dict(selected.rule)
    if left_out:
        rule[LEFT_OUT] = dict(left_out)
        used = {view.key for episode in episodes for view in (episode.query, *episode.support)}
        images = {key: mark for key, mark in images.items() if key in used}
    return replace(selected, rule=rule, images=images, episodes=tuple(episodes))


def _episodes(source: Source, mode: Mode, plan: Plan, seed: int) -> Iterator[FrozenEpisode]:
    """The episodes of one mode and seed, without dots."""
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
        task = source.fixed(mode, index, plan.shots, np.random.default_rng((seed, number)), plan.objects)
        query = FrozenView(task.query.key, task.query.values)
        support = tuple(FrozenView(view.key, view.values, None if plan.points else ()) for view in task.support)
        yield FrozenEpisode(mode, seed, query, support, task.groups, task.ways, index in last, number)


def _members(source: Source, mode: Mode, plan: Plan, seed: int, total: int) -> dict[str, list[int]]:
    """The fixed tasks of each class or object, by index."""
    members: dict[str, list[int]] = {}
    for index in range(total):
        task = source.fixed(mode, index, 0, np.random.default_rng((seed, index)), plan.objects)
        members.setdefault(task.group, []).append(index)
    return members


def _freeze(source: Source, points: int, images: dict[Hashable, Mark], episode: FrozenEpisode) -> FrozenEpisode:
    def look(view: FrozenView) -> Sample | None:
        # labels are needed for dots, and once per image for its mark
        if view.key in images and not points:
            return None
        sample = source.load(view.key)
        images.setdefault(view.key, mark_of(sample))
        return sample

    support = []
    look(episode.query)
    for shot, view in enumerate(episode.support):
        sample = look(view)
        support.append(replace(view, dots=dots_of(episode, shot, points, sample)) if sample and points else view)
    return replace(episode, support=tuple(support))


def dots_of(episode: FrozenEpisode, shot: int, points: int, sample: Sample) -> tuple[tuple[int, int, int], ...]:
    """Draw the dots of a shot, rows of (row, column, label).

    They depend only on the seed and number of the episode and on the shot. Fewer points are a subset of more points.

    Args:
        episode: an episode of `select`.
        shot: the index of the shot in its support.
        points: P.
        sample: the image of the shot at its original size.
    """
    values = episode.support[shot].values
    rng = np.random.default_rng((episode.seed, episode.number, shot))
    dots = sample_points(binarize(sample.labels, values), points, tuple(range(len(values) + 1)), rng)
    rows: list[list[int]] = dots.tolist()
    return tuple((row, column, label) for row, column, label in rows)

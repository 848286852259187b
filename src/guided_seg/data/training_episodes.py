"""Training episodes: random tasks as tensors, a pure function of (seed, epoch, index)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import accumulate
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from guided_seg.data.sampling.earlier_masks import disturb
from guided_seg.data.sampling.pasting import PASTED
from guided_seg.data.sampling.placing import place_points
from guided_seg.data.sampling.points import DENSE, PointRange, binarize, keep_labels
from guided_seg.data.sampling.transforms import Augment
from guided_seg.data.source import Mode, Sample, Source, Task, View
from guided_seg.episode import IGNORE, Episode, Meta, Shot
from guided_seg.errors import BrokenFile, DataError
from guided_seg.settings.episode_options import EpisodeOptions

_ATTEMPTS = 20
_TELLING = 3  # fewest dots of each label that tell a task from its complement; by fewer, an object is the better guess
_VISIBLE = 0.005  # smallest share of the crop that a target may cover


_Image = tuple[Sample, torch.Tensor]


class _Drawn(NamedTuple):
    """A task, its augmented images, and the episode made from them."""

    task: Task
    mode: Mode
    query: _Image
    shown: list[_Image]
    episode: Episode


@dataclass(frozen=True)
class TrainEpisodes(Dataset[Episode]):
    """A dataset of random training episodes. The item ``(epoch, index)`` depends only on these two and the seed.

    Attributes:
        source: the labelled images.
        weights: sampling weight of each mode.
        points: the distribution of P.
        options: further options of episodes.
        augment: the joint augmentation, or None.
        seed: random seed of the episodes.
    """

    source: Source
    weights: Mapping[Mode, float]
    points: PointRange
    options: EpisodeOptions
    augment: Augment | None
    seed: int
    _last: dict[tuple[int, int], _Drawn] = field(default_factory=dict, compare=False, repr=False)
    _masks: dict[tuple[int, ...], tuple[Sample, np.ndarray]] = field(default_factory=dict, compare=False, repr=False)

    def __getitem__(self, key: tuple[int, int]) -> Episode:
        """One episode. If a file is broken, another task is drawn, and ``meta['broken']`` names the file."""
        epoch, (index, turn) = key[0], divmod(key[1], self.options.turns)
        first = self._last.get((epoch, index)) if turn else None
        if first is None:
            first = self._first((epoch, index))
            self._last.clear()
            self._last[epoch, index] = first
        rng = np.random.default_rng((self.seed, epoch, index, turn, 1))
        episode = self._again(first, rng) if turn else first.episode
        share = self.options.exchanged if _tells_sides(episode) else 0.0
        return exchanged(episode) if share and rng.random() < share else episode

    def _first(self, key: tuple[int, int]) -> _Drawn:
        broken: list[str] = []
        for attempt in range(_ATTEMPTS):
            try:
                return self._draw(np.random.default_rng((self.seed, *key, attempt)), broken)
            except BrokenFile as error:
                broken.append(str(error))
        raise DataError(f"{_ATTEMPTS} draws in a row met a broken file; the last: {broken[-1]}")

    def _draw(self, rng: np.random.Generator, broken: list[str]) -> _Drawn:
        *until, total = accumulate(self.weights.values())
        # as rng.choice draws it, which takes as long as all other draws of an episode
        mode = list(self.weights)[bisect_right([weight / total for weight in until], rng.random())]
        shots = int(rng.integers(self.options.shots[0], self.options.shots[1] + 1))
        least, most = self.options.objects
        objects = int(rng.integers(least, most + 1)) if most > 1 else 1
        task = self.source.sample(mode, shots, rng, objects)
        points = self.points.draw(rng)
        query = self._load(task, task.query, rng, mode)
        image = to_tensor(query.image)
        shown: list[_Image] = []
        support = []
        for view in task.support:
            if mode == "interactive":
                shown.append((query, image))
            else:
                sample = self._load(task, view, rng, mode)
                shown.append((sample, to_tensor(sample.image)))
            sample, tensor = shown[-1]
            support.append(self._shot(tensor, sample, view.values, points, mode == "interactive", rng))
        episode = self._episode(task, mode, (query, image), support, broken, rng)
        return _Drawn(task, mode, (query, image), shown, episode)

    def _again(self, first: _Drawn, rng: np.random.Generator) -> Episode:
        """Another episode on the images of the first."""
        task, mode, query, shown = first.task, first.mode, first.query, first.shown
        if mode == "interactive":
            sample, view, group = self._other(task, query[0], rng)
            query = sample, query[1]
            shown = [query] * len(shown)
            task = replace(task, query=view, support=(view,) * len(task.support), groups=group)
        else:
            swapped = (task.query, *task.support[1:])
            task, query, shown = replace(task, query=task.support[0], support=swapped), shown[0], [query, *shown[1:]]
        points = self.points.draw(rng)
        support = [
            self._shot(tensor, sample, view.values, points, mode == "interactive", rng)
            for view, (sample, tensor) in zip(task.support, shown, strict=True)
        ]
        return self._episode(task, mode, query, support, [], rng)

    def _other(self, task: Task, sample: Sample, rng: np.random.Generator) -> tuple[Sample, View, tuple[str, ...]]:
        """Another object that is visible enough in the crop: of the source, or a pasted one; else the same object."""
        others = [
            value
            for value in {*self._values.get(task.query.key, ()), PASTED}
            if value not in task.query.values and (sample.labels == value).mean() >= _VISIBLE
        ]
        if not others or len(task.query.values) > 1:
            return sample, task.query, task.groups
        value = others[int(rng.integers(len(others)))]
        own = task.query.values[0]
        united = self.options.united > 0 and rng.random() < self.options.united
        if united and value != PASTED and _touch(sample.labels, own, value):
            both = Sample(sample.image, np.where(sample.labels == value, np.uint8(own), sample.labels))
            return both, task.query, (f"{task.group} + {value}",)
        return sample, replace(task.query, values=(value,)), (f"{task.group} ({value})",)

    @cached_property
    def _values(self) -> dict[Hashable, set[int]]:
        """The target values of each image."""
        found: dict[Hashable, set[int]] = {}
        for target in self.source.targets():
            found.setdefault(target.key, set()).add(target.value)
        return found

    def _episode(
        self, task: Task, mode: Mode, query: _Image, support: list[Shot], broken: list[str], rng: np.random.Generator
    ) -> Episode:
        sample, image = query
        target = self._mask(sample, task.query.values)
        meta = {"mode": mode, "source": self.source.name, "broken": broken, **names_of(task)}
        previous = torch.from_numpy(disturb(target, rng)) if mode == "video" and self._has_earlier(rng) else None
        return Episode(image, torch.from_numpy(target), support, meta, len(task.query.values) + 1, previous)

    def _has_earlier(self, rng: np.random.Generator) -> bool:
        return self.options.earlier > 0 and rng.random() < self.options.earlier

    def _shot(
        self,
        image: torch.Tensor,
        sample: Sample,
        values: tuple[int, ...],
        points: int | None,
        is_query: bool,
        rng: np.random.Generator,
    ) -> Shot:
        """A shot with dots or a dense mask; ``points`` is P of the episode."""
        mask = self._mask(sample, values)
        labels = self.points.labels(len(values) + 1, rng)
        of_shot = self.points.draw_shot(points, labels, rng)
        if of_shot is DENSE:
            return Shot(image, mask=torch.from_numpy(keep_labels(mask, labels)), is_query=is_query)
        dots = place_points(mask, of_shot, self.points.draw_places(labels, rng), sample.labels, rng)
        return Shot(image, points=dots, is_query=is_query)

    def _mask(self, sample: Sample, values: tuple[int, ...]) -> np.ndarray:
        """The label of each pixel in a task, cached for an image that is both query and shot."""
        known = self._masks.get(values)
        if known is None or known[0] is not sample:
            self._masks.clear()
            known = self._masks[values] = sample, binarize(sample.labels, values)
        return known[1]

    def _load(self, task: Task, view: View, rng: np.random.Generator, mode: Mode) -> Sample:
        sample = self.source.load(view.key)
        if self.augment is None:
            return sample
        # in interactive tasks, another object of the same class is the hardest negative
        donor = partial(self._donor, task.groups, mode == "interactive")
        return self.augment(sample, view.values, rng, donor)

    def _donor(self, groups: tuple[str, ...], alike: bool, rng: np.random.Generator) -> tuple[Sample, int] | None:
        target = self.source.donor(groups, rng, alike)
        return (self.source.load(target.key), target.value) if target else None


def _touch(labels: np.ndarray, one: int, other: int) -> bool:
    """Whether two labels are at most two pixels apart; masks often leave such a gap."""
    near = cv2.dilate((labels == one).view(np.uint8), np.ones((5, 5), np.uint8))
    return bool((near.view(bool) & (labels == other)).any())


def _tells_sides(episode: Episode) -> bool:
    """Whether an episode has two labels, and shows enough of both to tell its task from the complement."""
    if episode.num_labels != 2:
        return False
    if any(shot.points is None for shot in episode.support):
        return True  # a dense mask shows both
    labels = torch.cat([shot.points[:, 2] for shot in episode.support if shot.points is not None])
    return int(torch.bincount(labels, minlength=2).min()) >= _TELLING


def exchanged(episode: Episode) -> Episode:
    """The complement of a task: positive and negative change places in target, support and earlier prediction.

    Example:
        >>> image, target = torch.zeros(3, 1, 3), torch.tensor([[0, 1, 255]], dtype=torch.uint8)
        >>> shot = Shot(image, points=torch.tensor([[0, 1, 1]]), is_query=True)
        >>> other = exchanged(Episode(image, target, [shot]))
        >>> other.target.tolist(), other.support[0].points.tolist()
        ([[1, 0, 255]], [[0, 1, 0]])
    """
    support = []
    for shot in episode.support:
        points = None
        if shot.points is not None:
            points = torch.cat([shot.points[:, :2], 1 - shot.points[:, 2:]], dim=1)
        support.append(replace(shot, points=points, mask=_swapped(shot.mask)))
    target = _swapped(episode.target)
    assert target is not None
    return replace(episode, target=target, support=support, previous=_swapped(episode.previous))


def _swapped(labels: torch.Tensor | None) -> torch.Tensor | None:
    return None if labels is None else torch.where(labels == IGNORE, labels, 1 - labels)


def names_of(task: Task) -> Meta:
    """The meta entries that name the groups of a task."""
    several = {"groups": task.groups} if len(task.groups) > 1 else {}
    return {"group": task.group, **several, **({"ways": task.ways} if task.ways > 1 else {})}


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """Convert RGB uint8 ``[H, W, 3]`` to float32 ``[3, H, W]`` in 0..1."""
    planes = np.empty((3, *image.shape[:2]), np.uint8)
    cv2.split(image, list(planes))  # twice as fast as a transposed copy
    return torch.from_numpy(np.divide(planes, np.float32(255)))  # one pass; torch needs two

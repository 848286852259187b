"""Evaluation episodes with their pixels: the input of protocols and of validation."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from guided_seg.data.frozen.episode_file import FrozenEpisode, FrozenEpisodes, FrozenView, mark_of
from guided_seg.data.frozen.freeze import dots_of
from guided_seg.data.sampling.points import binarize
from guided_seg.data.source import Sample, Source
from guided_seg.data.training_episodes import to_tensor
from guided_seg.episode import IGNORE, Episode, Meta, Shot
from guided_seg.errors import DataError

Size = tuple[int, int]
"""Height and width."""


class _Loaded(NamedTuple):
    """An image at its original size and at that of the protocol, and the latter as a tensor."""

    original: Sample
    sample: Sample
    image: Tensor


@dataclass(frozen=True, slots=True)
class EvaluationEpisode:
    """A frozen episode with its pixels.

    Attributes:
        number: its index in the file.
        frozen: the episode in the file.
        dense: the episode with full masks.
        dots: int64 ``[P, 3]`` rows of (row, column, label) for each shot, at the size of the loaded image.
    """

    number: int
    frozen: FrozenEpisode
    dense: Episode
    dots: tuple[Int[Tensor, "_ 3"], ...]

    def with_setting(self, shots: int, points: int | None) -> Episode | None:
        """The episode with its first ``shots`` shots and ``points`` dots per label, or full masks if None.

        Returns None if the support would contain the query (an annotated video frame).
        """
        if self.frozen.shows_query(shots):
            return None
        support = self.dense.support[: shots * self.frozen.ways]
        if points is not None:
            pairs = zip(support, self.dots, strict=False)
            support = [shot_with(shot, first_of_each(dots, points)) for shot, dots in pairs]
        return self.with_support(support)

    def with_support(self, support: Sequence[Shot]) -> Episode:
        """The episode with another support."""
        return Episode(self.dense.query, self.dense.target, support, self.dense.meta, self.dense.num_labels)

    def exchanged(self) -> EvaluationEpisode:
        """The complement of a task with one positive label: its target, masks and dots with both labels exchanged."""
        masks = [shot.mask for shot in self.dense.support if shot.mask is not None]
        support = [replace(shot, mask=_complement(mask)) for shot, mask in zip(self.dense.support, masks, strict=True)]
        dense = replace(self.dense, target=_complement(self.dense.target), support=support)
        dots = tuple(torch.cat([dots[:, :2], 1 - dots[:, 2:]], 1) for dots in self.dots)
        return replace(self, dense=dense, dots=dots)

    def fewer_than(self, shots: int, points: int | None) -> tuple[bool, bool]:
        """Whether the episode has fewer shots than ``shots``, and a label of a shot fewer dots than ``points``.

        A class may have too few images, and a label too few pixels. A label that is absent from a shot does not count.
        """
        number = shots * self.frozen.ways
        few_shots = len(self.frozen.support) < number
        if points is None:
            return few_shots, False
        counts = (torch.bincount(dots[:, 2]) for dots in self.dots[:number])
        return few_shots, any(bool(((count > 0) & (count < points)).any()) for count in counts)


class EvaluationEpisodes(Dataset[EvaluationEpisode]):
    """A dataset of the episodes of `freeze` or `select`.

    Args:
        source: the data that they were selected from.
        frozen: the episodes.
        size: height and width to resize images (bilinear) and masks (nearest) to, as some protocols require; None for
            the original size.

    Raises:
        DataError: (on loading) an image differs from the one that was frozen.
        BrokenFile: (on loading) an image cannot be read.
    """

    def __init__(self, source: Source, frozen: FrozenEpisodes, size: Size | None = None) -> None:
        self.source, self.frozen, self.size = source, frozen, size
        # consecutive episodes share support images; `collate` recognises shared tensors by identity
        self._recent: dict[Hashable, _Loaded] = {}

    def __len__(self) -> int:
        return len(self.frozen.episodes)

    def __getitem__(self, number: int) -> EvaluationEpisode:
        frozen = self.frozen.episodes[number]
        query = self._load(frozen.query.key)
        target = torch.from_numpy(binarize(query.sample.labels, frozen.query.values))
        support = [self._shot(frozen, view) for view in frozen.support]
        dots = tuple(self._dots(frozen, shot) for shot in range(len(frozen.support)))
        dense = Episode(query.image, target, support, self.meta(number), len(frozen.query.values) + 1)
        return EvaluationEpisode(number, frozen, dense, dots)

    def meta(self, number: int) -> Meta:
        """The origin of an episode, as its ``meta``."""
        frozen = self.frozen.episodes[number]
        names: Meta = {"group": " + ".join(frozen.groups), "groups": frozen.groups, "ways": frozen.ways}
        return {"mode": frozen.mode, "source": self.frozen.source, "index": number, "broken": [], **names}

    def _shot(self, frozen: FrozenEpisode, view: FrozenView) -> Shot:
        loaded = self._load(view.key)
        mask = torch.from_numpy(binarize(loaded.sample.labels, view.values))
        return Shot(loaded.image, mask=mask, is_query=view.key == frozen.query.key)

    def _dots(self, frozen: FrozenEpisode, shot: int) -> Int[Tensor, "P 3"]:
        view = frozen.support[shot]
        loaded = self._load(view.key)
        found = view.dots
        if found is None:
            found = dots_of(frozen, shot, self.frozen.rule["points"], loaded.original)
        dots = torch.tensor(found, dtype=torch.int64).reshape(-1, 3)
        old, new = loaded.original.labels.shape, loaded.sample.labels.shape
        return resize_dots(dots, (old[0], old[1]), (new[0], new[1]))

    def _load(self, key: Hashable) -> _Loaded:
        if key not in self._recent:
            if len(self._recent) >= 32:
                self._recent.pop(next(iter(self._recent)))
            original = self._sample(key)
            self._check(key, original)
            sample = resize(original, self.size) if self.size else original
            self._recent[key] = _Loaded(original, sample, to_tensor(sample.image))
        return self._recent[key]

    def _sample(self, key: Hashable) -> Sample:
        try:
            return self.source.load(key)
        except DataError:
            raise
        except (AssertionError, IndexError, KeyError, TypeError, ValueError) as error:  # keys from a file are arbitrary
            raise DataError(
                f"The frozen episodes name the image {key!r}, which this data does not have; use the data that they "
                "were frozen on, or freeze them again on this."
            ) from error

    def _check(self, key: Hashable, sample: Sample) -> None:
        if not self.frozen.images:  # of `select`
            return
        expected, found = self.frozen.images[key], mark_of(sample)
        if found != expected:
            raise DataError(
                f"The image {key} is {found.height} x {found.width} with label checksum {found.labels}, but the frozen "
                f"episodes were made on one of {expected.height} x {expected.width} and {expected.labels}; use the "
                "data that they were frozen on, or freeze them again on this."
            )


def _complement(mask: UInt8[Tensor, "H W"]) -> UInt8[Tensor, "H W"]:
    """A mask with 0 and 1 exchanged; void stays void."""
    return torch.where(mask == IGNORE, mask, 1 - mask)


def resize(sample: Sample, size: Size) -> Sample:
    """Resize an image (bilinear) and its labels (nearest)."""
    shape = (size[1], size[0])
    image = cv2.resize(sample.image, shape, interpolation=cv2.INTER_LINEAR)
    labels = cv2.resize(sample.labels, shape, interpolation=cv2.INTER_NEAREST_EXACT)
    return Sample(np.asarray(image, np.uint8), np.asarray(labels, np.uint8))


def resize_dots(dots: Int[Tensor, "P 3"], old: Size, new: Size) -> Int[Tensor, "P 3"]:
    """Rescale dots to another image size: to the pixel that contains the centre of the old one.

    Example:
        >>> resize_dots(torch.tensor([[9, 5, 1]]), (10, 10), (20, 5)).tolist()
        [[19, 2, 1]]
    """
    if old == new:
        return dots
    place = ((2 * dots[:, :2] + 1) * torch.tensor(new)).div(2 * torch.tensor(old), rounding_mode="floor")
    return torch.cat([place, dots[:, 2:]], 1)


def first_of_each(dots: Int[Tensor, "P 3"], number: int) -> Int[Tensor, "D 3"]:
    """The first ``number`` dots of each label."""
    labels = dots[:, 2].numpy()  # several times as fast as torch for so few
    kept = [np.flatnonzero(labels == label)[:number] for label in np.unique(labels)]
    return dots[torch.from_numpy(np.concatenate(kept))] if kept else dots


def shot_with(shot: Shot, dots: Int[Tensor, "P 3"]) -> Shot:
    """The shot with dots as its annotation."""
    return Shot(shot.image, points=dots, is_query=shot.is_query, meta=shot.meta)

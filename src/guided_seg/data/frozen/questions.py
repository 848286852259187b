"""Frozen episodes with their pixels: the input of protocols."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset

from guided_seg.data.frozen.episode_file import FrozenEpisode, FrozenEpisodes, FrozenView, mark_of
from guided_seg.data.sampling.points import binarize
from guided_seg.data.source import Sample, Source
from guided_seg.data.training_episodes import to_tensor
from guided_seg.episode import Episode, Shot
from guided_seg.errors import DataError

Size = tuple[int, int]
"""Height and width."""


@dataclass(frozen=True, slots=True)
class Question:
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

    def ask(self, shots: int, points: int | None) -> Episode | None:
        """The episode with its first ``shots`` shots and ``points`` dots per label, or full masks if None.

        Returns None if the support would contain the query (an annotated video frame).
        """
        number = shots * self.frozen.ways
        if self.frozen.mode != "interactive" and self.frozen.query.key in self.keys(number):
            return None
        support = self.dense.support[:number]
        if points is not None:
            pairs = zip(support, self.dots, strict=False)
            support = [shot_with(shot, first_of_each(dots, points)) for shot, dots in pairs]
        return self.with_support(support)

    def with_support(self, support: Sequence[Shot]) -> Episode:
        """The episode with another support."""
        return Episode(self.dense.query, self.dense.target, support, self.dense.meta, self.dense.num_labels)

    def keys(self, number: int) -> list[Hashable]:
        """The keys of the images in the first ``number`` shots."""
        return [view.key for view in self.frozen.support[:number]]


class Questions(Dataset[Question]):
    """A dataset of the episodes of a file, loaded from the data that they were frozen on.

    Args:
        source: the data.
        frozen: the file.
        size: height and width to resize images (bilinear) and masks (nearest) to, as some protocols require; None for
            the original size.

    Raises:
        DataError: (on loading) an image differs from the one that was frozen.
        BrokenFile: (on loading) an image cannot be read.
    """

    def __init__(self, source: Source, frozen: FrozenEpisodes, size: Size | None = None) -> None:
        self.source, self.frozen, self.size = source, frozen, size
        # consecutive episodes share support images; `collate` recognises shared tensors by identity
        self._recent: dict[Hashable, tuple[Sample, Tensor, Size]] = {}

    def __len__(self) -> int:
        return len(self.frozen.episodes)

    def __getitem__(self, number: int) -> Question:
        frozen = self.frozen.episodes[number]
        sample, image, _ = self._load(frozen.query.key)
        target = torch.from_numpy(binarize(sample.labels, frozen.query.values))
        support = [self._shot(frozen, view) for view in frozen.support]
        dots = tuple(self._dots(view) for view in frozen.support)
        meta = {"mode": frozen.mode, "source": self.frozen.source, "index": number, "group": " + ".join(frozen.groups)}
        return Question(number, frozen, Episode(image, target, support, meta, len(frozen.query.values) + 1), dots)

    def _shot(self, frozen: FrozenEpisode, view: FrozenView) -> Shot:
        sample, image, _ = self._load(view.key)
        mask = torch.from_numpy(binarize(sample.labels, view.values))
        return Shot(image, mask=mask, is_query=frozen.mode == "interactive")

    def _dots(self, view: FrozenView) -> Int[Tensor, "P 3"]:
        _, image, size = self._load(view.key)
        dots = torch.tensor(view.dots, dtype=torch.int64).reshape(-1, 3)
        return resize_dots(dots, size, (image.shape[1], image.shape[2]))

    def _load(self, key: Hashable) -> tuple[Sample, Tensor, Size]:
        if key not in self._recent:
            if len(self._recent) >= 32:
                self._recent.pop(next(iter(self._recent)))
            sample = self._sample(key)
            self._check(key, sample)
            height, width = sample.labels.shape
            sample = resize(sample, self.size) if self.size else sample
            self._recent[key] = sample, to_tensor(sample.image), (height, width)
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
        expected, found = self.frozen.images[key], mark_of(sample)
        if found != expected:
            raise DataError(
                f"The image {key} is {found.height} x {found.width} with label checksum {found.labels}, but the frozen "
                f"episodes were made on one of {expected.height} x {expected.width} and {expected.labels}; use the "
                "data that they were frozen on, or freeze them again on this."
            )


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
    kept = [(dots[:, 2] == label).nonzero().flatten()[:number] for label in torch.unique(dots[:, 2])]
    return dots[torch.cat(kept)] if kept else dots


def shot_with(shot: Shot, dots: Int[Tensor, "P 3"]) -> Shot:
    """The shot with dots as its annotation."""
    return Shot(shot.image, points=dots, is_query=shot.is_query, meta=shot.meta)

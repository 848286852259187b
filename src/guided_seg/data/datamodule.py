"""One LightningDataModule per mode, and their mixture (paper, section 4.3)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from guided_seg.data.evaluation_episodes import FixedEpisodes
from guided_seg.data.leaks import check_unseen
from guided_seg.data.sampling.points import PointRange
from guided_seg.data.sampling.transforms import Augment
from guided_seg.data.source import MODES, Mode, Source, Split
from guided_seg.data.training_episodes import TrainEpisodes
from guided_seg.data.workers import EpisodeSampler, workers
from guided_seg.episode import Batch, Episode, collate
from guided_seg.errors import DataError
from guided_seg.settings.episode_options import EpisodeOptions

log = logging.getLogger(__name__)


class Episodes(LightningDataModule):
    """Training episodes of one or more modes, and fixed validation and test episodes.

    Args:
        source: factory of the source of a split.
        weights: sampling weight of each mode in training; modes that the source lacks are skipped.
        points: the distribution of P in training.
        options: further options of training episodes; validation uses the largest number of ``objects``.
        augment: joint augmentation of training images, or None.
        batch_size: episodes per training batch and process.
        steps_per_epoch: training batches per process between two validations.
        eval_batch_size: episodes per evaluation batch.
        eval_shots: the largest S of the evaluation.
        val_episodes: validation episodes per mode.
        test_episodes: test episodes per mode; None for all of the source.
        num_workers: processes that sample episodes.
        seed: random seed of training episodes.
        eval_seed: random seed of the supports of evaluation episodes.
        test_split: the split to test.
        eval_objects: positive labels of a test task.

    Raises:
        DataError: a weight is negative, or none is above 0.
    """

    def __init__(
        self,
        source: Callable[..., Source],
        weights: Mapping[Mode, float],
        points: PointRange | None = None,
        options: EpisodeOptions | None = None,
        augment: Augment | None = None,
        batch_size: int = 16,
        steps_per_epoch: int = 100,
        eval_batch_size: int = 8,
        eval_shots: int = 1,
        val_episodes: int = 32,
        test_episodes: int | Mapping[Mode, int | None] | None = None,
        num_workers: int = 1,
        seed: int = 0,
        eval_seed: int = 0,
        test_split: Split = "test",
        eval_objects: int = 1,
    ) -> None:
        super().__init__()
        if min(weights.values()) < 0 or not any(weights.values()):
            raise DataError(f"mode.weights={dict(weights)}: expected no negative weight, and one above 0.")
        self.make_source = source
        self.requested = {mode: weight for mode, weight in weights.items() if weight > 0}
        self.points, self.options, self.augment = points or PointRange(), options or EpisodeOptions(), augment
        self.batch_size, self.steps_per_epoch = batch_size, steps_per_epoch
        self.eval_batch_size, self.eval_shots = eval_batch_size, eval_shots
        self.val_episodes, self.test_episodes = val_episodes, test_episodes
        self.num_workers, self.seed, self.eval_seed = num_workers, seed, eval_seed
        self.test_split, self.eval_objects = test_split, eval_objects
        self._sources: dict[Split, Source] = {}

    def source(self, split: Split) -> Source:
        """The source of ``split``, built on the first call."""
        if split not in self._sources:
            self._sources[split] = self.make_source(split=split)
        return self._sources[split]

    @property
    def weights(self) -> dict[Mode, float]:
        """The weights of the modes that the training source has tasks for."""
        source = self.source("train")
        weights = {mode: weight for mode, weight in self.requested.items() if mode in source.modes}
        if not weights:
            source.require(next(iter(self.requested)))
        return weights

    def setup(self, stage: str) -> None:
        """Load the splits of the stage, so that bad data is refused before work starts."""
        if stage == "fit":
            left_out = sorted(set(self.requested) - set(self.weights))
            if left_out:
                log.warning(
                    "%s has no %s tasks; training without them.", self.source("train").name, ", ".join(left_out)
                )
            self.source("val")
            _check_objects(self.source("train"), list(self.weights), self.options.objects[1], "episode.objects")
            if self.augment and self.augment.paste and not self.source("train").targets():
                raise DataError(
                    f"data.augment.paste={self.augment.paste}, but '{self.source('train').name}' makes its images and "
                    "has no others to paste from; set it to 0, or choose other data."
                )
        if stage == "test":
            source = self.source(self.test_split)
            if "train" in self._sources and self.test_split != "train":
                check_unseen(self.source("train"), source)
            _check_objects(source, source.modes, self.eval_objects, "evaluation.objects")

    def train_dataloader(self) -> DataLoader[Episode]:
        """A loader of random episodes."""
        data = TrainEpisodes(self.source("train"), self.weights, self.points, self.options, self.augment, self.seed)
        return self._loader(data, EpisodeSampler(self.batch_size * self.steps_per_epoch, each=True), self.batch_size)

    def val_dataloader(self) -> DataLoader[Episode]:
        """A loader of fixed one-shot episodes of every trained mode that the validation split has."""
        source = self.source("val")
        modes = [mode for mode in self.weights if mode in source.modes]
        if not modes:
            raise DataError(f"The validation split of '{source.name}' has no tasks for {sorted(self.weights)}.")
        parts = [self._fixed(source, mode, 1, self.val_episodes, self.options.objects[1]) for mode in modes]
        return self._loader(_Joined(parts), EpisodeSampler(sum(map(len, parts))), self.eval_batch_size)

    def test_modes(self, modes: Sequence[Mode] = MODES) -> list[Mode]:
        """Those of ``modes`` for which the test split has tasks, in the order of `MODES`."""
        return [mode for mode in MODES if mode in modes and mode in self.source(self.test_split).modes]

    def test_loader(self, mode: Mode) -> DataLoader[Episode]:
        """A loader of fixed episodes of ``mode`` with up to ``eval_shots`` shots."""
        data = self._test_data(mode)
        return self._loader(data, EpisodeSampler(len(data)), self.eval_batch_size)

    def test_episode(self, mode: Mode) -> Batch:
        """The first test episode of ``mode`` with readable files, as a batch of one."""
        data = self._test_data(mode)
        episodes = (data[(0, number)] for number in range(len(data)))
        return collate([next((episode for episode in episodes if not episode.meta["broken"]), data[(0, 0)])])

    def _test_data(self, mode: Mode) -> FixedEpisodes:
        shots = 1 if mode == "interactive" else self.eval_shots
        wanted = self.test_episodes
        number = wanted.get(mode) if isinstance(wanted, Mapping) else wanted
        return self._fixed(self.source(self.test_split), mode, shots, number, self.eval_objects)

    def _fixed(self, source: Source, mode: Mode, shots: int, number: int | None, objects: int) -> FixedEpisodes:
        return FixedEpisodes(source, mode, shots, number, self.eval_seed, objects)

    def _loader(self, data: Dataset[Episode], sampler: EpisodeSampler, batch_size: int) -> DataLoader[Episode]:
        return _Loader(
            data,
            batch_size=batch_size,
            sampler=sampler,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
            **workers(self.num_workers),
        )


class InteractiveEpisodes(Episodes):
    """The support is the query itself with some of its pixels annotated (paper, section 5.1)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(weights={"interactive": 1.0}, **options)


class SemanticEpisodes(Episodes):
    """The support is other images of the query's class (paper, section 5.2)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(weights={"semantic": 1.0}, **options)


class VideoEpisodes(Episodes):
    """The support is other frames of the query's video (paper, section 5.3)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(weights={"video": 1.0}, **options)


class MixedEpisodes(Episodes):
    """A weighted mixture of the modes that the source has."""


class _Loader(DataLoader[Episode]):
    """A loader that starts its workers with the first batch.

    On a resume, Lightning requests the iterator before it sets the sampler's epoch. Workers that start immediately
    would repeat the first epoch.
    """

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        yield from super().__iter__()


class _Joined(ConcatDataset[Episode]):
    """Concatenation of several `FixedEpisodes`, with ``(epoch, index)`` keys."""

    def __getitem__(self, key: tuple[int, int]) -> Episode:
        index = key[1]
        for part in self.datasets:
            assert isinstance(part, FixedEpisodes)
            if index < len(part):
                return part[(key[0], index)]
            index -= len(part)
        raise IndexError(key)


def _check_objects(source: Source, modes: Sequence[Mode], wanted: int, key: str) -> None:
    """Raise an error if several positive labels are requested and no task has more than one."""
    if wanted > 1 and all(source.most(mode) == 1 for mode in modes):
        raise DataError(
            f"{key} asks for up to {wanted} positive labels, but no {' or '.join(modes)} task of '{source.name}' has "
            f"more than one; leave {key} at 1, or choose other data."
        )

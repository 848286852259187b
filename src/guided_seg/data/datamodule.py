"""One LightningDataModule per mode, and their mixture: training and validation (paper, section 4.3)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from guided_seg.data.frozen.episode_file import FrozenEpisodes
from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisodes
from guided_seg.data.frozen.freeze import Plan, select
from guided_seg.data.leaks import check_unseen
from guided_seg.data.sampling.points import PointRange, Setting
from guided_seg.data.sampling.transforms import Augment
from guided_seg.data.source import Mode, Source, Split, check_objects
from guided_seg.data.training_episodes import TrainEpisodes
from guided_seg.data.workers import EpisodeSampler, limited, workers
from guided_seg.distributed.collectives import rank_and_world
from guided_seg.episode import IGNORE, Batch, Episode, Meta, Shot, collate
from guided_seg.errors import BrokenFile, DataError
from guided_seg.settings.episode_options import EpisodeOptions

log = logging.getLogger(__name__)

VALIDATION: Setting = (1, 5)
"""The (S, P) of validation, by which checkpoints are selected, on validation classes and scenes."""


class Episodes(LightningDataModule):
    """Training episodes of one or more modes, fixed validation episodes, and the source of the test.

    Args:
        source: factory of the source of a split.
        weights: sampling weight of each mode in training; modes that the source lacks are skipped.
        points: the distribution of P in training.
        options: further options of training episodes; validation uses the largest number of ``objects``.
        augment: joint augmentation of training images, or None.
        batch_size: episodes per training batch, which all processes share equally.
        steps_per_epoch: training batches between two validations.
        eval_batch_size: episodes per validation batch of a process.
        val_episodes: validation episodes per mode.
        num_workers: processes that sample episodes.
        seed: random seed of training episodes.
        eval_seed: random seed of validation episodes.
        eval_objects: positive labels of a test task.
        limit_val: limit on validation batches of all processes, as a number or a share.

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
        val_episodes: int = 32,
        num_workers: int = 1,
        seed: int = 0,
        eval_seed: int = 0,
        eval_objects: int = 1,
        limit_val: float = 1.0,
    ) -> None:
        super().__init__()
        if min(weights.values()) < 0 or not any(weights.values()):
            raise DataError(f"mode.weights={dict(weights)}: expected no negative weight, and one above 0.")
        self.make_source = source
        self.requested = {mode: weight for mode, weight in weights.items() if weight > 0}
        self.points, self.options, self.augment = points or PointRange(), options or EpisodeOptions(), augment
        self.batch_size, self.steps_per_epoch = batch_size, steps_per_epoch
        self.eval_batch_size, self.val_episodes = eval_batch_size, val_episodes
        self.num_workers, self.seed, self.eval_seed = num_workers, seed, eval_seed
        self.eval_objects, self.limit_val = eval_objects, limit_val
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
            check_unseen(self.source("train"), self.source("val"), "validated on")
            check_objects(self.source("train"), list(self.weights), self.options.objects[1], "episode.objects")
            if self.augment and self.augment.paste and not self.source("train").targets():
                raise DataError(
                    f"data.augment.paste={self.augment.paste}, but '{self.source('train').name}' makes its images and "
                    "has no others to paste from; set it to 0, or choose other data."
                )
        if stage == "test":
            source = self.source("test")
            if "train" in self._sources:
                check_unseen(self.source("train"), source)
            check_objects(source, source.modes, self.eval_objects, "evaluation.objects")

    def train_dataloader(self) -> DataLoader[Episode]:
        """A loader of random episodes."""
        data = TrainEpisodes(self.source("train"), self.weights, self.points, self.options, self.augment, self.seed)
        _, world = rank_and_world()
        check_divides(self.batch_size, self.options.turns, world)
        each = self.batch_size // world
        sampler = EpisodeSampler(
            self.batch_size * self.steps_per_epoch, self.options.turns, lambda: each * self._batches_done()
        )
        return self._loader(data, sampler, each)

    def _batches_done(self) -> int:
        """How many batches of the epoch the network was trained on; not 0 after a resume in its middle.

        The trainer knows, so the loader has no state of its own. Lightning would not restore it, as the schedule asks
        for the number of steps before the checkpoint is loaded.
        """
        return self.trainer.fit_loop.epoch_loop.batch_idx + 1 if self.trainer else 0

    def val_dataloader(self) -> DataLoader[Episode]:
        """A loader of the validation episodes."""
        data = _Validation(EvaluationEpisodes(self.source("val"), self.validation_episodes()))
        number = limited(len(data), self.eval_batch_size, self.limit_val)
        return self._loader(data, EpisodeSampler(number), self.eval_batch_size)

    def validation_episodes(self) -> FrozenEpisodes:
        """Fixed one-shot episodes of every trained mode that the validation split has."""
        source = self.source("val")
        modes = [mode for mode in self.weights if mode in source.modes]
        if not modes:
            raise DataError(f"The validation split of '{source.name}' has no tasks for {sorted(self.weights)}.")
        plan = Plan(
            modes, self.val_episodes, seeds=[self.eval_seed], points=VALIDATION[1] or 0, objects=self.options.objects[1]
        )
        return select(source, "val", plan)

    def pictured(self) -> list[Episode]:
        """The first validation episode of each mode with readable files, which are the same throughout a training."""
        data = _Validation(EvaluationEpisodes(self.source("val"), self.validation_episodes()))
        found: dict[str, Episode] = {}
        for place, number in enumerate(data.numbers):
            mode = data.episodes.frozen.episodes[number].mode
            if mode not in found and not (episode := data[0, place]).meta["broken"]:
                found[mode] = episode
        return list(found.values())

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


def check_divides(batch_size: int, turns: int, world: int) -> None:
    """Refuse a batch that N processes cannot share equally, or only by encoding images twice.

    Args:
        batch_size: episodes of a batch of all processes.
        turns: consecutive episodes on the same images.
        world: N.

    Raises:
        DataError: with the batch sizes next to it that they can share.
    """
    if world == 1 or batch_size % (world * turns) == 0:
        return
    unit = world * turns
    near = [str(size) for size in (batch_size // unit * unit, (batch_size // unit + 1) * unit) if size]
    units = f", in whole turns (episode.turns={turns})" if turns > 1 else ""
    raise DataError(
        f"data.training.batch_size={batch_size} are the episodes of a step of all processes, and {world} processes "
        f"cannot share them equally{units}; set it to {' or '.join(near)}, or use another number of processes."
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


class _Validation(Dataset[Episode]):
    """Validation episodes, with ``(epoch, index)`` keys. If a file is broken, ``meta['broken']`` names it."""

    def __init__(self, episodes: EvaluationEpisodes) -> None:
        self.episodes = episodes
        frozen = episodes.frozen.episodes
        self.numbers = [number for number, episode in enumerate(frozen) if not episode.shows_query(VALIDATION[0])]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, key: tuple[int, int]) -> Episode:
        number = self.numbers[key[1]]
        try:
            episode = self.episodes[number].with_setting(*VALIDATION)
        except BrokenFile as error:
            return _left_out(self.episodes.meta(number) | {"broken": [str(error)]})
        assert episode is not None
        return episode


def _left_out(meta: Meta) -> Episode:
    """An episode without annotations or scores."""
    image, mask = torch.zeros(3, 32, 32), torch.full((32, 32), IGNORE, dtype=torch.uint8)
    return Episode(image, mask, [Shot(image, mask=mask, is_query=True)], meta)

"""The LightningModule around a network's guide and segmentor: loss, optimisation, validation and test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from pytorch_lightning import LightningModule
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from guided_seg.data.sampling.points import Fewer, Setting, fewer_than, restrict, settings_of
from guided_seg.data.source import MODES, Mode
from guided_seg.episode import Batch
from guided_seg.errors import UserError
from guided_seg.metrics.iou import NO_LABEL, EpisodeIoU, Scores, group_number, intersection_union
from guided_seg.model.features import Features
from guided_seg.model.guide.guide import Guide
from guided_seg.model.network import Network, encode_once
from guided_seg.model.segmentor import Segmentor
from guided_seg.settings.episode_options import EpisodeOptions
from guided_seg.training.corrections import corrected, recalled
from guided_seg.training.feature_cache import FeatureCache
from guided_seg.training.losses import CrossEntropy

K = TypeVar("K")
V = TypeVar("V")

VALIDATION: Setting = (1, 5)
"""The setting that models are selected by, on validation classes and scenes."""


_RATES = {"lr", "initial_lr", "max_lr", "min_lr"}


class EpisodicSegmentation(LightningModule):
    """Trains and scores a network on episodes (paper, section 4.3).

    Args:
        network: guide and segmentor, or a baseline.
        optimizer: makes the optimiser of the trainable parameters.
        schedule: makes the learning rate's schedule from the optimiser and ``total_steps``; None for a constant.
        settings: the (S, P) that `test` asks for, on the same queries.
        dot_seed: of the dots in validation and test.
        config: plain values that rebuild the network; every checkpoint carries them.
        log_every: training steps between two records; the metrics of the others are not computed.
        cache: encodes in place of the network, whose backbone is frozen.
        loss: of scores and target; the paper's by default.
        options: of training episodes; ``corrections`` and ``recalled`` are used here.
        pretrained_lr: the learning rate of the backbone's pretrained stages, as far as they are trained, in proportion
            to all else's.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Callable[..., Optimizer] | None = None,
        schedule: Callable[..., LRScheduler] | None = None,
        settings: Sequence[Setting] = (VALIDATION,),
        dot_seed: int = 0,
        config: dict[str, Any] | None = None,
        log_every: int = 10,
        cache: FeatureCache | None = None,
        loss: CrossEntropy | None = None,
        options: EpisodeOptions | None = None,
        pretrained_lr: float = 1.0,
    ) -> None:
        super().__init__()
        self.network = network
        self._optimizer, self._schedule = optimizer, schedule
        self.settings, self.dot_seed, self.config = list(settings), dot_seed, config or {}
        self.log_every, self.cache, self.loss = log_every, cache, loss or CrossEntropy()
        if not pretrained_lr > 0:
            raise UserError(
                f"optimizer.pretrained_lr={pretrained_lr}: expected a number above 0; backbone.frozen=true trains none "
                "of the pretrained stages."
            )
        self.options, self.pretrained_lr = options or EpisodeOptions(), pretrained_lr
        self.validation = {mode: new_metric(mode) for mode in MODES}
        self.scores: dict[Mode, dict[Setting, EpisodeIoU]] = {}
        self.groups: dict[int, str] = {}
        self._fewer: dict[tuple[Mode, Setting, int], Fewer] = {}

    @property
    def guide(self) -> Guide:
        """g, which makes z of the support. Raises `AttributeError` for a baseline, which has none."""
        guide: Guide = self.network.guide  # type: ignore[assignment]
        return guide

    @property
    def segmentor(self) -> Segmentor:
        """f, which segments a query by z: conditioning and decoder."""
        segmentor: Segmentor = self.network.segmentor  # type: ignore[assignment]
        return segmentor

    def forward(self, batch: Batch) -> Tensor:
        """Scores ``[B, K, H, W]``."""
        return self.network(batch, encode_once((self.cache or self.network).encode, batch))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch (concepts, rule 7)."""
        features = encode_once((self.cache or self.network).encode, batch)
        scores = self.network(self._with_answers(batch, features), features)
        loss = self.loss(scores, batch.target)
        if (self.global_step + 1) % self.log_every == 0:
            counts = intersection_union(scores.detach().argmax(1), batch.target, batch.num_labels)
            inside, union = counts.sum((0, 1)).tolist()
            self.log_dict({"train/loss": loss.detach(), "train/iou": inside / max(union, 1)}, prog_bar=True)
        return loss

    def _with_answers(self, batch: Batch, features: Features) -> Batch:
        """The batch with what is made of the network's own answers to it, in the shares of batches asked for."""
        options = self.options
        if not (options.corrections or options.recalled):
            return batch
        rng = np.random.default_rng((self.config.get("seed", 0), self.global_step))
        correct = rng.random() < options.corrections
        recall = options.recalled > 0 and rng.random() < options.recalled and batch.previous is not None
        if not (correct or recall):
            return batch
        with torch.no_grad():
            answer = self.network(replace(batch, previous=None) if recall else batch, features).argmax(1)
        batch = recalled(batch, answer, rng) if recall else batch
        return corrected(batch, answer, rng) if correct else batch

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count one-shot episodes, of any modes."""
        prediction = self(restrict(batch, *VALIDATION, self.dot_seed)).argmax(1)
        for mode in {meta["mode"] for meta in batch.metas}:
            kept = [meta["mode"] == mode and _asked(meta, VALIDATION[0]) for meta in batch.metas]
            rows = torch.tensor(kept, device=prediction.device)
            metric = self.validation[mode].to(self.device)
            metric.update(prediction[rows], batch.target[rows], *_numbers(batch, rows))

    def on_validation_epoch_end(self) -> None:
        """Log the positive IoU of each mode and their mean, by which the best checkpoint is chosen."""
        found = {}
        # all modes, as every process must ask for the same, and one of them may have seen no episode of a mode
        for mode, metric in self.validation.items():
            if metric.to(self.device).counted():
                found[mode] = metric.compute()["positive_iou"]
            metric.reset()
        self.log_dict({f"val/{mode}": value for mode, value in found.items()})
        self.log("val/positive_iou", sum(found.values()) / max(len(found), 1), prog_bar=True)

    def on_test_start(self) -> None:
        """Forget the scores of an earlier test; every process keeps the same modes and settings, seen or not."""
        self.scores = {
            mode: {setting: new_metric(mode).to(self.device) for setting in settings_of(mode, self.settings)}
            for mode in MODES
        }
        self.groups, self._fewer = {}, {}

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Encode once, then guide by every (S, P)."""
        mode: Mode = batch.metas[0]["mode"]
        features = encode_once((self.cache or self.network).encode, batch)
        for setting in settings_of(mode, self.settings):
            asked = restrict(batch, *setting, self.dot_seed)
            prediction = self.network(asked, features).argmax(1)
            kept = torch.tensor([_asked(meta, setting[0]) for meta in batch.metas], device=prediction.device)
            if kept.any():
                self.scores[mode][setting].update(prediction[kept], batch.target[kept], *_numbers(batch, kept))
                lacking = zip(batch.metas, kept.tolist(), fewer_than(asked, *setting), strict=True)
                self._fewer |= {(mode, setting, meta["index"]): what for meta, there, what in lacking if there}
        self.groups |= {group_number(name): name for meta in batch.metas for name in _groups(meta)}

    def results(self) -> dict[Mode, dict[Setting, Scores]]:
        """What the last test found; under distribution every process must ask."""
        found = {
            mode: {setting: metric.compute() for setting, metric in metrics.items() if metric.counted()}
            for mode, metrics in self.scores.items()
        }
        return {mode: scores for mode, scores in found.items() if scores}

    def fewer(self) -> dict[tuple[Mode, Setting], tuple[int, int]]:
        """How many episodes of the last test had fewer shots, and fewer dots, than asked for; see `results`."""
        found: dict[tuple[Mode, Setting], tuple[int, int]] = {}
        for (mode, setting, _), (shots, dots) in _of_all_processes(self._fewer).items():
            before = found.get((mode, setting), (0, 0))
            found[mode, setting] = before[0] + shots, before[1] + dots
        return found

    def results_by_group(self) -> Iterator[tuple[Mode, Setting, str, float]]:
        """The IoU of each class or object, as `EpisodeIoU` counts it within a group; see `results`."""
        names = _of_all_processes(self.groups)
        for mode, metrics in self.scores.items():
            for setting, metric in metrics.items():
                for group, value in (metric.per_group() if metric.counted() else {}).items():
                    yield mode, setting, names[group], value

    def configure_optimizers(self) -> Any:
        """The optimiser, with its schedule stepped after every batch."""
        assert self._optimizer is not None
        slow = {id(weight) for stage in self.network.backbone.stages() for weight in stage.parameters()}
        trained = _trainable(self.network.parameters())
        groups = [[w for w in trained if id(w) not in slow], [w for w in trained if id(w) in slow]]
        if self.pretrained_lr == 1 or not all(groups):
            groups = [trained]
        optimizer = self._optimizer([{"params": group} for group in groups])
        schedule = None
        if self._schedule is not None:
            schedule = self._schedule(optimizer, total_steps=int(self.trainer.estimated_stepping_batches))
        for group in optimizer.param_groups[1:]:
            # schedules keep the learning rates that they go between in the group, and some in a list of their own
            group |= {key: self.pretrained_lr * group[key] for key in _RATES & group.keys()}
            if schedule is not None and schedule.base_lrs:
                schedule.base_lrs[1] *= self.pretrained_lr
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Checkpoints hold plain tensors and plain values, so that ``weights_only`` loading opens them."""
        checkpoint["config"] = self.config


def new_metric(mode: Mode) -> EpisodeIoU:
    """IoU as the mode counts it: in video, mean J over frames and an interval over objects."""
    return EpisodeIoU("mean", "groups") if mode == "video" else EpisodeIoU()


def _asked(meta: dict[str, Any], shots: int) -> bool:
    return meta["shown"] is None or meta["shown"] > shots


def _groups(meta: dict[str, Any]) -> tuple[str, ...]:
    """The name of each positive label's class or object."""
    return meta.get("groups") or (meta["group"],)


def _numbers(batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The numbers of the episodes that ``rows`` keeps, and of the group of each of their positive labels."""
    metas = [meta for meta, kept in zip(batch.metas, rows.tolist(), strict=True) if kept]
    groups = torch.full((len(metas), batch.num_labels - 1), NO_LABEL)
    for row, meta in zip(groups, metas, strict=True):
        names = _groups(meta)
        row[: len(names)] = torch.tensor([group_number(name) for name in names])
    return torch.tensor([meta["index"] for meta in metas], dtype=torch.int64), groups


def _of_all_processes(entries: dict[K, V]) -> dict[K, V]:
    """The entries of every process."""
    if not (dist.is_available() and dist.is_initialized()):
        return entries
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, entries)
    return {key: entry for part in found for key, entry in part.items()}


def _trainable(parameters: Iterable[Tensor]) -> list[Tensor]:
    return [parameter for parameter in parameters if parameter.requires_grad]

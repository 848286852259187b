"""LightningModule for episodic training of a guided network: loss, optimiser and validation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from guided_seg.data.source import MODES, Mode
from guided_seg.distributed.agreement import agreed
from guided_seg.distributed.collectives import gathered, rank_and_world, share, summed
from guided_seg.episode import Batch
from guided_seg.errors import UserError
from guided_seg.metrics.iou import NO_LABEL, EpisodeIoU, group_number, intersection_union
from guided_seg.metrics.spread import spread
from guided_seg.model.features import Features
from guided_seg.model.guide.guide import Guidance, Guide
from guided_seg.model.network import Network, StagedNetwork, encode_once
from guided_seg.model.segmentor import Segmentor
from guided_seg.settings.episode_options import EpisodeOptions
from guided_seg.training.corrections import corrected, recalled
from guided_seg.training.feature_cache import FeatureCache
from guided_seg.training.losses import CrossEntropy

_RATES = {"lr", "initial_lr", "max_lr", "min_lr"}


class EpisodicSegmentation(LightningModule):
    """Train a network on episodes (paper, section 4.3).

    Args:
        network: guide and segmentor, or a baseline.
        optimizer: factory of the optimiser, called with parameter groups.
        schedule: factory of the learning rate schedule, from the optimiser and ``total_steps``; None for a constant
            rate.
        config: plain values that rebuild the network; stored in every checkpoint.
        log_every: training steps between two log entries; metrics are computed only then.
        cache: encoder to use instead of the network's, whose backbone is frozen.
        loss: function of scores and target; cross-entropy by default, as in the paper.
        options: options of training episodes; only ``corrections`` and ``recalled`` are used here.
        pretrained_lr: learning rate of the trained pretrained stages, as a multiple of that of the other parameters.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Callable[..., Optimizer] | None = None,
        schedule: Callable[..., LRScheduler] | None = None,
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
        self.config = config or {}
        self.log_every, self.cache, self.loss = log_every, cache, loss or CrossEntropy()
        if not pretrained_lr > 0:
            raise UserError(
                f"optimizer.pretrained_lr={pretrained_lr}: expected a number above 0; backbone.frozen=true trains none "
                "of the pretrained stages."
            )
        self.options, self.pretrained_lr = options or EpisodeOptions(), pretrained_lr
        self.validation = {mode: new_metric(mode) for mode in MODES}
        self._notes = ValidationNotes()

    @property
    def guide(self) -> Guide:
        """The guide g, which computes z from the support. Raises `AttributeError` for a baseline, which has none."""
        guide: Guide = self.network.guide  # type: ignore[assignment]
        return guide

    @property
    def segmentor(self) -> Segmentor:
        """The segmentor f, which segments a query given z: conditioning and decoder."""
        segmentor: Segmentor = self.network.segmentor  # type: ignore[assignment]
        return segmentor

    def forward(self, batch: Batch) -> Tensor:
        """Compute scores ``[B, K, H, W]``."""
        return self.network(batch, encode_once((self.cache or self.network).encode, batch))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Compute the loss of a batch (concepts, rule 7). Its mean over processes is the loss of all their episodes."""
        batch, pixels = agreed(batch, self.network)
        features = encode_once((self.cache or self.network).encode, batch)
        scores = self.network(self._with_answers(batch, features), features)
        loss = self.loss(scores, batch.target, pixels)
        if self._logs_this_step:
            counts = intersection_union(scores.detach().argmax(1), batch.target, batch.num_labels)
            inside, union = summed(counts.sum((0, 1))).tolist()
            whole = summed(loss.detach()) / rank_and_world()[1]
            self.log_dict({"train/loss": whole, "train/iou": inside / max(union, 1)}, prog_bar=True)
        return loss

    @property
    def _logs_this_step(self) -> bool:
        return (self.global_step + 1) % self.log_every == 0

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Log the norm of the gradient, before it is clipped."""
        if self._logs_this_step:
            gradients = [weight.grad for weight in self.parameters() if weight.grad is not None]
            self.log("train/gradient_norm", nn.utils.get_total_norm(gradients))

    def _with_answers(self, batch: Batch, features: Features) -> Batch:
        """Add corrective dots or predictions of the network itself to a random share of batches."""
        options = self.options
        if not (options.corrections or options.recalled):
            return batch
        key = (self.config.get("seed", 0), self.global_step)
        rng = np.random.default_rng(key)
        correct = rng.random() < options.corrections
        recall = options.recalled > 0 and rng.random() < options.recalled and batch.previous is not None
        if not (correct or recall):
            return batch
        rounds = int(rng.integers(options.rounds[0], options.rounds[1] + 1))
        # an episode has the same dots in any number of processes
        rngs = [
            np.random.default_rng((*key, place)) for place in share(len(batch) * rank_and_world()[1], options.turns)
        ]
        with torch.no_grad():
            answer = self.network(replace(batch, previous=None) if recall else batch, features).argmax(1)
            batch = recalled(batch, answer, rngs) if recall else batch
            if correct:
                batch = corrected(batch, answer, rngs)
                for _ in range(rounds - 1):
                    batch = corrected(batch, self.network(batch, features).argmax(1), rngs)
        return batch

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count episodes of any mode, except those with a broken file."""
        features, guidance = encode_once((self.cache or self.network).encode, batch), None
        if isinstance(self.network, StagedNetwork):
            guidance = self.network.extract(features, batch)
            scores = self.network.answer(batch, features, guidance)
        else:
            scores = self.network(batch, features)
        self._notes.add(batch, scores, self.loss, guidance)
        prediction = scores.argmax(1)
        for mode in {meta["mode"] for meta in batch.metas}:
            kept = [meta["mode"] == mode and not meta["broken"] for meta in batch.metas]
            rows = torch.tensor(kept, device=prediction.device)
            metric = self.validation[mode].to(self.device)
            metric.update(prediction[rows], batch.target[rows], *_numbers(batch, rows))

    def on_validation_epoch_end(self) -> None:
        """Log IoU and loss of each mode, the spread of guidance, and the mean IoU, which selects a checkpoint."""
        found = {}
        # all modes, as every process must synchronise the same metrics, even without an episode of a mode
        for mode, metric in self.validation.items():
            if metric.to(self.device).counted():
                found[mode] = metric.compute()["positive_iou"]
            metric.reset()
        self.log_dict({f"val/{name}": value for name, value in (found | self._notes.figures()).items()})
        self.log("val/positive_iou", sum(found.values()) / max(len(found), 1), prog_bar=True)

    def configure_optimizers(self) -> Any:
        """Create the optimiser, and a schedule with one step per batch."""
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
            # schedules keep their learning rates in the parameter group, and some in a list of their own
            group |= {key: self.pretrained_lr * group[key] for key in _RATES & group.keys()}
            if schedule is not None and schedule.base_lrs:
                schedule.base_lrs[1] *= self.pretrained_lr
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store plain tensors and values only, so that ``weights_only`` loading works."""
        checkpoint["config"] = self.config


def new_metric(mode: Mode) -> EpisodeIoU:
    """The IoU metric of a mode. In video: mean J over frames, with an interval over objects."""
    return EpisodeIoU("mean", "groups") if mode == "video" else EpisodeIoU()


def _numbers(batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The numbers of the episodes in ``rows``, and the group number of each of their positive labels."""
    metas = [meta for meta, kept in zip(batch.metas, rows.tolist(), strict=True) if kept]
    groups = torch.full((len(metas), batch.num_labels - 1), NO_LABEL)
    for row, meta in zip(groups, metas, strict=True):
        names = meta["groups"]
        row[: len(names)] = torch.tensor([group_number(name) for name in names])
    return torch.tensor([meta["index"] for meta in metas], dtype=torch.int64), groups


def _trainable(parameters: Iterable[Tensor]) -> list[Tensor]:
    return [parameter for parameter in parameters if parameter.requires_grad]


class _Note(NamedTuple):
    """The mode and loss of an episode, and the class or object and guidance ``[C]`` of each positive label."""

    mode: str
    loss: Any
    guidance: list[tuple[str, Any]]


class ValidationNotes:
    """Collects notes of episodes, on their device, and summarises those of all processes."""

    def __init__(self) -> None:
        self._notes: dict[tuple[str, int], _Note] = {}

    def add(
        self, batch: Batch, scores: Float[Tensor, "B K H W"], loss: Callable[..., Tensor], guidance: Guidance | None
    ) -> None:
        """Note the episodes of a batch, except those with a broken file.

        Args:
            batch: the episodes.
            scores: their scores.
            loss: the training loss.
            guidance: their guidance; None if the network has none.
        """
        vectors = None if guidance is None else guidance.vectors().detach()
        if vectors is not None:
            vectors = vectors.expand(-1, batch.num_labels, -1)  # one z may represent all labels
        for row, meta in enumerate(batch.metas):
            if meta["broken"]:
                continue
            labels = [] if vectors is None or not vectors.shape[2] else list(enumerate(meta["groups"], 1))
            # the episodes of an object in a video share the annotated frame, and with it z: each is a class of its own
            own = f" {meta['index']}" if meta["mode"] == "video" else ""
            self._notes[meta["mode"], meta["index"]] = _Note(
                meta["mode"],
                loss(scores[row : row + 1].float(), batch.target[row : row + 1]),
                [(f"{group}{own}", vectors[row, label]) for label, group in labels],  # type: ignore[index]
            )

    def figures(self) -> dict[str, float]:
        """The mean loss of each mode, and the figures of `spread`; then forget all episodes.

        Every process must call this. An episode without a finite loss does not count: its target is void, or has a
        label that the support does not show.
        """
        mine = {
            key: _Note(note.mode, note.loss.item(), [(group, _plain(z)) for group, z in note.guidance])
            for key, note in self._notes.items()
        }
        self._notes = {}
        together: dict[tuple[str, int], _Note] = {}
        for part in gathered(mine):
            together.update(part)
        notes = [together[key] for key in sorted(together)]
        found = {}
        for mode in MODES:
            losses = [note.loss for note in notes if note.mode == mode and np.isfinite(note.loss)]
            if losses:
                found[f"{mode}_loss"] = float(np.mean(losses))
        return found | spread([pair for note in notes for pair in note.guidance])


def _plain(z: Tensor) -> Float[np.ndarray, " C"]:
    return z.to("cpu", torch.float32).numpy()

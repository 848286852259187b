"""Stop at a loss that is not finite, before it reaches the weights, and save the batch that gave it."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from guided_seg.episode import IGNORE, Batch
from guided_seg.errors import UserError
from guided_seg.files.tensors import write_torch
from guided_seg.model.network import Network
from guided_seg.release.load import read_checkpoint, restore
from guided_seg.report.table import Table, columns
from guided_seg.training.losses import CrossEntropy

BAD_BATCH = "bad_batch.ckpt"
"""Name of the file in a run folder."""


class FiniteLoss(Callback):
    """Stop training at the first loss that is NaN or infinite, and save its batch with the weights that gave it.

    The loss is read before its gradients are computed, so neither the weights nor the next checkpoint are spoiled. The
    batch is the one that the network was last called with: with corrections, its dots are those of the last round.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / BAD_BATCH
        self._seen: Batch | None = None
        self._hook: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start to remember batches."""
        network: nn.Module = pl_module.network  # type: ignore[assignment]
        self._hook = network.register_forward_pre_hook(self._remember)

    def _remember(self, network: nn.Module, arguments: tuple[Any, ...]) -> None:
        if network.training:
            self._seen = arguments[0]

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Raise `UserError` if the loss is not finite."""
        if not loss.isfinite():
            self._save(trainer, pl_module)
            raise UserError(
                f"The loss at step {trainer.global_step} is {loss.item()}, so training has stopped; its batch is in "
                f"{self.file}, and python -m guided_seg.training.replay {self.file.parent} shows the loss of each "
                "episode. If all are bad, train with a lower data.training.lr."
            )

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Forget the batch, which is large."""
        self._seen = None

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop to remember batches."""
        self._hook.remove()

    def _save(self, trainer: Trainer, module: LightningModule) -> None:
        assert self._seen is not None
        batch = self._seen.to("cpu")
        content = {
            "config": module.config,
            "state_dict": module.state_dict(),
            "batch": {each.name: getattr(batch, each.name) for each in fields(batch)},
            "loss": vars(module.loss),
            "step": trainer.global_step,
            "precision": str(trainer.precision),
        }
        write_torch(self.file, content)


class BadBatch(NamedTuple):
    """The content of such a file."""

    network: Network
    batch: Batch
    loss: CrossEntropy
    step: int
    precision: str


def read_bad_batch(path: Path) -> BadBatch:
    """Read the file, or that of a run folder, without running code in it.

    Raises:
        UserError: there is none, or it cannot be used.
    """
    file = path / BAD_BATCH if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"There is no {file}; give a run folder whose training stopped at a loss that is not finite.")
    content = read_checkpoint(file)
    if "batch" not in content:
        raise UserError(f"{file} is a checkpoint without a batch; give a run folder with {BAD_BATCH}.")
    prefix = "network."
    state = {k.removeprefix(prefix): v for k, v in content["state_dict"].items() if k.startswith(prefix)}
    network, _ = restore(content["config"], state, file, finite=False)
    try:
        batch, loss = Batch(**content["batch"]), CrossEntropy(**content["loss"])
        return BadBatch(network, batch, loss, content["step"], content["precision"])
    except (TypeError, KeyError) as error:
        raise UserError(f"{file} was written by another version of guided_seg ({error}); use that version.") from error


def replay(bad: BadBatch) -> tuple[Table, str]:
    """Compute the loss of each episode again, alone, on the CPU. Returns them as a table, and a conclusion.

    Alone, since batch normalisation spreads what is not finite to the whole batch. ``bf16-mixed`` is repeated as it
    was, other precisions in fp32.
    """
    network, batch = bad.network.train(), bad.batch

    def loss_of(batch: Batch) -> float:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bad.precision == "bf16-mixed"):
            return bad.loss(network(batch).float(), batch.target).item()

    whole, losses = loss_of(batch), [loss_of(alone(batch, number)) for number in range(len(batch))]
    rows = []
    for number, (meta, loss) in enumerate(zip(batch.metas, losses, strict=True)):
        dots = int((batch.shot_episode[batch.points[:, 0]] == number).sum())
        scored = int((batch.target[number] != IGNORE).sum())
        rows.append([str(number), meta["mode"], meta["group"], dots, scored, f"{loss:.4g}"])
    faulty = [number for number, loss in enumerate(losses) if not math.isfinite(loss)]
    which = f" ({', '.join(map(str, faulty))})" if faulty else ""
    spoiled = [name for name, weight in network.named_parameters() if not weight.isfinite().all()]
    state = f"{len(spoiled)} are not finite, such as {spoiled[0]}" if spoiled else "all are finite"
    return Table(columns(("episode", "mode", "group", "dots", "scored pixels", "loss"), left=3), rows), (
        f"Step {bad.step}: the loss of the batch is {whole:.4g}, and not finite in {len(faulty)} of {len(rows)} "
        f"episodes{which}. Of the weights, {state}."
    )


def alone(batch: Batch, number: int) -> Batch:
    """A batch of one episode of ``batch``, with the same padding."""
    shots = torch.nonzero(batch.shot_episode == number).flatten()
    shown = batch.shot_image[shots].tolist()
    images = [number, *sorted({*shown} - {number})]  # the query is the first image
    dots, masks = batch.points[torch.isin(batch.points[:, 0], shots)], torch.isin(batch.mask_shot, shots)
    # shots are in order, so a search gives the new number of each
    return replace(
        batch,
        shot_image=torch.tensor([images.index(row) for row in shown], dtype=torch.int64),
        shot_episode=torch.zeros_like(shots),
        points=torch.cat([torch.searchsorted(shots, dots[:, :1].contiguous()), dots[:, 1:]], dim=1),
        masks=batch.masks[masks],
        mask_shot=torch.searchsorted(shots, batch.mask_shot[masks]),
        images=batch.images[images],
        sizes=batch.sizes[images],
        target=batch.target[number : number + 1],
        labels=batch.labels[number : number + 1],
        metas=batch.metas[number : number + 1],
        previous=None if batch.previous is None else batch.previous[number : number + 1],
        first=None,
    )

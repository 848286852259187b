"""Collect the first test episodes and their predictions for figures."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from guided_seg.data.sampling.points import Setting, restrict
from guided_seg.episode import Batch
from guided_seg.report.panels import Panel, PanelShot
from guided_seg.training.module import EpisodicSegmentation


class CollectPanels(Callback):
    """Collect the first test episodes of each mode, one per class or object, without any selection by hand.

    Args:
        setting: the (S, P) to show.
        per_mode: number of episodes per mode.
    """

    def __init__(self, setting: Setting, per_mode: int = 3) -> None:
        self.setting, self.per_mode = setting, per_mode
        self.rows: dict[str, dict[str, Panel]] = {}

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add episodes of new classes or objects from this batch; all frames of a video are one object."""
        assert isinstance(pl_module, EpisodicSegmentation)
        rows = self.rows.setdefault(batch.metas[0]["mode"], {})
        new = {
            meta["group"]: i for i, meta in enumerate(batch.metas) if meta["group"] not in rows and not meta["broken"]
        }
        wanted = list(new.items())[: self.per_mode - len(rows)]
        if wanted:
            asked = restrict(batch, *self.setting, pl_module.dot_seed)
            prediction = pl_module(asked).argmax(1)
            rows.update({group: panel(asked, prediction, episode) for group, episode in wanted})


def panel(batch: Batch, prediction: torch.Tensor, episode: int) -> Panel:
    """Make the panel of one episode of a batch."""
    shots = []
    for shot in torch.nonzero(batch.shot_episode == episode).flatten().tolist():
        image = int(batch.shot_image[shot])
        height, width = batch.sizes[image].tolist()
        mask = batch.masks[batch.mask_shot == shot]
        points = batch.points[batch.points[:, 0] == shot, 1:].cpu()
        annotation = {"mask": mask[0, :height, :width].cpu()} if len(mask) else {"points": points}
        shots.append(PanelShot(batch.images[image, :, :height, :width].cpu(), **annotation))
    height, width = batch.sizes[episode].tolist()
    meta = batch.metas[episode]
    return Panel(
        shots,
        batch.images[episode, :, :height, :width].cpu(),
        prediction[episode, :height, :width].to(torch.uint8).cpu(),
        batch.target[episode, :height, :width].cpu(),
        f"{meta['mode']} · {meta['group']}",
    )

"""Fine-tuning on the support at test time, the slow alternative to guidance (paper, section 5; as in OSVOS)."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from guided_seg.episode import IGNORE, Batch
from guided_seg.errors import UserError
from guided_seg.model.backbone import Backbone
from guided_seg.model.baselines.baseline import ForegroundBackground
from guided_seg.model.decoder import Decoder
from guided_seg.model.features import Features
from guided_seg.model.guide.annotation import rasterize
from guided_seg.model.network import UpdateCost, own_labels


class FineTune(ForegroundBackground):
    """`ForegroundBackground`, fine-tuned on the annotated pixels of the support for each task.

    Training is that of `ForegroundBackground`. In evaluation, each task fine-tunes a copy, so the trained weights never
    change.

    Args:
        backbone: φ.
        channels: C of the features.
        hidden: see `ForegroundBackground`.
        num_labels: K.
        decoder: see `StagedNetwork`.
        steps: gradient steps per task; 0 disables fine-tuning.
        lr: learning rate of these steps (Adam).

    Raises:
        UserError: ``steps`` is not a whole number from 0, or ``lr`` is not above 0.
    """

    update_cost: UpdateCost = "full"

    def __init__(
        self,
        backbone: Backbone,
        channels: int,
        hidden: int | None = None,
        num_labels: int = 2,
        decoder: Decoder | None = None,
        steps: int = 50,
        lr: float = 1e-3,
    ) -> None:
        if type(steps) is not int or steps < 0:
            raise UserError(f"baseline.steps={steps}: expected a whole number from 0.")
        if not lr > 0:
            raise UserError(f"baseline.lr={lr}: expected a number above 0.")
        super().__init__(backbone, channels, hidden, num_labels, decoder)
        self.steps, self.lr, self.num_labels = steps, lr, num_labels

    def forward(self, batch: Batch, features: Features | None = None) -> Float[Tensor, "B K H W"]:
        """See `Network.forward`. Fine-tuning changes the weights, so given ``features`` are computed again."""
        if self.training or self.steps == 0:
            return super().forward(batch, features)
        if batch.num_labels > self.num_labels:
            raise UserError(
                f"fine_tune was built for {self.num_labels} labels and got {batch.num_labels}; use k_way=one_vs_rest."
            )
        return own_labels(torch.stack([self._task(single(batch, index)) for index in range(len(batch))]), batch)

    def _task(self, task: Batch) -> Float[Tensor, "K H W"]:
        # tensors made in inference mode cannot take part in gradients until they are copied
        with torch.inference_mode(False), torch.enable_grad():
            tuned = self._tuned(task.clone())
        with torch.no_grad():
            return ForegroundBackground.forward(tuned, task)[0]

    def _tuned(self, task: Batch) -> FineTune:
        tuned = deepcopy(self).eval()
        if not len(task.shot_image):  # nothing is annotated
            return tuned
        support, target = annotated_images(task)
        weights = [parameter for parameter in tuned.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(weights, self.lr)
        for _ in range(self.steps):
            loss = F.cross_entropy(ForegroundBackground.forward(tuned, support), target, ignore_index=IGNORE)
            if not loss.isfinite():  # no pixel is annotated
                break
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return tuned


def annotated_images(task: Batch) -> tuple[Batch, Tensor]:
    """The support of one task as queries, and its annotation as label maps ``[S, H, W]``, `IGNORE` elsewhere."""
    marks = rasterize(task, dot=1)
    target = torch.where(marks.any(1), marks.argmax(1), IGNORE)
    rows = task.shot_image
    support = replace(
        task, images=task.images[rows], sizes=task.sizes[rows], target=target.to(torch.uint8),
        metas=task.metas * len(rows), labels=task.labels * len(rows), shot_image=rows[:0], shot_episode=rows[:0],
        points=task.points[:0], masks=task.masks[:0], mask_shot=task.mask_shot[:0], first=None,
    )  # fmt: skip
    return support, target


def single(batch: Batch, index: int) -> Batch:
    """Episode ``index`` of a batch as a batch of one, with the same padding."""
    shots = torch.nonzero(batch.shot_episode == index).flatten()
    number = torch.full_like(batch.shot_episode, -1)
    number[shots] = torch.arange(len(shots), device=shots.device)
    rows = torch.cat([batch.shot_image.new_tensor([index]), batch.shot_image[shots]])
    points = batch.points[number[batch.points[:, 0]] >= 0].clone()
    points[:, 0] = number[points[:, 0]]
    dense = number[batch.mask_shot] >= 0
    return replace(
        batch, images=batch.images[rows], sizes=batch.sizes[rows], target=batch.target[index : index + 1],
        shot_image=torch.arange(1, len(rows), device=shots.device), shot_episode=torch.zeros_like(shots),
        points=points, masks=batch.masks[dense], mask_shot=number[batch.mask_shot[dense]],
        metas=batch.metas[index : index + 1], labels=batch.labels[index : index + 1], first=None,
    )  # fmt: skip

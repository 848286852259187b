"""Training loss (concepts, rule 7)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from guided_seg.episode import IGNORE
from guided_seg.errors import UserError


class CrossEntropy:
    """Cross-entropy with the dense target, as in the paper, plus a multiple of 1 - soft IoU.

    Cross-entropy weights every pixel equally, so small objects hardly count. The IoU weights every object equally.
    The soft IoU uses products as intersections (Rahman and Wang, 2016).

    Args:
        iou: weight of the IoU term; 0 for the paper's loss.

    Raises:
        UserError: the weight is negative.

    Example:
        >>> scores, target = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.uint8)
        >>> round(CrossEntropy()(scores, target).item(), 3)
        0.693
    """

    def __init__(self, iou: float = 0.0) -> None:
        if iou < 0:
            raise UserError(f"loss.iou={iou}: expected a weight from 0.")
        self.iou = iou

    def __call__(
        self, scores: Float[Tensor, "B K H W"], target: UInt8[Tensor, "B H W"], pixels: float | None = None
    ) -> Float[Tensor, ""]:
        """Compute the loss over all pixels that are not void.

        Args:
            scores: the scores of each label.
            target: the true labels.
            pixels: number to divide the sum over pixels by, if not that of the target. With the mean number of several
                batches of B episodes, the mean of their losses is the loss of all their episodes in one batch.
        """
        total = F.cross_entropy(scores, target.long(), ignore_index=IGNORE, reduction="sum")
        entropy = total / ((target != IGNORE).sum() if pixels is None else pixels)
        return entropy + self.iou * (1 - soft_iou(scores, target).mean()) if self.iou else entropy


def soft_iou(scores: Float[Tensor, "B K H W"], target: UInt8[Tensor, "B H W"]) -> Float[Tensor, "B L"]:
    """The IoU of each of the L = K - 1 positive labels, with probabilities instead of decisions.

    One pixel is added to intersection and union, so the IoU of an absent object that is not predicted is 1.
    """
    chances = scores.softmax(1)[:, 1:] * (target != IGNORE)[:, None]
    labels = torch.arange(1, scores.shape[1], device=target.device).view(-1, 1, 1)
    true = (target[:, None] == labels).to(chances.dtype)
    inside = (chances * true).sum((2, 3))
    return (inside + 1) / ((chances + true).sum((2, 3)) - inside + 1)

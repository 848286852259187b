"""f: how guidance directs the segmentation of a query (paper, section 4.2; DESIGN 3.5)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from guided_seg.errors import UserError
from guided_seg.model.guide import Guidance


class Conditioning(nn.Module, ABC):
    """Scores of the labels on the query's feature grid."""

    @abstractmethod
    def forward(self, query: Float[Tensor, "B C h w"], guidance: Guidance) -> Float[Tensor, "B K h w"]:
        """A score per label and cell; softmax over labels gives probabilities."""


class FeatureFusion(Conditioning):
    """score_k = w · relu(W [F̄ ; z_k] + b), a learned metric between the query and each label's guidance.

    W [F̄ ; z] = W_q F̄ + W_z z, so the query's part is computed once per image, and a new dot costs a small product.

    Args:
        channels: C of features and guidance.
        hidden: rows of W; the original has 2C.
        scorer: ``shared`` scores each label by the same w, so K may change at any time; ``joint`` sees all labels at
            once, W [F̄ ; z_0 ; ... ; z_K-1], and K is fixed by training.
        num_labels: K of a joint scorer.
        matching: adds τ cos(F̄, z_k) to each score. The sum alone learns slowly from scratch to compare.
        floor: a learned score β that the negative never falls below: score_0 becomes log(exp score_0 + exp β), so what
            resembles no guidance at all is negative. Without it a pixel unlike every dot is a coin toss, and few dots
            never show all that is negative.
        context: 3 x 3 convolutions with growing dilation between relu and w, which carry local guidance to cells
            around a dot; 0 is the paper's 1 x 1 scorer.
        dropout: spatial dropout after relu.

    Raises:
        UserError: an unknown scorer.
    """

    def __init__(
        self,
        channels: int,
        hidden: int | None = None,
        scorer: Literal["shared", "joint"] = "shared",
        num_labels: int = 2,
        matching: bool = True,
        floor: bool = True,
        context: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if scorer not in ("shared", "joint"):
            raise UserError(f"conditioning.scorer={scorer}; expected shared or joint.")
        hidden = hidden or 2 * channels
        self.joint = num_labels if scorer == "joint" else 0
        self.query = nn.Conv2d(channels, hidden, 1)
        self.guidance = nn.Linear(channels * (self.joint or 1), hidden, bias=False)
        layers = [_Residual(hidden, 2**i) for i in range(context)]
        self.context = nn.Sequential(*layers, nn.Dropout2d(dropout))
        self.score = nn.Conv2d(hidden, self.joint or 1, 1)
        self.temperature = nn.Parameter(torch.tensor(10.0)) if matching else None
        self.floor = nn.Parameter(torch.tensor(0.0)) if floor else None

    def forward(self, query: Float[Tensor, "B C h w"], guidance: Guidance) -> Float[Tensor, "B K h w"]:
        """See `Conditioning.forward`."""
        z = guidance.z if guidance.z.ndim == 5 else guidance.z[..., None, None]
        batch, labels = z.shape[:2]
        if self.joint and labels != self.joint:
            raise ValueError(f"A joint scorer was trained for {self.joint} labels and got {labels}; use shared.")
        groups = z.flatten(1, 2)[:, None] if self.joint else z
        part = self.guidance(groups.movedim(2, -1)).movedim(-1, 2)
        hidden = F.relu(self.query(query)[:, None] + part)
        scores = self.score(self.context(hidden.flatten(0, 1)))
        scores = scores.view(batch, labels, *query.shape[-2:])
        if self.temperature is not None:
            scores = scores + self.temperature * _cosine(query, guidance.z)
        if self.floor is not None:
            negative = torch.logaddexp(scores[:, :1], self.floor)
            scores = torch.cat([negative, scores[:, 1:]], dim=1)
        return scores


def _cosine(query: Float[Tensor, "B C h w"], z: Float[Tensor, "B K C *grid"]) -> Float[Tensor, "B K h w"]:
    unit = F.normalize(query, dim=1)
    form = "bchw,bkc->bkhw" if z.ndim == 3 else "bchw,bkchw->bkhw"
    return torch.einsum(form, unit, F.normalize(z, dim=2))


class _Residual(nn.Module):
    """x + relu(3 x 3 convolution of x), with replicated borders."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, padding_mode="replicate")

    def forward(self, x: Tensor) -> Tensor:
        return x + F.relu(self.conv(x))

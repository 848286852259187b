"""m_S: how the z of several shots become one (paper, section 4.1, multi-shot; DESIGN 3.3)."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class Merge(nn.Module, ABC):
    """From the z of all shots to the z of each episode."""

    @abstractmethod
    def forward(
        self,
        shots: Float[Tensor, "T K C *grid"],
        annotated: Bool[Tensor, "T K"],
        episode: Int[Tensor, " T"],
        episodes: int,
    ) -> tuple[Float[Tensor, "B K C *grid"], Bool[Tensor, "B K"]]:
        """The z of each of ``episodes`` episodes, and which of its labels any shot annotates."""


class Mean(Merge):
    """z_k = the mean over the shots that annotate k; the order of shots does not matter.

    Example:
        >>> import torch
        >>> shots = torch.tensor([[[2.0]], [[4.0]], [[9.0]]])
        >>> annotated = torch.tensor([[True], [True], [False]])
        >>> Mean()(shots, annotated, torch.tensor([0, 0, 0]), 1)[0].item()
        3.0
    """

    def forward(
        self,
        shots: Float[Tensor, "T K C *grid"],
        annotated: Bool[Tensor, "T K"],
        episode: Int[Tensor, " T"],
        episodes: int,
    ) -> tuple[Float[Tensor, "B K C *grid"], Bool[Tensor, "B K"]]:
        """See `Merge.forward`."""
        weight = annotated.to(shots.dtype)
        per_label = (-1, weight.shape[1], *[1] * (shots.ndim - 2))
        total = shots.new_zeros(episodes, *shots.shape[1:])
        total = total.index_add(0, episode, shots * weight.view(per_label))
        count = weight.new_zeros(episodes, weight.shape[1]).index_add(0, episode, weight)
        return total / count.clamp(min=1).view(per_label), count > 0

"""Merge m_S: combine the z of several shots into one (paper, section 4.1, multi-shot; concepts, rule 3)."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class Merge(nn.Module, ABC):
    """From the z of all shots to the z of each episode.

    Attributes:
        learned: whether the merge has trainable weights.
    """

    learned = False

    @abstractmethod
    def forward(
        self,
        shots: Float[Tensor, "T K C *grid"],
        annotated: Bool[Tensor, "T K"],
        episode: Int[Tensor, " T"],
        episodes: int,
    ) -> tuple[Float[Tensor, "B K C *grid"], Bool[Tensor, "B K"]]:
        """The z of each of ``episodes`` episodes, and which of its labels are annotated by any shot.

        Args:
            shots: z of each shot.
            annotated: the labels that each shot annotates.
            episode: the episode of each shot.
            episodes: B.
        """


class Mean(Merge):
    """z_k = the mean over the shots that annotate k, independent of their order.

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


class Attention(Merge):
    """z_k = a weighted mean over the shots that annotate k, with weights computed from their z.

    A single shot has weight one, so training needs several shots per episode (``episode.shots``).

    Args:
        channels: C of z.
    """

    learned = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(channels, 1, bias=False)

    def forward(
        self,
        shots: Float[Tensor, "T K C *grid"],
        annotated: Bool[Tensor, "T K"],
        episode: Int[Tensor, " T"],
        episodes: int,
    ) -> tuple[Float[Tensor, "B K C *grid"], Bool[Tensor, "B K"]]:
        """See `Merge.forward`."""
        # bounded, so that exp needs no maximum over the shots, and no shot can suppress the others
        logit = 4 * torch.tanh(self.weigh(shots.movedim(2, -1)).movedim(-1, 2))
        weight = logit.exp() * annotated.view(*annotated.shape, *[1] * (shots.ndim - 2))
        total = shots.new_zeros(episodes, *shots.shape[1:]).index_add(0, episode, shots * weight)
        norm = weight.new_zeros(episodes, *weight.shape[1:]).index_add(0, episode, weight)
        seen = norm.flatten(2).amax(2) > 0
        return total / torch.where(norm > 0, norm, 1.0), seen

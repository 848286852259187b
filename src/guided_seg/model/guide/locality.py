"""m_P: what the guidance keeps of positions (paper, section 4.1, figure 3c; concepts, rules 1-2)."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from guided_seg.model.features import Features
from guided_seg.model.guide.annotation import Marks, at_dots, spread


class Locality(nn.Module, ABC):
    """From the features and marks of each shot to its z."""

    keeps_positions: bool

    @abstractmethod
    def forward(self, shots: Features, marks: Marks) -> Float[Tensor, "T K C *grid"]:
        """The z of each shot and label; zero where a label has no mark."""

    @abstractmethod
    def reduce(self, maps: Float[Tensor, "n K C h w"]) -> Float[Tensor, "n K C *grid"]:
        """The z of n shots of one size, whose maps have read the annotation already (early fusion)."""


class Global(Locality):
    """Average pooling: z_k = Σ_i F[:, i] a_k[i] / Σ_i a_k[i], with no position left.

    Dots are a gather of at most four cells each, O(P·C); no image-sized mask is built.
    """

    keeps_positions = False

    def forward(self, shots: Features, marks: Marks) -> Float[Tensor, "T K C"]:
        """See `Locality.forward`."""
        number, channels = shots.maps.shape[:2]
        labels = marks.counts.shape[1]
        flat = shots.maps.flatten(2)
        dots = at_dots(shots, marks)
        total = flat.new_zeros(number * labels, channels)
        total = total.index_add(0, marks.shot * labels + marks.label, dots).view(number, labels, channels)
        if marks.map_shot.shape[0]:
            dense = marks.maps.flatten(2).to(flat.dtype) @ flat.index_select(0, marks.map_shot).transpose(1, 2)
            total = total.index_add(0, marks.map_shot, dense)
        return total / torch.where(marks.counts > 0, marks.total, 1.0)[..., None].to(flat.dtype)

    def reduce(self, maps: Float[Tensor, "n K C h w"]) -> Float[Tensor, "n K C"]:
        """See `Locality.reduce`."""
        return maps.mean((3, 4))


class Local(Locality):
    """The identity: z_k[:, i] = F[:, i] · a_k[i]; only where support and query are one image."""

    keeps_positions = True

    def forward(self, shots: Features, marks: Marks) -> Float[Tensor, "T K C h w"]:
        """See `Locality.forward`."""
        maps = spread(marks, shots.maps.shape[-2:])
        return shots.maps[:, None] * maps[:, :, None].to(shots.maps.dtype)

    def reduce(self, maps: Float[Tensor, "n K C h w"]) -> Float[Tensor, "n K C h w"]:
        """See `Locality.reduce`."""
        return maps

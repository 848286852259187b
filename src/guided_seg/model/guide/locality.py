"""Locality m_P: pool guidance over positions, or keep them (paper, section 4.1, figure 3c; concepts, rules 1-2)."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from guided_seg.errors import UserError
from guided_seg.model.features import Features
from guided_seg.model.guide.annotation import Marks, at_dots, dot_cells, spread
from guided_seg.model.guide.shown import PLACES, Pooled, Rows, Shown

TRAINED = 32
"""Largest number of cells per mask and label that a set keeps in training, to bound the time per episode."""


class Locality(nn.Module, ABC):
    """From the features and marks of each shot to its z, or to a set of features.

    Attributes:
        keeps_positions: z has a vector for each position, so support and query must be one image.
    """

    keeps_positions: bool = False

    @abstractmethod
    def forward(self, shots: Features, marks: Marks) -> Shown:
        """Pool each shot per label, as if each annotated the query itself."""

    def reduce(self, maps: Float[Tensor, "n K C h w"]) -> Float[Tensor, "n K C *grid"]:
        """The z of n shots of one size, from maps that were encoded with the annotation (early fusion)."""
        raise NotImplementedError(f"{type(self).__name__} does not go with early fusion.")


class Global(Locality):
    """Average pooling over positions: z_k = Σ_i F[:, i] a_k[i] / Σ_i a_k[i].

    Each dot gathers at most four cells, O(P·C) in total; no image-sized mask is built.
    """

    def forward(self, shots: Features, marks: Marks) -> Pooled:
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
        z = total / torch.where(marks.counts > 0, marks.total, 1.0)[..., None].to(flat.dtype)
        return Pooled(z, marks.counts > 0)

    def reduce(self, maps: Float[Tensor, "n K C h w"]) -> Float[Tensor, "n K C"]:
        """See `Locality.reduce`."""
        return maps.mean((3, 4))


class Local(Locality):
    """No pooling: z_k[:, i] = F[:, i] · a_k[i]. Support and query must be one image."""

    keeps_positions = True

    def forward(self, shots: Features, marks: Marks) -> Pooled:
        """See `Locality.forward`."""
        maps = spread(marks, shots.maps.shape[-2:])
        return Pooled(shots.maps[:, None] * maps[:, :, None].to(shots.maps.dtype), marks.counts > 0)

    def reduce(self, maps: Float[Tensor, "n K C h w"]) -> Float[Tensor, "n K C h w"]:
        """See `Locality.reduce`."""
        return maps


class Set(Locality):
    """The set of annotated features, without pooling. Any image may be the query.

    Args:
        limit: largest number of cells to keep per mask and label, evenly spaced; None for all. In training it is at
            most `TRAINED`, unless it is None.

    Raises:
        UserError: ``limit`` is below 1.
    """

    def __init__(self, limit: int | None = 256) -> None:
        super().__init__()
        if limit is not None and limit < 1:
            raise UserError(f"locality.limit={limit}: expected a whole number from 1, or null for all cells.")
        self.limit = limit

    def forward(self, shots: Features, marks: Marks) -> Rows:
        """See `Locality.forward`."""
        limit = min(self.limit, TRAINED) if self.limit is not None and self.training else self.limit
        features, shot, label = annotated_features(shots, marks, limit)
        places = features.new_zeros(features.shape[0], PLACES)
        if not torch.compiler.is_exporting():  # no exportable head reads them
            where = dot_cells(marks, shots.maps.shape[-1])
            places[: len(where), :2] = where  # dots come first, then cells of masks
            places[: len(where), 2] = 1
        return Rows(features, places, shot, label, *marks.counts.shape)


def annotated_features(
    shots: Features, marks: Marks, limit: int | None = None
) -> tuple[Float[Tensor, "N C"], Int[Tensor, " N"], Int[Tensor, " N"]]:
    """The features at dots, then those of mask cells; with the shot and label of each.

    A cell belongs to the label that covers most of it. A label that wins no cell keeps its best one. If a mask gives a
    label more than ``limit`` cells, ``limit`` evenly spaced ones are kept.
    """
    flat = shots.maps.flatten(2)
    dots = at_dots(shots, marks)
    if not len(marks.map_shot):
        return dots, marks.shot, marks.label
    share = marks.maps.flatten(2)
    mine = (share == share.amax(1, keepdim=True)) & (share > 0)
    best = torch.zeros_like(mine).scatter(2, share.argmax(2, keepdim=True), True) & (share > 0)
    chosen = torch.where(mine.any(2, keepdim=True), mine, best)
    if limit is not None:
        passed = chosen.cumsum(2)
        most = passed[..., -1:].clamp(min=limit)
        chosen = chosen & (passed * limit // most > (passed - 1) * limit // most)
    row, label, cell = torch.nonzero(chosen, as_tuple=True)
    shot = marks.map_shot[row]
    return torch.cat([dots, flat[shot, :, cell]]), torch.cat([marks.shot, shot]), torch.cat([marks.label, label])

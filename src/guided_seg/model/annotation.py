"""m: dots and masks in pixels become weights on the feature grid (paper, section 4.1; DESIGN 3.1-3.2)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from guided_seg.episode import Batch
from guided_seg.model.features import Features, by_size, cells, place, pool_mask


@dataclass(frozen=True, slots=True)
class Marks:
    """The annotation of T shots on the feature grid: dots in sparse form, masks in dense form.

    Attributes:
        shot: int64 ``[D]`` the shot of each dot.
        label: int64 ``[D]`` its label.
        cell: int64 ``[D, 4]`` the flat cells that it touches.
        weight: float ``[D, 4]`` its weights there, which add up to one.
        maps: float ``[M, K, h, w]`` a_k of the densely annotated shots.
        map_shot: int64 ``[M]`` which shots these are.
        counts: float ``[T, K]`` annotated pixels per shot and label: the exact sum of a_k.
    """

    shot: Int[Tensor, " D"]
    label: Int[Tensor, " D"]
    cell: Int[Tensor, "D 4"]
    weight: Float[Tensor, "D 4"]
    maps: Float[Tensor, "M K h w"]
    map_shot: Int[Tensor, " M"]
    counts: Float[Tensor, "T K"]


class Annotation(nn.Module, ABC):
    """The map m from annotated pixels to the feature grid."""

    @abstractmethod
    def forward(self, shots: Features, batch: Batch) -> Marks:
        """The marks of the batch's shots; ``shots`` are their features, in order."""


class Interpolate(Annotation):
    """The fixed normalised bilinear map D: every pixel spreads a weight of one over at most four cells.

    Normalised exactly: with an added epsilon a dot at the border would guide less than one in the middle.
    """

    def forward(self, shots: Features, batch: Batch) -> Marks:
        """See `Annotation.forward`."""
        height, width = shots.maps.shape[-2:]
        shot, pixels, label = batch.points[:, 0], batch.points[:, 1:3], batch.points[:, 3]
        cell, weight = cells(pixels, shots.sizes[shot], shots.grids[shot], width)
        maps = self._dense(shots, batch, (height, width))
        counts = maps.new_zeros(len(batch.shot_image), batch.num_labels)
        counts = counts.index_put((shot, label), weight.new_ones(()), accumulate=True)
        counts[batch.mask_shot] = maps.sum((2, 3)).round()
        return Marks(shot, label, cell, weight.to(maps.dtype), maps, batch.mask_shot, counts)

    def _dense(self, shots: Features, batch: Batch, grid: tuple[int, int]) -> Tensor:
        """a_k = D A_k of the shots annotated by masks."""
        number = len(batch.mask_shot)
        if number == 0:
            return torch.zeros(0, batch.num_labels, *grid, device=batch.masks.device)
        labels = torch.arange(batch.num_labels, device=batch.masks.device)
        parts = []
        sizes, grids = shots.sizes[batch.mask_shot], shots.grids[batch.mask_shot]
        for size, rows in by_size(sizes):
            inside = grids[rows][0].tolist()
            indicators = (batch.masks[rows][:, None] == labels.view(-1, 1, 1)).float()
            parts.append((rows, pool_mask(indicators, size, (inside[0], inside[1]))))
        dense = place(parts, number)
        return nn.functional.pad(dense, (0, grid[1] - dense.shape[-1], 0, grid[0] - dense.shape[-2]))

"""Annotation map m: from dots and masks in pixels to weights on the feature grid (paper, 4.1; concepts, rules 1-2)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from guided_seg.episode import Batch, Shots
from guided_seg.model.features import Features, by_size, cells, place, pool_mask


@dataclass(frozen=True, slots=True)
class Marks:
    """The annotation of T shots on the feature grid: dots in sparse form, masks in dense form.

    Attributes:
        shot: int64 ``[D]`` the shot of each dot.
        label: int64 ``[D]`` the label of each dot.
        cell: int64 ``[D, 4]`` the four cells around each dot, as flat indices.
        weight: float ``[D, 4]`` the bilinear weights of these cells, which sum to one.
        maps: float ``[M, K, h, w]`` a_k of the M shots with masks.
        map_shot: int64 ``[M]`` the indices of these shots.
        counts: float ``[T, K]`` annotated pixels per shot and label.
        total: float ``[T, K]`` the sum of a_k over the grid; equals ``counts`` if each pixel has weight one.
    """

    shot: Int[Tensor, " D"]
    label: Int[Tensor, " D"]
    cell: Int[Tensor, "D 4"]
    weight: Float[Tensor, "D 4"]
    maps: Float[Tensor, "M K h w"]
    map_shot: Int[Tensor, " M"]
    counts: Float[Tensor, "T K"]
    total: Float[Tensor, "T K"]


class Annotation(nn.Module, ABC):
    """The map m from annotated pixels to the feature grid.

    Attributes:
        learned: whether m has trainable weights.
    """

    learned = False

    @abstractmethod
    def forward(self, features: Features, shots: Shots) -> Marks:
        """The marks of all shots; ``features`` holds one image per shot, in order."""


class Interpolate(Annotation):
    """The fixed bilinear map D: each pixel spreads a weight of one over at most four cells.

    Weights are normalised exactly. With an added epsilon, dots at the border would weigh less than others.
    """

    def forward(self, features: Features, shots: Shots) -> Marks:
        """See `Annotation.forward`."""
        height, width = features.maps.shape[-2:]
        shot, pixels, label = shots.points[:, 0], shots.points[:, 1:3], shots.points[:, 3]
        cell, weight = cells(pixels, features.sizes[shot], features.grids[shot], width, features.anchor)
        maps = self._dense(features, shots, (height, width))
        counts = maps.new_zeros(shots.shot_image.shape[0], shots.num_labels)
        counts = counts.index_put((shot, label), weight.new_ones(()), accumulate=True)
        counts[shots.mask_shot] = maps.sum((2, 3)).round()
        return Marks(shot, label, cell, weight.to(maps.dtype), maps, shots.mask_shot, counts, counts)

    def _dense(self, features: Features, shots: Shots, grid: tuple[int, int]) -> Tensor:
        """a_k = D A_k of the shots with masks."""
        number = len(shots.mask_shot)
        if number == 0:
            return torch.zeros(0, shots.num_labels, *grid, device=shots.masks.device)
        labels = torch.arange(shots.num_labels, device=shots.masks.device)
        parts = []
        sizes, grids = features.sizes[shots.mask_shot], features.grids[shots.mask_shot]
        for size, rows in by_size(sizes):
            inside = grids[rows][0].tolist()
            indicators = (shots.masks[rows][:, None] == labels.view(-1, 1, 1)).float()
            parts.append((rows, pool_mask(indicators, size, (inside[0], inside[1]), features.anchor)))
        dense = place(parts, number)
        return nn.functional.pad(dense, (0, grid[1] - dense.shape[-1], 0, grid[0] - dense.shape[-2]))


class Learned(Annotation):
    """A small convolutional network on the interpolated annotation, trained end to end (paper, section 4.1).

    From the annotation of a cell, as k and as any other label, it predicts the weights u of the cell and v of its
    neighbourhood: ``a'_k = a_k · 2σ(u) + box(a_k) · 2σ(v)``, where ``box`` is the mean over 3 x 3 cells. At
    initialisation it is close to the interpolation. Both factors are positive, so no dot is lost.

    Args:
        hidden: channels of the network.
    """

    learned = True

    def __init__(self, hidden: int = 16) -> None:
        super().__init__()
        self.fixed = Interpolate()
        self.first = nn.Conv2d(2, hidden, 3, padding=1)
        self.last = nn.Conv2d(hidden, 2, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        with torch.no_grad():
            assert self.last.bias is not None
            self.last.bias.copy_(torch.tensor([0.0, -3.0]))  # neighbours have little weight at first

    def forward(self, features: Features, shots: Shots) -> Marks:
        """See `Annotation.forward`."""
        marks = self.fixed(features, shots)
        inside = _inside(features)
        maps = self._weigh(spread(marks, features.maps.shape[-2:]), inside)
        none, every = slice(0, 0), torch.arange(maps.shape[0], device=maps.device)
        return Marks(
            marks.shot[none], marks.label[none], marks.cell[none], marks.weight[none], maps, every, marks.counts,
            maps.sum((2, 3)),
        )  # fmt: skip

    def _weigh(self, maps: Float[Tensor, "T K h w"], inside: Float[Tensor, "T 1 h w"]) -> Float[Tensor, "T K h w"]:
        both = torch.stack([maps, maps.sum(1, keepdim=True) - maps], dim=2).flatten(0, 1)
        # keep padding at zero, as if the grid ended there
        inside = inside.expand_as(maps).flatten(0, 1)[:, None]
        hidden = torch.relu(self.first(both / (1 + both))) * inside
        own, near = (2 * torch.sigmoid(self.last(hidden))).unbind(1)
        box = nn.functional.avg_pool2d(both[:, :1], 3, 1, padding=1)[:, 0]  # four axes, as there may be no maps
        return ((both[:, 0] * own + box * near) * inside[:, 0]).view_as(maps)


def at_dots(shots: Features, marks: Marks) -> Float[Tensor, "D C"]:
    """The feature at each dot: the weighted sum over its four cells.

    It uses an embedding, since the gradient of plain indexing is not deterministic, so runs with one seed would differ.
    """
    area = shots.maps.shape[-2] * shots.maps.shape[-1]
    table = shots.maps.flatten(2).transpose(1, 2).flatten(0, 1)
    touched = nn.functional.embedding(marks.shot[:, None] * area + marks.cell, table)  # [D, 4, C]
    return (touched * marks.weight[..., None].to(table.dtype)).sum(1)


def dot_cells(marks: Marks, width: int) -> Float[Tensor, "D 2"]:
    """Row and column of each dot on the grid, in cells; 0 is the centre of the first cell.

    Args:
        marks: see `Marks`.
        width: columns of the grid.
    """
    rows, columns = marks.cell // width, marks.cell % width
    return torch.stack([(rows * marks.weight).sum(1), (columns * marks.weight).sum(1)], dim=1)


def spread(marks: Marks, grid: Sequence[int]) -> Float[Tensor, "T K h w"]:
    """The annotation of each shot in dense form, from dots and masks."""
    shots, labels = marks.counts.shape
    area = grid[0] * grid[1]
    base = (marks.shot * labels + marks.label) * area
    flat = marks.weight.new_zeros(shots * labels * area)
    flat = flat.index_add(0, (base[:, None] + marks.cell).flatten(), marks.weight.flatten())
    maps = flat.view(shots, labels, *grid)
    return maps.index_add(0, marks.map_shot, marks.maps) if len(marks.map_shot) else maps


def rasterize(batch: Batch, dot: int) -> Float[Tensor, "T K H W"]:
    """The annotation of each shot as pixel indicators per label, for early fusion.

    Args:
        batch: a batch with T shots.
        dot: side of the square drawn for a dot, in pixels; odd.
    """
    shots, labels = len(batch.shot_image), batch.num_labels
    maps = batch.images.new_zeros(shots, labels, *batch.images.shape[-2:])
    shot, row, column, label = batch.points.unbind(1)
    maps[shot, label, row, column] = 1
    if dot > 1:
        maps = nn.functional.max_pool2d(maps, dot, 1, padding=dot // 2)
    if len(batch.mask_shot):
        values = torch.arange(labels, device=maps.device).view(-1, 1, 1)
        maps[batch.mask_shot] = (batch.masks[:, None] == values).to(maps.dtype)
    return maps


def _inside(shots: Features) -> Float[Tensor, "T 1 h w"]:
    """1 in the cells of each image, 0 in the padding."""
    height, width = shots.maps.shape[-2:]
    rows = torch.arange(height, device=shots.maps.device) < shots.grids[:, :1]
    columns = torch.arange(width, device=shots.maps.device) < shots.grids[:, 1:]
    return (rows[:, :, None] & columns[:, None]).float()[:, None]

"""The guide g: from an annotated support to the task representation z (paper, section 4.1).

Four choices compose: `Annotation` m (dots and masks to the feature grid), `Fusion` ψ (features x annotation),
`Locality` m_P (over positions) and `Merge` m_S (over shots).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from guided_seg.episode import Batch
from guided_seg.model.features import Features
from guided_seg.model.guide.annotation import Marks, at_dots, dot_cells
from guided_seg.model.guide.fusion import Fusion, Late
from guided_seg.model.guide.merge import Merge

TAUGHT = 32
"""The most cells of one mask that a set takes of a label in training, where each costs time in every episode."""

PLACES = 3
"""Rows that a set of annotated features has besides the features, where a conditioning reads places."""


@dataclass(frozen=True, slots=True)
class Guidance:
    """z, all that the segmentor needs to know of the support: (ŷ, x̄) ⊥ (x, L) | z.

    Attributes:
        z: float ``[B, K, C]`` (global) or ``[B, K, C, h, w]`` (local), one per label (or one for all, see
            `Fusion.joint`); or ``[B, K, C, M]``, the annotated features themselves, up to M for each label. The last
            form may have `PLACES` more rows: where a dot is on the grid, its row and column in cells, and a 1 where it
            is on the query itself, which alone makes its place mean something.
        annotated: bool ``[B, K]``; where false, z is the learned "no guidance" vector.
        valid: bool ``[B, K, M]`` which of the annotated features there are, for the last form.
        previous: float ``[B, K, h, w]`` the share of each label in each cell of the query, as an earlier answer to a
            frame like it said; None where there is no such answer. It adds to z, and z is enough without it.
    """

    z: Float[Tensor, "B K C *grid"]
    annotated: Bool[Tensor, "B K"]
    valid: Bool[Tensor, "B K M"] | None = None
    previous: Float[Tensor, "B K h w"] | None = None

    def crop(self, rows: Tensor | slice, height: int, width: int) -> Guidance:
        """The guidance of some episodes, on the part of the grid that their images fill."""
        z = self.z[rows]
        valid = self.valid[rows] if self.valid is not None else None
        previous = self.previous[rows, :, :height, :width] if self.previous is not None else None
        return Guidance(z[..., :height, :width] if z.ndim == 5 else z, self.annotated[rows], valid, previous)


class Guide(nn.Module):
    """z = g(support) (concepts, rules 1-4).

    Args:
        fusion: how features and annotations of one shot become its z.
        merge: how the z of several shots become one.
        channels: C of the features.
        keeps_all: z is the set of all annotated features of all shots, for nearest neighbors; nothing is pooled or
            merged, and positions are forgotten, but for those of ``places``.
        places: the set has the places of dots as well, see `Guidance`.
        limit: the most cells of one mask that the set takes of a label, evenly among them, and at most `TAUGHT` in
            training; None for all.
    """

    def __init__(
        self,
        fusion: Fusion,
        merge: Merge,
        channels: int,
        keeps_all: bool = False,
        places: bool = False,
        limit: int | None = None,
    ) -> None:
        super().__init__()
        self.fusion, self.merge, self.keeps_all = fusion, merge, keeps_all
        self.places, self.limit = places, limit
        # stands in for a label that no shot annotates, so that a single positive dot already works (rule 3)
        self.no_guidance = nn.Parameter(torch.zeros(channels))
        nn.init.normal_(self.no_guidance, std=0.1)

    @property
    def needs_same_image(self) -> bool:
        """Guidance that keeps positions means something only where support and query are one image."""
        return self.fusion.locality.keeps_positions and not self.keeps_all

    def forward(self, features: Features, batch: Batch) -> Guidance:
        """Extract the guidance of all episodes of ``batch``.

        Args:
            features: of all N images of the batch.
            batch: its annotations.
        """
        if self.keeps_all:
            return self._collect(features, batch)
        shots, annotated = self.fusion(features, batch)
        merged, seen = self.merge(shots, annotated, batch.shot_episode, len(batch))
        absent = self.absent.view(-1, *[1] * (merged.ndim - 3))
        return Guidance(torch.where(seen.view(*seen.shape, *[1] * (merged.ndim - 2)), merged, absent), seen)

    def annotated(self, features: Features, batch: Batch) -> tuple[Float[Tensor, "N C"], Tensor, Tensor]:
        """Each annotated feature, with its place where ``places`` asks for it; its shot; and its label."""
        assert isinstance(self.fusion, Late)
        with torch.autocast(features.maps.device.type, enabled=False):
            shots, marks = self.fusion.mark(features, batch)
            limit = min(self.limit, TAUGHT) if self.limit is not None and self.training else self.limit
            found, shot, label = annotated_features(shots, marks, limit)
            if self.places:
                of_query = batch.shot_image == batch.shot_episode  # the queries are the first images
                where = torch.cat([dot_cells(marks, shots.maps.shape[-1]), of_query[marks.shot, None]], dim=1)
                # cells of masks have no place: the query's own mask would be the answer, and nothing would be learned
                found = torch.cat([found, F.pad(where.to(found.dtype), (0, 0, 0, len(found) - len(where)))], dim=1)
        return found, shot, label

    @property
    def absent(self) -> Float[Tensor, " C"]:
        """What stands in a set for a label that nothing annotates."""
        return F.pad(self.no_guidance, (0, PLACES)) if self.places else self.no_guidance

    def _collect(self, features: Features, batch: Batch) -> Guidance:
        found, shot, label = self.annotated(features, batch)
        groups = batch.shot_episode[shot] * batch.num_labels + label
        padded, valid = _pad_groups(found, groups, len(batch) * batch.num_labels)
        seen = valid.any(1)
        padded[:, 0] = torch.where(seen[:, None], padded[:, 0], self.absent)
        valid[:, 0] = True
        shape = (len(batch), batch.num_labels)
        return Guidance(
            padded.view(*shape, *padded.shape[1:]).transpose(2, 3), seen.view(shape), valid.view(*shape, -1)
        )


def annotated_features(
    shots: Features, marks: Marks, limit: int | None = None
) -> tuple[Float[Tensor, "N C"], Tensor, Tensor]:
    """The feature at each dot, and of each cell that a mask gives to one label; with its shot and label.

    A cell belongs to the label that covers most of it; a label too small for any keeps its best cell. Where a mask
    gives a label more than ``limit`` cells, so many are taken, evenly among them.
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


def _pad_groups(rows: Float[Tensor, "N C"], group: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """``[groups, M, C]``, the rows of each group, and which places are filled; M is the largest group's, at least 1."""
    order = torch.argsort(group, stable=True)
    group = group[order]
    counts = torch.bincount(group, minlength=groups)
    place = torch.arange(len(group), device=group.device) - (counts.cumsum(0) - counts)[group]
    most = max(int(counts.max()) if len(group) else 0, 1)
    padded, valid = rows.new_zeros(groups, most, rows.shape[1]), group.new_zeros(groups, most).bool()
    padded = padded.index_put((group, place), rows[order])
    valid[group, place] = True
    return padded, valid

"""The guide g: from an annotated support to the task representation z (paper, section 4.1).

Four choices compose: `Annotation` m (dots and masks to the feature grid), `Fusion` ψ (features x annotation),
`Locality` m_P (over positions) and `Merge` m_S (over shots).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from guided_seg.episode import Batch, Shots
from guided_seg.model.features import Features
from guided_seg.model.guide.fusion import Fusion
from guided_seg.model.guide.locality import Set
from guided_seg.model.guide.merge import Merge
from guided_seg.model.guide.shown import PLACES, Pooled, Rows, Shown


@dataclass(frozen=True, slots=True)
class Guidance:
    """z, all that the segmentor needs to know of the support: (ŷ, x̄) ⊥ (x, L) | z.

    Attributes:
        z: float ``[B, K, C]`` (global), ``[B, K, C, h, w]`` (local) or ``[B, K, C, M]`` (set): a vector for each label,
            for each label and position, or up to M annotated features of each label. K is 1 where one z stands for all
            labels (see `Fusion.joint`).
        annotated: bool ``[B, K]``; where false, z is the learned "no guidance" vector.
        valid: bool ``[B, K, M]`` which features of a set there are; None for the other forms.
        places: float ``[B, K, 3, M]`` where each feature of a set is: row and column in cells, and 1 for a dot on the
            query itself. Other places mean nothing.
        previous: float ``[B, K, h, w]`` the share of each label in each cell of the query, according to the answer to
            the frame before; None without one. It adds to z: a network can do without it.
    """

    z: Float[Tensor, "B K C *grid"]
    annotated: Bool[Tensor, "B K"]
    valid: Bool[Tensor, "B K M"] | None = None
    places: Float[Tensor, "B K 3 M"] | None = None
    previous: Float[Tensor, "B K h w"] | None = None

    def crop(self, rows: Tensor | slice, height: int, width: int) -> Guidance:
        """The guidance of some episodes, on the part of the grid that their images fill."""
        z, valid, places, previous = self.z[rows], self.valid, self.places, self.previous
        return Guidance(
            z[..., :height, :width] if z.ndim == 5 else z,
            self.annotated[rows],
            None if valid is None else valid[rows],
            None if places is None else places[rows],
            None if previous is None else previous[rows, :, :height, :width],
        )

    @staticmethod
    def join(labels: Sequence[Guidance]) -> Guidance:
        """The guidance of several labels as one; without a previous answer.

        Args:
            labels: guidance of one episode and one label each. Sets are padded to the largest; a vector that stands
                beside maps is expanded to them.
        """
        if len(labels) == 1:
            return labels[0]
        annotated = torch.cat([each.annotated for each in labels], dim=1)
        z = [each.z for each in labels]
        if labels[0].valid is None:
            grid = next((each.shape[3:] for each in z if each.ndim == 5), None)
            if grid is not None:
                z = [each if each.ndim == 5 else each[..., None, None].expand(*each.shape, *grid) for each in z]
            return Guidance(torch.cat(z, dim=1), annotated)
        most = max(each.shape[-1] for each in z)
        sets = [(each.z, each.valid, each.places) for each in labels]
        padded = [[F.pad(part, (0, most - part.shape[-1])) for part in parts if part is not None] for parts in sets]
        joined, valid, places = (torch.cat(part, dim=1) for part in zip(*padded, strict=True))
        return Guidance(joined, annotated, valid, places)

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors."""
        parts = (self.z, self.annotated, self.valid, self.places, self.previous)
        return sum(part.nbytes for part in parts if part is not None)


class Guide(nn.Module):
    """z = g(support) (concepts, rules 1-4), in two stages: `show` reads each shot, `join` merges the shots.

    Args:
        fusion: how features and annotation of one shot become its z.
        merge: how the z of several shots become one. Sets are united instead.
        channels: C of the features.
    """

    def __init__(self, fusion: Fusion, merge: Merge, channels: int) -> None:
        super().__init__()
        self.fusion, self.merge = fusion, merge
        # stands in for a label that no shot annotates, so that a single positive dot already works (rule 3)
        self.no_guidance = nn.Parameter(torch.zeros(channels))
        nn.init.normal_(self.no_guidance, std=0.1)

    @property
    def needs_same_image(self) -> bool:
        """Guidance that keeps positions means something only where support and query are one image."""
        return self.fusion.locality.keeps_positions

    def forward(self, features: Features, batch: Batch) -> Guidance:
        """The guidance of all episodes of a batch, whose images have these features."""
        return self.join(self.show(features, batch), batch.shot_episode, len(batch))

    def show(self, features: Features, shots: Shots) -> Shown:
        """What each shot shows of each label."""
        shown: Shown = self.fusion(features, shots)
        return shown

    def join(self, shown: Shown, episode: Int[Tensor, " T"], episodes: int) -> Guidance:
        """The guidance of each of ``episodes`` episodes, from the shots that belong to it."""
        if isinstance(shown, Rows):
            return self._candidates(shown) if torch.compiler.is_exporting() else self._united(shown, episode, episodes)
        assert isinstance(shown, Pooled)
        merged, seen = self.merge(shown.z, shown.annotated, episode, episodes)
        absent = self.no_guidance.view(-1, *[1] * (merged.ndim - 3))
        return Guidance(torch.where(seen.view(*seen.shape, *[1] * (merged.ndim - 2)), merged, absent), seen)

    def nothing(self) -> Guidance:
        """The guidance of one label that no shot annotates."""
        z, seen = self.no_guidance[None, None], torch.zeros(1, 1, dtype=torch.bool, device=self.no_guidance.device)
        if not isinstance(self.fusion.locality, Set):
            return Guidance(z, seen)
        return Guidance(z[..., None], seen, ~seen[..., None], z.new_zeros(1, 1, PLACES, 1))

    def _united(self, rows: Rows, episode: Int[Tensor, " T"], episodes: int) -> Guidance:
        groups = episode[rows.shot] * rows.labels + rows.of_label
        found = torch.cat([rows.features, rows.places], dim=1)
        padded, valid = _pad_groups(found, groups, episodes * rows.labels)
        seen = valid.any(1)
        padded[:, 0] = torch.where(seen[:, None], padded[:, 0], F.pad(self.no_guidance, (0, PLACES)))
        valid[:, 0] = True
        shape = (episodes, rows.labels)
        z, places = (
            padded.view(*shape, *padded.shape[1:])
            .transpose(2, 3)
            .split_with_sizes([len(self.no_guidance), PLACES], dim=2)
        )
        return Guidance(z, seen.view(shape), valid.view(*shape, -1), places)

    def _candidates(self, rows: Rows) -> Guidance:
        """As `_united`, for a graph: every label has all rows, and ``valid`` says which are its own."""
        own = rows.of_label == torch.arange(rows.labels)[:, None]
        annotated = own.sum(1) > 0  # any() of no dots at all is undefined in ONNX
        # twice, since a graph cannot be free to have one candidate alone
        z = torch.cat([rows.features, self.no_guidance.expand(2, -1)]).T.expand(rows.labels, -1, -1)
        places = F.pad(rows.places, (0, 0, 0, 2)).T.expand(rows.labels, -1, -1)
        valid = torch.cat([own, ~annotated[:, None].expand(-1, 2)], dim=1)
        return Guidance(z[None], annotated[None], valid[None], places[None])


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

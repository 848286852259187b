"""The guide g: from an annotated support to the task representation z (paper, section 4.1).

It has four exchangeable parts: `Annotation` m (from dots and masks to the feature grid), `Fusion` ψ (features x
annotation), `Locality` m_P (over positions) and `Merge` m_S (over shots).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from guided_seg.episode import Batch, Shots
from guided_seg.model.features import Features
from guided_seg.model.guide.fusion import Fusion
from guided_seg.model.guide.locality import Set
from guided_seg.model.guide.merge import Merge
from guided_seg.model.guide.shown import PLACES, Pooled, Rows, Shown


@dataclass(frozen=True, slots=True)
class Guidance:
    """The task representation z, all that the segmentor reads of the support: (ŷ, x̄) ⊥ (x, L) | z.

    Attributes:
        z: float ``[B, K, C]`` (global), ``[B, K, C, h, w]`` (local) or ``[B, K, C, M]`` (set): a vector per label, a
            vector per label and position, or up to M annotated features per label. K is 1 if one z represents all
            labels (see `Fusion.joint`).
        annotated: bool ``[B, K]``; if false, z is the learned "no guidance" vector.
        valid: bool ``[B, K, M]`` which entries of a set are features, not padding; None for the other forms.
        places: float ``[B, K, 3, M]`` the place of each feature of a set: row and column in cells, and 1 for a dot on
            the query itself. Other places are undefined.
        previous: float ``[B, K, h, w]`` the share of each label in each cell of the query, from the prediction for the
            previous frame; None without one. It is optional, in addition to z.
    """

    z: Float[Tensor, "B K C *grid"]
    annotated: Bool[Tensor, "B K"]
    valid: Bool[Tensor, "B K M"] | None = None
    places: Float[Tensor, "B K 3 M"] | None = None
    previous: Float[Tensor, "B K h w"] | None = None

    def vectors(self) -> Float[Tensor, "B K C"]:
        """One vector per label: z itself, or its mean over positions or over the features of its set."""
        if self.valid is not None:
            inside = self.valid[:, :, None].to(self.z.dtype)
            return (self.z * inside).sum(-1) / inside.sum(-1).clamp(min=1)
        return self.z if self.z.ndim == 3 else self.z.flatten(3).mean(3)

    def crop(self, rows: Tensor | slice, height: int, width: int) -> Guidance:
        """The guidance of some episodes, cropped to the grid of their images."""
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
        """Concatenate guidance along the labels, without the previous prediction.

        Args:
            labels: guidance of one episode and one label each. Sets are padded to the largest. If some have maps, the
                vectors are expanded to maps.
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
        padded = [[_pad_to(most, part) for part in parts if part is not None] for parts in sets]
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
        fusion: ψ, from the features and annotation of each shot to its z.
        merge: m_S, from the z of several shots to one. Sets are united instead.
        channels: C of the features.
    """

    def __init__(self, fusion: Fusion, merge: Merge, channels: int) -> None:
        super().__init__()
        self.fusion, self.merge = fusion, merge
        # replaces z of a label that no shot annotates, so that a single positive dot is enough (rule 3)
        self.no_guidance = nn.Parameter(torch.zeros(channels))
        nn.init.normal_(self.no_guidance, std=0.1)

    @property
    def needs_same_image(self) -> bool:
        """Whether support and query must be one image, since guidance keeps positions."""
        return self.fusion.locality.keeps_positions

    def forward(self, features: Features, batch: Batch) -> Guidance:
        """The guidance of all episodes of a batch, from the features of its images."""
        return self.join(self.show(features, batch), batch.shot_episode, len(batch))

    def show(self, features: Features, shots: Shots) -> Shown:
        """The guidance of each shot, before the merge."""
        shown: Shown = self.fusion(features, shots)
        return shown

    def join(self, shown: Shown, episode: Int[Tensor, " T"], episodes: int) -> Guidance:
        """Merge the shots of each of ``episodes`` episodes; ``episode`` is the episode of each shot."""
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
        if episodes * rows.labels == 1 and len(rows.features):  # one label of a session: nothing to sort or pad
            valid = torch.ones(1, 1, len(rows.features), dtype=torch.bool, device=rows.features.device)
            return Guidance(rows.features.T[None, None], valid[..., 0], valid, rows.places.T[None, None])
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
        """`_united` for export: each label has all rows, and ``valid`` selects its own."""
        own = rows.of_label == torch.arange(rows.labels)[:, None]
        annotated = own.sum(1) > 0  # any() of an empty tensor is undefined in ONNX
        # twice, since a dynamic dimension must be at least 2
        z = torch.cat([rows.features, self.no_guidance.expand(2, -1)]).T.expand(rows.labels, -1, -1)
        places = F.pad(rows.places, (0, 0, 0, 2)).T.expand(rows.labels, -1, -1)
        valid = torch.cat([own, ~annotated[:, None].expand(-1, 2)], dim=1)
        return Guidance(z[None], annotated[None], valid[None], places[None])


def _pad_to(most: int, part: Shaped[Tensor, "*axes M"]) -> Tensor:
    return part if part.shape[-1] == most else F.pad(part, (0, most - part.shape[-1]))


def _pad_groups(rows: Float[Tensor, "N C"], group: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Rows by group, padded to ``[groups, M, C]``, and which rows are valid; M is the largest group, at least 1."""
    order = torch.argsort(group, stable=True)
    group = group[order]
    counts = torch.bincount(group, minlength=groups)
    place = torch.arange(len(group), device=group.device) - (counts.cumsum(0) - counts)[group]
    most = max(int(counts.max()) if len(group) else 0, 1)
    padded, valid = rows.new_zeros(groups, most, rows.shape[1]), group.new_zeros(groups, most).bool()
    padded = padded.index_put((group, place), rows[order])
    valid[group, place] = True
    return padded, valid

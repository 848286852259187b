"""The guide g: from an annotated support to the task representation z (paper, section 4.1).

Four choices compose: `Annotation` m (dots and masks to the feature grid), `Fusion` ψ (features x annotation),
`Locality` m_P (over positions) and `Merge` m_S (over shots).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from guided_seg.episode import Batch
from guided_seg.model.features import Features
from guided_seg.model.fusion import Fusion
from guided_seg.model.merge import Merge


@dataclass(frozen=True, slots=True)
class Guidance:
    """z, all that the segmentor needs to know of the support: (ŷ, x̄) ⊥ (x, L) | z.

    Attributes:
        z: float ``[B, K, C]`` (global) or ``[B, K, C, h, w]`` (local), one per label.
        annotated: bool ``[B, K]``; where false, z is the learned "no guidance" vector.
    """

    z: Float[Tensor, "B K C *grid"]
    annotated: Bool[Tensor, "B K"]

    def crop(self, rows: Tensor | slice, height: int, width: int) -> Guidance:
        """The guidance of some episodes, on the part of the grid that their images fill."""
        z = self.z[rows]
        return Guidance(z[..., :height, :width] if z.ndim == 5 else z, self.annotated[rows])


class Guide(nn.Module):
    """z = g(support) (DESIGN 3.1-3.4).

    Args:
        fusion: how features and annotations of one shot become its z.
        merge: how the z of several shots become one.
        channels: C of the features.
    """

    def __init__(self, fusion: Fusion, merge: Merge, channels: int) -> None:
        super().__init__()
        self.fusion, self.merge = fusion, merge
        # stands in for a label that no shot annotates, so that a single positive dot already works (DESIGN 3.3)
        self.no_guidance = nn.Parameter(torch.zeros(channels))
        nn.init.normal_(self.no_guidance, std=0.1)

    @property
    def needs_same_image(self) -> bool:
        """Guidance that keeps positions means something only where support and query are one image."""
        return self.fusion.locality.keeps_positions

    def forward(self, features: Features, batch: Batch) -> Guidance:
        """Extract the guidance of all episodes of ``batch``.

        Args:
            features: of all N images of the batch.
            batch: its annotations.
        """
        shots, annotated = self.fusion(features, batch)
        merged, seen = self.merge(shots, annotated, batch.shot_episode, len(batch))
        absent = self.no_guidance.view(-1, *[1] * (merged.ndim - 3))
        return Guidance(torch.where(seen.view(*seen.shape, *[1] * (merged.ndim - 2)), merged, absent), seen)

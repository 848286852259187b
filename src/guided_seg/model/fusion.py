"""ψ: how the features and the annotation of one shot are joined (paper, section 4.1; DESIGN 3.1-3.2)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from guided_seg.episode import Batch
from guided_seg.model.annotation import Annotation
from guided_seg.model.features import Features
from guided_seg.model.locality import Locality


class Fusion(nn.Module, ABC):
    """The z of each shot from its features and annotation."""

    locality: Locality

    @abstractmethod
    def forward(self, features: Features, batch: Batch) -> tuple[Float[Tensor, "T K C *grid"], Bool[Tensor, "T K"]]:
        """The z of each of T shots and label, and which labels the shot annotates."""


class Late(Fusion):
    """Features x annotation, element by element, after the shared encoder (paper, section 4.1).

    The image is encoded once; a new dot only changes the annotation, so an update costs no pass of the network.

    Args:
        annotation: m, from pixels to the feature grid.
        locality: m_P, what happens to positions.
    """

    def __init__(self, annotation: Annotation, locality: Locality) -> None:
        super().__init__()
        self.annotation, self.locality = annotation, locality

    def forward(self, features: Features, batch: Batch) -> tuple[Float[Tensor, "T K C *grid"], Bool[Tensor, "T K"]]:
        """See `Fusion.forward`."""
        # sums over many pixels, and the counts of them, need full precision whatever the rest runs in
        with torch.autocast(features.maps.device.type, enabled=False):
            shots = replace(features, maps=features.maps.float())[batch.shot_image]
            marks = self.annotation(shots, batch)
            return self.locality(shots, marks), marks.counts > 0

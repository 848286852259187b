"""Fusion ψ: join the image and the annotation of a shot (paper, section 4.1; concepts, rules 1-2)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from guided_seg.episode import Batch, Shots
from guided_seg.errors import UserError
from guided_seg.model.backbone import Backbone
from guided_seg.model.features import Features, by_size, place, upsample
from guided_seg.model.guide.annotation import Annotation, rasterize
from guided_seg.model.guide.locality import Locality
from guided_seg.model.guide.shown import Pooled, Shown


class Fusion(nn.Module, ABC):
    """From the image and annotation of each shot to its z.

    Attributes:
        early: image and annotation are encoded together. The guide then has its own encoder, and each new dot costs an
            encoder pass.
        joint: one z represents all labels together, and K is fixed by training.
        sees_context: z depends on more of the image than the annotated pixels.
    """

    early = False
    joint = False
    sees_context = True
    locality: Locality

    @abstractmethod
    def forward(self, features: Features, shots: Shots) -> Shown:
        """Fuse the shots with the ``features`` of all images. Early fusion needs a `Batch`, since it reads pixels."""


class Late(Fusion):
    """Element-wise product of features and annotation, after the shared encoder (paper, section 4.1).

    The image is encoded once. A new dot changes only the annotation, so an update needs no encoder pass.

    Args:
        annotation: m, from pixels to the feature grid.
        locality: m_P, pooling over positions.
        interpolation: upsampling factor of the support's features before the fusion, "solely for the support": the
            time and resolution of the query do not change.

    Raises:
        UserError: ``interpolation`` is below 1.
    """

    def __init__(self, annotation: Annotation, locality: Locality, interpolation: int = 1) -> None:
        super().__init__()
        if interpolation < 1:
            raise UserError(f"resolution.interpolation={interpolation}: expected a whole number from 1.")
        self.annotation, self.locality, self.interpolation = annotation, locality, interpolation

    def forward(self, features: Features, shots: Shots) -> Shown:
        """See `Fusion.forward`."""
        # sums and counts over many pixels need fp32
        with torch.autocast(features.maps.device.type, enabled=False):
            images = replace(features, maps=features.maps.float(), skips=())[shots.shot_image]
            if self.interpolation > 1 and len(shots.shot_image):
                images = self._finer(images)
            shown: Shown = self.locality(images, self.annotation(images, shots))
            return shown.seen_from(shots.on_query)

    def _finer(self, images: Features) -> Features:
        grids = images.grids * self.interpolation
        parts = []
        for (height, width), rows in by_size(grids):
            inside = images.maps[rows, :, : height // self.interpolation, : width // self.interpolation]
            parts.append((rows, upsample(inside, (height, width))))
        anchor = images.anchor.finer(self.interpolation) if images.anchor else None
        return Features(place(parts, len(grids)), grids, images.sizes, anchor=anchor)


class Early(Fusion):
    """Encode image and annotation together with a separate support encoder (prior work; paper, section 4.1).

    Args:
        encoder: φ_S, the encoder of the support.
        locality: m_P, pooling over positions.
        dot: side of the square drawn for a dot, in pixels; odd.

    Raises:
        UserError: ``dot`` is even, or below 1.
    """

    early = True

    def __init__(self, encoder: Backbone, locality: Locality, dot: int = 11) -> None:
        super().__init__()
        if dot < 1 or dot % 2 == 0:
            raise UserError(f"fusion.dot={dot}: expected an odd number of pixels from 1.")
        self.encoder, self.locality, self.dot = encoder, locality, dot

    @abstractmethod
    def encode(
        self, images: Float[Tensor, "n 3 H W"], annotation: Float[Tensor, "n K H W"]
    ) -> Float[Tensor, "n G C h w"]:
        """Encode n shots of one size: maps for each label (G = K), or joint ones (G = 1)."""

    def forward(self, features: Features, shots: Shots) -> Pooled:
        """See `Fusion.forward`."""
        assert isinstance(shots, Batch)
        batch = shots
        annotation, sizes = rasterize(batch, self.dot), batch.sizes[batch.shot_image]
        images = batch.images[batch.shot_image]
        parts = []
        # an empty support gets the grid of the queries
        for (height, width), rows in by_size(sizes if len(sizes) else sizes.new_tensor([batch.images.shape[-2:]])):
            maps = self.encode(images[rows, :, :height, :width], annotation[rows, :, :height, :width])
            parts.append((rows, self.locality.reduce(maps)))
        annotated = annotation.flatten(2).any(2)
        return Pooled(place(parts, len(sizes)), annotated.any(1, keepdim=True) if self.joint else annotated)


class EarlyStack(Early):
    """image ⊕ k ⊕ not k: stack the annotation as two extra channels on the image, as in DIOS.

    Args:
        encoder: φ_S; its first convolution is widened by two channels.
        locality: m_P, pooling over positions.
        roles: ``per_label`` encodes each label one-vs-rest, so K may vary; ``joint`` encodes + and − once, as in the
            original, into one z for two labels.
        dot: side of the square drawn for a dot, in pixels; odd.

    Raises:
        UserError: ``roles`` is unknown, or ``dot`` is even or below 1.
    """

    def __init__(
        self,
        encoder: Backbone,
        locality: Locality,
        roles: Literal["per_label", "joint"] = "per_label",
        dot: int = 11,
    ) -> None:
        if roles not in ("per_label", "joint"):
            raise UserError(f"fusion.roles={roles}; expected per_label or joint.")
        super().__init__(encoder, locality, dot)
        self.joint = roles == "joint"
        encoder.widen(2)

    def encode(
        self, images: Float[Tensor, "n 3 H W"], annotation: Float[Tensor, "n K H W"]
    ) -> Float[Tensor, "n G C h w"]:
        """See `Early.encode`."""
        if self.joint:
            if annotation.shape[1] != 2:
                raise UserError(
                    f"fusion.roles=joint reads 2 labels and got {annotation.shape[1]}; use per_label to train another "
                    "network, or read this one with k_way=one_vs_rest."
                )
            return self.encoder(images, annotation.flip(1))[:, None]
        labels = annotation.shape[1]
        itself = torch.eye(labels, device=annotation.device)[:, :, None, None]
        others = (annotation[:, None] * (1 - itself)).amax(2)
        pairs = torch.stack([annotation, others], dim=2).flatten(0, 1)
        return self.encoder(images.repeat_interleave(labels, dim=0), pairs).unflatten(0, annotation.shape[:2])


class EarlyMask(Early):
    """image · k: mask out all pixels that are not annotated as k, as in OSLSM.

    It "makes unnatural images and precludes learning from the background" (paper, section 4.1).

    Args:
        encoder: φ_S.
        locality: m_P, pooling over positions.
        dot: side of the square that a dot keeps visible, in pixels; odd.
    """

    sees_context = False

    def encode(
        self, images: Float[Tensor, "n 3 H W"], annotation: Float[Tensor, "n K H W"]
    ) -> Float[Tensor, "n G C h w"]:
        """See `Early.encode`."""
        # masked pixels get the mean of the training images, which is zero after normalisation
        mean = self.encoder.mean
        masked = mean + (images[:, None] - mean) * annotation[:, :, None]
        return self.encoder(masked.flatten(0, 1)).unflatten(0, annotation.shape[:2])

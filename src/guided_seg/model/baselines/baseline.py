"""Baselines without guidance (paper, section 5)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from guided_seg.episode import Batch
from guided_seg.model.backbone import Backbone
from guided_seg.model.conditioning import Conditioning
from guided_seg.model.decoder import Decoder
from guided_seg.model.features import Features
from guided_seg.model.guide.guide import Guidance
from guided_seg.model.network import StagedNetwork, UpdateCost
from guided_seg.model.segmentor import Segmentor


class Unguided(Conditioning):
    """Layers that score a query from its features alone."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        for number, layer in enumerate(layers):
            self.add_module(f"{number}", layer)  # the names of `nn.Sequential`, as in checkpoints

    def compare(
        self,
        prepared: tuple[Tensor, ...],
        guidance: Guidance,
    ) -> Float[Tensor, "B K 1 h w"]:
        """See `Conditioning.compare`; the guidance is not read."""
        (scores,) = prepared
        for layer in self.children():
            scores = layer(scores)
        return scores[:, :, None]


class ForegroundBackground(StagedNetwork):
    """Segment foreground from background without reading the support.

    It is a lower bound: any higher score of a guided network must come from the guidance.

    Args:
        backbone: φ.
        channels: C of the features.
        hidden: channels between features and scores; 2C by default, as in feature fusion.
        num_labels: K.
        decoder: see `StagedNetwork`.
    """

    update_cost: UpdateCost = "none"

    def __init__(
        self,
        backbone: Backbone,
        channels: int,
        hidden: int | None = None,
        num_labels: int = 2,
        decoder: Decoder | None = None,
    ) -> None:
        super().__init__(backbone, decoder)
        hidden = hidden or 2 * channels
        self.head = Unguided(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, num_labels, 1))

    @property
    def segmentor(self) -> Segmentor:
        """The layers, which read no guidance, and the decoder."""
        return Segmentor(self.head, self.decoder)

    def extract(self, features: Features, batch: Batch) -> Guidance:
        """Empty guidance, C = 0."""
        nothing = features.maps.new_zeros(len(batch), batch.num_labels, 0)
        return Guidance(nothing, torch.zeros(nothing.shape[:2], dtype=torch.bool, device=nothing.device))

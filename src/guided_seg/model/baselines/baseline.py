"""Baselines without guidance (paper, section 5)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from guided_seg.episode import Batch
from guided_seg.model.backbone import Backbone
from guided_seg.model.decoder import Decoder
from guided_seg.model.features import Features
from guided_seg.model.guide.guide import Guidance
from guided_seg.model.network import Network, UpdateCost


class ForegroundBackground(Network):
    """Segments foreground from background and never looks at the support.

    It sets the floor: what a guided network scores beyond it must have come from the guidance.

    Args:
        backbone: φ.
        channels: C of the features.
        hidden: channels between features and scores; 2C by default, as in feature fusion.
        num_labels: K.
        decoder: see `Network`.
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
        self.head = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, num_labels, 1))

    def extract(self, features: Features, batch: Batch) -> None:
        """There is no guidance."""

    def segment(self, query: Float[Tensor, "B C h w"], guidance: Guidance | None) -> Float[Tensor, "B K h w"]:
        """See `Network.segment`."""
        return self.head(query)

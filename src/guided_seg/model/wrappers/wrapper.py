"""Base class of wrappers that query a network several times and combine the results."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from guided_seg.model.backbone import Backbone
from guided_seg.model.features import Features
from guided_seg.model.network import Network, UpdateCost


class Wrapper(Network):
    """Has the encoder and the properties of another network. Subclasses write ``forward``.

    Args:
        network: the wrapped network, the only part with parameters.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    @property
    def backbone(self) -> Backbone:  # type: ignore[override]
        """The backbone of the wrapped network."""
        return self.network.backbone

    @property
    def needs_same_image(self) -> bool:  # type: ignore[override]
        """See `Network`."""
        return self.network.needs_same_image

    @property
    def update_cost(self) -> UpdateCost:  # type: ignore[override]
        """See `Network`."""
        return self.network.update_cost

    def encode(self, images: Float[Tensor, "N 3 H W"], sizes: Int[Tensor, "N 2"]) -> Features:
        """See `Network.encode`."""
        return self.network.encode(images, sizes)

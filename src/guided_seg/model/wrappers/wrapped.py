"""A network that puts other questions to the one inside it."""

from __future__ import annotations

from typing import NoReturn

from jaxtyping import Float, Int
from torch import Tensor

from guided_seg.episode import Batch
from guided_seg.model.backbone import Backbone
from guided_seg.model.features import Features
from guided_seg.model.guide.guide import Guidance
from guided_seg.model.network import Network, UpdateCost


class Wrapped(Network):
    """The backbone and features of another network; what is asked of it is for ``forward`` to say.

    Args:
        network: the other one; it is the only part with parameters.
    """

    def __init__(self, network: Network) -> None:
        super(Network, self).__init__()  # backbone and decoder are the other network's
        self.network = network

    @property
    def backbone(self) -> Backbone:  # type: ignore[override]
        """That of the network inside."""
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

    def extract(self, features: Features, batch: Batch) -> NoReturn:
        """There is no one guidance: each question has its own."""
        raise NotImplementedError(f"{type(self).__name__} asks several questions, each with its own guidance.")

    def segment(self, query: Float[Tensor, "B C h w"], guidance: Guidance | None) -> NoReturn:
        """See `extract`."""
        raise NotImplementedError(f"{type(self).__name__} asks several questions, each with its own guidance.")

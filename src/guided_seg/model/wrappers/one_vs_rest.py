"""One-vs-rest: segment K labels as K - 1 binary tasks, each of one positive label against all others."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from guided_seg.episode import IGNORE, Batch
from guided_seg.model.features import Features
from guided_seg.model.network import Network, only_shown, own_labels
from guided_seg.model.wrappers.wrapper import Wrapper


class OneVsRest(Wrapper):
    """Runs a binary network once for each positive label, on features that are encoded once.

    In task k, label k is positive and every other annotated label is negative. The score of label k is its log-odds in
    task k; the negative scores 0. So the most confident positive wins, or the background if no positive is more likely
    than not. With K = 2 this is the binary network itself. It works for any network that knows two labels, such as one
    with a joint scorer.

    Args:
        network: the binary network, the only part with parameters.
    """

    def forward(self, batch: Batch, features: Features | None = None) -> Float[Tensor, "B K H W"]:
        """See `Network.forward`."""
        features = self.encode(batch.images, batch.sizes) if features is None else features
        tasks = [self.network(against_rest(batch, label), features) for label in range(1, batch.num_labels)]
        odds = [scores[:, 1] - scores[:, 0] for scores in tasks]
        scores = own_labels(torch.stack([torch.zeros_like(odds[0]), *odds], dim=1), batch)
        return scores if self.training else only_shown(scores, batch.shown)


def against_rest(batch: Batch, label: int) -> Batch:
    """The binary batch in which ``label`` is positive and every other label negative.

    Example:
        >>> from guided_seg.episode import Episode, Shot, collate
        >>> image, target = torch.zeros(3, 2, 2), torch.tensor([[0, 1], [2, 255]], dtype=torch.uint8)
        >>> batch = collate([Episode(image, target, [Shot(image, mask=target)], num_labels=3)])
        >>> against_rest(batch, 2).target.tolist()
        [[[0, 0], [1, 255]]]
    """
    points = batch.points.clone()
    points[:, 3] = points[:, 3] == label
    return replace(
        batch,
        target=_one(batch.target, label),
        masks=_one(batch.masks, label),
        previous=None if batch.previous is None else _one(batch.previous, label),
        points=points,
        num_labels=2,
        labels=(2,) * len(batch),
    )


def k_way(reading: str, network: Network) -> Network:
    """The network for tasks of several positive labels: as it is (``native``), or wrapped (``one_vs_rest``)."""
    return OneVsRest(network) if reading == "one_vs_rest" else network


def _one(labels: UInt8[Tensor, "*shape"], label: int) -> UInt8[Tensor, "*shape"]:
    return torch.where(labels == IGNORE, labels, (labels == label).to(labels.dtype))

"""What a new dot costs, measured on the device that a test runs on (paper, section 5.4)."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from guided_seg.data.sampling.points import restrict
from guided_seg.episode import Batch
from guided_seg.model.network import Network

SHOTS, POINTS = 1, 5
"""The episode that is timed: one annotated image with five dots per label."""

_WARM_UP, _REPETITIONS = 3, 20
_PATIENCE, _LEAST = 20.0, 3  # seconds, after which so few repetitions do, as where every dot trains the network


class UpdateTime(Callback):
    """Times one episode before a test starts; the figures are in ``milliseconds`` then.

    Args:
        episode: gives the episode, as a batch of one with dense masks.
        seed: of its dots.
    """

    def __init__(self, episode: Callable[[], Batch], seed: int) -> None:
        self.episode, self.seed = episode, seed
        self.milliseconds: dict[str, float] = {}

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The network is on its device and in evaluation mode by now."""
        network = pl_module.network
        assert isinstance(network, Network)
        batch = restrict(self.episode(), SHOTS, POINTS, self.seed).to(pl_module.device)
        with trainer.precision_plugin.forward_context():
            self.milliseconds = update_times(network, batch)


def update_times(network: Network, batch: Batch) -> dict[str, float]:
    """Medians in milliseconds over 20 repetitions after a warm-up, on the device that both are on.

    What takes longer than 20 seconds in all is repeated three times or more.

    Args:
        network: in evaluation mode.
        batch: one episode.

    Returns:
        ``encode_ms``, the encoder on the query image, and ``update_ms``, guidance and segmentation of the episode from
        features that are given: what the answer to a new dot takes.
    """
    with torch.inference_mode():
        features = network.encode(batch.images, batch.sizes)
        return {
            "encode_ms": _median_ms(lambda: network.encode(batch.images[:1], batch.sizes[:1]), batch.images),
            "update_ms": _median_ms(lambda: network(batch, features), batch.images),
        }


def _median_ms(work: Callable[[], Any], place: Tensor) -> float:
    times: list[float] = []
    while len(times) < _WARM_UP + _REPETITIONS and (len(times) < _LEAST or sum(times) < _PATIENCE):
        times.append(_seconds(work, place))
    return round(1000 * median(times[_WARM_UP:] or times), 4)


def _seconds(work: Callable[[], Any], place: Tensor) -> float:
    _wait(place)
    began = time.perf_counter()
    work()
    _wait(place)
    return time.perf_counter() - began


def _wait(place: Tensor) -> None:
    """Until the device is done, as a GPU takes orders faster than it works."""
    if place.device.type == "cuda":
        torch.cuda.synchronize(place.device)
    elif place.device.type == "mps":
        torch.mps.synchronize()

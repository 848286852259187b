"""Composed configs and one small batch of every kind of episode."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from omegaconf import DictConfig
from support.commands import compose_run, thin_vgg

from guided_seg.data.sampling.points import PointRange
from guided_seg.data.shapes.shapes import Shapes
from guided_seg.data.source import MODES, Mode
from guided_seg.data.training_episodes import TrainEpisodes
from guided_seg.episode import Batch, Episode, Shot, collate
from guided_seg.settings.episode_options import EpisodeOptions


@pytest.fixture(scope="session")
def composed() -> Callable[..., DictConfig]:
    """The main command's config with some overrides."""
    return compose_run


@pytest.fixture
def narrow_vgg() -> Iterator[None]:
    """For what does not depend on how many channels the thirteen convolutions have."""
    with thin_vgg():
        yield


@pytest.fixture(scope="session")
def odd_batch() -> Batch:
    """Sizes that no stride divides; dots, masks and labels left out; every shot is of the query, as local needs."""
    rng = torch.Generator().manual_seed(0)
    episodes = []
    for height, width in ((45, 70), (37, 51)):
        image = torch.rand(3, height, width, generator=rng)
        target = torch.zeros(height, width, dtype=torch.uint8)
        target[height // 3 :, width // 2 :], target[0] = 1, 255
        dots = torch.tensor([[0, 0, 0], [height - 1, width - 1, 1]])
        support = [
            Shot(image, points=dots[: len(episodes) + 1], is_query=True),
            Shot(image, mask=target, is_query=True),
        ]
        episodes.append(Episode(image, target, support[: len(episodes) + 1]))
    return collate(episodes)


@pytest.fixture(scope="session")
def tasks() -> dict[Mode, Batch]:
    """Two tasks of each mode on the built-in scenes."""
    source = Shapes("train", size=48)
    points, options = PointRange(1, 5), EpisodeOptions(shots=(1, 2))
    streams = {mode: TrainEpisodes(source, {mode: 1.0}, points, options, None, seed=0) for mode in MODES}
    return {mode: collate([stream[(0, index)] for index in range(2)]) for mode, stream in streams.items()}

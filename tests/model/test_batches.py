"""A batch of n episodes has the scores of n batches of one, whatever their shots, dots and sizes (concepts)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.episodes import Grid, Plan, brief, guide, plans, random_image
from torch import Tensor, nn

from guided_seg.data.sampling.points import VARY, PointRange
from guided_seg.data.shapes.shapes import Shapes
from guided_seg.data.source import MODES
from guided_seg.data.training_episodes import TrainEpisodes
from guided_seg.episode import Episode, Shot, collate
from guided_seg.model.backbone import Backbone, Small
from guided_seg.model.backbones.pretrained import TimmBackbone
from guided_seg.model.backbones.vgg import Vgg16
from guided_seg.model.baselines.baseline import ForegroundBackground
from guided_seg.model.conditioning import FeatureFusion
from guided_seg.model.network import GuidedNetwork, Network
from guided_seg.settings.episode_options import EpisodeOptions

CHANNELS = 6


def _seeded(make: type[Backbone], **options: object) -> Backbone:
    torch.manual_seed(0)
    backbone = make(width=CHANNELS, **options)
    for layer in backbone.modules():
        if isinstance(layer, nn.BatchNorm2d):  # as after training, and not the identity
            nn.init.uniform_(layer.running_mean, -0.1, 0.1)
            nn.init.uniform_(layer.running_var, 0.8, 1.2)
    return backbone


def _network(kind: str, backbone: Backbone) -> Network:
    if kind == "foreground_background":
        return ForegroundBackground(backbone, CHANNELS).eval()
    scorer = "joint" if kind == "joint" else "shared"
    conditioning = FeatureFusion(CHANNELS, scorer=scorer, context=1 if kind == "local" else 0)
    return GuidedNetwork(backbone, guide(kind == "local", CHANNELS), conditioning).eval()


@torch.no_grad()
def assert_same(network: Network, episodes: Sequence[Episode]) -> None:
    together = network(collate(episodes))
    for episode, scores in zip(episodes, together, strict=True):
        height, width = episode.target.shape
        alone = network(collate([episode]))[0, :, :height, :width]
        assert torch.allclose(scores[: len(alone), :height, :width], alone, atol=1e-5, rtol=1e-5)
        # a label that others in the batch have, and this episode has not, cannot be its answer
        assert (scores[len(alone) :] == -torch.inf).all()


@pytest.fixture(scope="module")
def small() -> Backbone:
    return _seeded(Small, blocks=2)


@pytest.mark.parametrize("kind", ["global", "joint", "foreground_background"])
@brief
@given(tasks=st.lists(plans(), min_size=2, max_size=4))
def test_episodes_of_any_kind_together(small: Backbone, kind: str, tasks: list[Plan]) -> None:
    assert_same(_network(kind, small), [task.make() for task in tasks])


@brief
@given(tasks=st.lists(plans(same_image=True), min_size=2, max_size=4))
def test_local_guidance_of_any_sizes_together(small: Backbone, tasks: list[Plan]) -> None:
    assert_same(_network("local", small), [task.make() for task in tasks])


@brief
@given(tasks=st.lists(plans(num_labels=4), min_size=2, max_size=3))
def test_more_than_two_labels(small: Backbone, tasks: list[Plan]) -> None:
    assert_same(_network("global", small), [task.make() for task in tasks])


@brief
@given(tasks=st.lists(st.integers(2, 5).flatmap(plans), min_size=2, max_size=4))
def test_episodes_of_any_number_of_labels_together(tasks: list[Plan], small: Backbone) -> None:
    assert_same(_network("global", small), [task.make() for task in tasks])


@pytest.mark.parametrize("vary", VARY)
@brief
@given(first=st.integers(0, 10_000), dense=st.sampled_from([0.0, 0.4]), missing=st.sampled_from([0.0, 0.5]))
def test_sampled_episodes_of_mixed_shots_together(
    vary: str, first: int, dense: float, missing: float, small: Backbone
) -> None:
    """P by episode, shot or label; S and K by episode; dots and masks; labels missing; all modes."""
    source, points = Shapes("train", size=48, min_pixels=40, frames=5), PointRange(1, 9, dense, missing, vary)
    stream = TrainEpisodes(
        source, dict.fromkeys(MODES, 1.0), points, EpisodeOptions(shots=(1, 3), objects=(1, 3)), None, 0
    )
    assert_same(_network("global", small), [stream[(0, first + index)] for index in range(4)])


def test_the_loss_is_finite_where_labels_are_lacking(small: Backbone) -> None:
    rng = torch.Generator().manual_seed(0)
    images = [random_image((20, 30), rng) for _ in range(2)]
    episodes = [
        Episode(i, _half((20, 30)), [Shot(i, mask=_half((20, 30)))], num_labels=k + 2) for k, i in enumerate(images)
    ]
    batch = collate(episodes)
    assert batch.labels == (2, 3)
    network = _network("global", small)
    loss = torch.nn.functional.cross_entropy(network(batch), batch.target.long())
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("make", [Vgg16, TimmBackbone])
def test_other_backbones(make: type[Backbone]) -> None:
    backbone = _seeded(make, weights="random", **({"model": "tf_efficientnet_lite0"} if make is TimmBackbone else {}))
    rng = torch.Generator().manual_seed(0)
    episodes = []
    for size in ((45, 70), (64, 33), (45, 70)):
        query, other = random_image(size, rng), random_image((50, 40), rng)
        support = [Shot(other, points=torch.tensor([[0, 0, 0], [49, 39, 1]])), Shot(query, mask=_half(size))]
        episodes.append(Episode(query, _half(size), support))
    assert_same(_network("global", backbone), episodes)


def test_features_encoded_before_give_the_same_scores(small: Backbone) -> None:
    network, rng = _network("global", small), torch.Generator().manual_seed(0)
    query = random_image((20, 30), rng)
    batch = collate([Episode(query, _half((20, 30)), [Shot(query, mask=_half((20, 30)), is_query=True)])])
    with torch.no_grad():
        assert torch.equal(network(batch), network(batch, network.encode(batch.images, batch.sizes)))


def test_an_image_flagged_as_the_query_is_encoded_once_and_means_the_same(small: Backbone) -> None:
    network, query = _network("global", small), random_image((20, 30), torch.Generator().manual_seed(0))
    shot = Shot(query, points=torch.tensor([[3, 4, 1], [15, 25, 0]]))
    apart, flagged = (
        collate([Episode(query, _half((20, 30)), [replace(shot, is_query=flag)])]) for flag in (False, True)
    )
    assert (len(apart.images), len(flagged.images)) == (2, 1)
    with torch.no_grad():
        assert torch.allclose(network(apart), network(flagged), atol=1e-6)


def test_what_lies_in_the_padding_does_not_matter(small: Backbone) -> None:
    network, rng = _network("global", small), torch.Generator().manual_seed(0)
    images = [random_image(size, rng) for size in ((20, 30), (26, 17))]
    episodes = [Episode(i, _half(i.shape[1:]), [Shot(i, mask=_half(i.shape[1:]), is_query=True)]) for i in images]
    batch = collate(episodes)
    noisy, masks = batch.images.clone(), batch.masks.clone()
    noisy[0, :, 20:], noisy[1, :, :, 17:] = 9.0, -9.0
    masks[0, 20:], masks[1, :, 17:] = 1, 1
    with torch.no_grad():
        clean, dirty = network(batch), network(replace(batch, images=noisy, masks=masks))
    assert torch.equal(clean, dirty)


@pytest.mark.parametrize("form", ["points", "mask"])
@pytest.mark.parametrize("kind", ["global", "local"])
def test_the_network_runs_in_mixed_precision(form: str, kind: str) -> None:
    torch.manual_seed(0)
    backbone = Grid(CHANNELS, 4)
    network, query = _network(kind, backbone), random_image((40, 40), torch.Generator().manual_seed(0))
    points = torch.stack([*torch.meshgrid(torch.arange(40), torch.arange(40), indexing="ij"), _half((40, 40))], -1)
    annotation = {"points": points.flatten(0, 1)} if form == "points" else {"mask": _half((40, 40))}
    batch = collate([Episode(query, _half((40, 40)), [Shot(query, is_query=True, **annotation)])])
    exact, features = network(batch), network.encode(batch.images, batch.sizes)
    with torch.autocast("cpu", torch.bfloat16):
        rounded, guidance = network(batch), network.extract(features, batch)
    assert torch.allclose(rounded.float(), exact, atol=0.1, rtol=0.05)
    # the guidance itself, a sum over up to all pixels, is not rounded
    assert torch.equal(guidance.z, network.extract(features, batch).z)
    rounded.float().square().mean().backward()


def test_an_evaluation_before_training_leaves_no_trace() -> None:
    """What is kept from one call to the next must serve a call that is differentiated."""
    network = _network("global", _seeded(Small, blocks=1)).train()
    query = random_image((21, 31), torch.Generator().manual_seed(0))
    batch = collate([Episode(query, _half((21, 31)), [Shot(query, mask=_half((21, 31)), is_query=True)])])
    with torch.inference_mode():
        network.eval()(batch)
    network.train()(batch).square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def _half(size: Sequence[int]) -> Tensor:
    target = torch.zeros(*size, dtype=torch.uint8)
    target[:, size[1] // 2 :] = 1
    return target

"""Asking again, with the network's own answer as a shot and about a part of the image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.episodes import Grid, Plan, brief, guide, plans

from guided_seg.episode import IGNORE, Episode, Shot, collate
from guided_seg.errors import UserError
from guided_seg.model.conditioning import FeatureFusion
from guided_seg.model.network import GuidedNetwork
from guided_seg.model.refine import SURE, Box, Refined, cut, mirrored, refined, region, with_own_answer
from guided_seg.model.video.previous_frame import certain, likeliest
from guided_seg.model.wrappers.connected import annotated, connected


def _network(local: bool = False) -> GuidedNetwork:
    torch.manual_seed(0)
    network = GuidedNetwork(Grid(), guide(local), FeatureFusion(5)).eval()
    network.backbone.longest, network.backbone.enlarge = 48, True
    return network


def _episode(height: int = 40, width: int = 60, *dots: list[int], same_image: bool = True) -> Episode:
    image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
    points = torch.tensor(dots or [[5, 5, 0], [20, 30, 1]])
    shot = Shot(image if same_image else image.flip(1), points=points, is_query=same_image)
    return Episode(image, torch.zeros(height, width, dtype=torch.uint8), [shot])


@brief
@given(tasks=st.lists(st.integers(2, 3).flatmap(plans), min_size=1, max_size=3))
@torch.no_grad()
def test_again_is_one_more_shot_of_what_is_certain(tasks: list[Plan]) -> None:
    episodes, network = [task.make() for task in tasks], _network()
    found = Refined(network, again=1)(collate(episodes))
    for row, episode in zip(found, episodes, strict=True):
        height, width = episode.target.shape
        sure = certain(network(collate([episode]))[0, :, :height, :width], SURE)
        shown = [*episode.support, Shot(episode.query, mask=sure, is_query=True)]
        alone = network(collate([Episode(episode.query, episode.target, shown, num_labels=episode.num_labels)]))[0]
        own = row[: episode.num_labels, :height, :width]
        assert torch.allclose(own, alone[:, :height, :width], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_batches_are_answered_as_single_episodes_are() -> None:
    network = Refined(_network(), again=1, zoom=2.0, mirror=True)
    episodes = [_episode(), _episode(64, 32, [3, 3, 0], [40, 10, 1]), _episode(same_image=False)]
    for row, episode in zip(network(collate(episodes)), episodes, strict=True):
        height, width = episode.target.shape
        alone = network(collate([episode]))[0]
        assert torch.allclose(row[:, :height, :width], alone[:, :height, :width], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_second_look_is_a_mean_inside_and_negative_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box(10, 20, 30, 50)
    monkeypatch.setattr("guided_seg.model.refine.region", lambda *_: box)
    network, batch = _network(), collate([_episode()])
    once, closer = network(batch)[0], network(collate([cut(batch, 0, box)]))[0]
    found = Refined(network, zoom=2.0)(batch)[0]
    assert torch.allclose(box.of(found), (box.of(once) + closer) / 2)
    outside = torch.ones(40, 60, dtype=torch.bool)
    outside[10:30, 20:50] = False
    assert (found.argmax(0)[outside] == 0).all()
    assert torch.equal(found[0][outside], once[0][outside])


@torch.no_grad()
def test_only_a_query_that_is_annotated_itself_is_looked_at_again() -> None:
    network, batch = _network(), collate([_episode(same_image=False)])
    assert torch.equal(Refined(network, zoom=2.0)(batch), network(batch))
    negative = collate([_episode(40, 60, [5, 5, 0])])
    assert torch.equal(Refined(network, zoom=2.0)(negative), network(negative))


@torch.no_grad()
def test_an_annotated_query_has_a_margin_and_is_connected_each_time_that_it_is_asked_about() -> None:
    network, episodes = _network(), [_episode(), _episode(64, 32, [3, 3, 0], [40, 10, 1])]
    ways = Refined(network, again=1, margin=0.7, connected=True)
    for row, episode in zip(ways(collate(episodes)), episodes, strict=True):
        height, width = episode.target.shape
        batch = collate([episode])
        shown = annotated(batch, 0)
        less = torch.tensor([0.0, 0.7])[:, None, None]
        once = connected(network(batch)[0] - less, shown)
        again = network(with_own_answer(batch, once[None]))[0]
        expected = connected(again - less, shown)
        assert torch.allclose(row[:, :height, :width], expected, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(expected, again, atol=1e-3)


@torch.no_grad()
def test_a_query_that_shows_nothing_of_itself_keeps_its_scores() -> None:
    network = _network()
    for episode in (_episode(same_image=False), _episode(40, 60, [5, 5, 0])):
        batch = collate([episode])
        assert torch.equal(Refined(network, margin=0.7, connected=True)(batch), network(batch))


@torch.no_grad()
def test_features_encoded_before_are_used() -> None:
    network, batch = _network(), collate([_episode(same_image=False)])
    features = network.encode(batch.images, batch.sizes)
    network.encode = lambda *_: pytest.fail("encoded again")  # type: ignore[method-assign]
    Refined(network, again=2, zoom=2.0)(batch, features)


@torch.no_grad()
def test_the_mirrored_image_has_the_mirrored_answer() -> None:
    episode = _episode()
    shot = episode.support[0]
    assert shot.points is not None
    points = torch.tensor([[row, 59 - column, label] for row, column, label in shot.points.tolist()])
    image = episode.query.flip(2)
    other = Episode(image, episode.target, [Shot(image, points=points, is_query=True)])
    network = Refined(_network(), again=1, mirror=True)
    found, turned = network(collate([episode]))[0], network(collate([other]))[0]
    assert torch.allclose(found, turned.flip(2), atol=1e-5)
    assert not torch.allclose(found, network.network(collate([episode]))[0], atol=1e-3)


@brief
@given(tasks=st.lists(st.integers(2, 3).flatmap(plans), min_size=1, max_size=3))
def test_mirrored_twice_is_as_before(tasks: list[Plan]) -> None:
    batch = collate([task.make() for task in tasks])
    again = mirrored(mirrored(batch))
    for name in ("images", "target", "points", "masks"):
        assert torch.equal(getattr(batch, name), getattr(again, name))


def test_padding_shows_nothing() -> None:
    batch = collate([_episode(20, 30, [5, 5, 1]), _episode()])
    scores = torch.tensor([5.0, 0.0])[None, :, None, None].expand(2, 2, 40, 60)
    own = with_own_answer(batch, scores)
    assert own.mask_shot.tolist() == [2, 3]
    assert own.shot_image.tolist()[2:] == own.shot_episode.tolist()[2:] == [0, 1]
    assert (own.masks[0, :20, :30] == 0).all()
    assert (own.masks[0, 20:] == IGNORE).all()
    assert (own.masks[1] == 0).all()


def test_what_is_cut_keeps_dots_and_masks_of_the_part() -> None:
    episode = _episode(40, 60, [5, 5, 0], [20, 30, 1], [29, 49, 0], [30, 49, 1])
    mask = torch.arange(2400).reshape(40, 60).remainder(2).to(torch.uint8)
    other = Shot(torch.rand(3, 12, 14), points=torch.tensor([[11, 13, 1]]))
    shots = [*episode.support, Shot(episode.query, mask=mask, is_query=True), other]
    batch = collate([episode, Episode(episode.query, episode.target, shots, previous=mask)])
    part = cut(batch, 1, Box(10, 20, 30, 50))
    assert torch.equal(part.query, episode.query[:, 10:30, 20:50])
    points, painted, whole = part.support
    assert points.points is not None
    assert points.points.tolist() == [[10, 10, 1], [19, 29, 0]]
    assert points.is_query
    assert painted.mask is not None
    assert torch.equal(painted.mask, mask[10:30, 20:50])
    assert torch.equal(whole.image, other.image)
    assert not whole.is_query
    assert part.previous is not None
    assert torch.equal(part.previous, mask[10:30, 20:50])
    expected = mask.clone()
    expected[20, 30] = expected[30, 49] = 1
    assert torch.equal(annotated(batch, 1), expected)


@given(
    size=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    seed=st.integers(0, 99),
    factor=st.floats(1, 4),
)
def test_the_region_lies_in_the_image_and_holds_what_is_shown(size: tuple[int, int], seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    found, shown = rng.random(size) < 0.4, np.zeros(size, bool)
    for _ in range(2):
        shown[rng.integers(size[0]), rng.integers(size[1])] = True
    box = region(found, shown, factor)
    assert 0 <= box.top < box.bottom <= size[0]
    assert 0 <= box.left < box.right <= size[1]
    inside = np.zeros(size, bool)
    inside[box.top : box.bottom, box.left : box.right] = True
    assert not (shown & ~inside).any()


def test_it_is_the_network_itself_where_nothing_is_asked_again() -> None:
    network = _network()
    assert refined(network) is network
    wrapped = refined(network, again=1)
    assert wrapped.backbone is network.backbone
    assert not wrapped.needs_same_image
    assert wrapped.update_cost == "full"


@pytest.mark.parametrize(
    ("again", "zoom", "words"),
    [
        (-1, None, "again=-1: expected a whole number from 0"),
        (True, None, "again=True: expected a whole number"),
        (0, 0.5, "zoom=0.5: expected a number from 1"),
        (0, "much", "zoom=much: expected a number from 1"),
    ],
)
def test_values_that_cannot_be_are_refused(again: int, zoom: float | None, words: str) -> None:
    with pytest.raises(UserError, match=words):
        refined(_network(), again=again, zoom=zoom)


@pytest.mark.parametrize("way", ["mirror", "connected"])
def test_some_ways_are_true_or_false(way: str) -> None:
    with pytest.raises(UserError, match=f"{way}=2: expected true or false"):
        refined(_network(), **{way: 2})


@pytest.mark.parametrize("margin", [-0.1, True, "much", None])
def test_a_margin_is_a_number(margin: object) -> None:
    with pytest.raises(UserError, match=rf"margin={margin}: expected a number from 0, such as 0\.7"):
        refined(_network(), margin=margin)


def test_networks_that_gain_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="again=1: this network is guided by dots on the query itself alone"):
        refined(_network(local=True), again=1)
    network = _network()
    network.backbone.enlarge = False
    with pytest.raises(UserError, match=r"zoom=2\.0: this network takes images at their own size"):
        refined(network, zoom=2.0)


@given(labels=st.integers(2, 5), seed=st.integers(0, 99))
def test_the_likeliest_label_is_the_first_of_the_highest_scores(labels: int, seed: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 3, (labels, 6, 7)).astype(np.float32)
    np.testing.assert_array_equal(likeliest(list(torch.from_numpy(scores))).numpy(), scores.argmax(0))

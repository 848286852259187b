"""K labels as a union of binary tasks, beside a loop over them, and beside the binary network for K = 2."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.episodes import Grid, Plan, brief, guide, plans, random_image, random_mask
from torch import Tensor

from guided_seg.episode import IGNORE, Batch, Episode, Shot, collate
from guided_seg.model.baselines.baseline import ForegroundBackground
from guided_seg.model.conditioning import FeatureFusion
from guided_seg.model.network import GuidedNetwork, Network
from guided_seg.model.wrappers.one_vs_rest import OneVsRest, against_rest, k_way


def _network(kind: str = "shared") -> Network:
    torch.manual_seed(0)
    backbone = Grid()
    if kind == "baseline":
        return ForegroundBackground(backbone, 5).eval()
    conditioning = FeatureFusion(5, scorer="joint" if kind == "joint" else "shared")
    return GuidedNetwork(backbone, guide(kind == "local"), conditioning).eval()


def _binary(episode: Episode, label: int) -> Episode:
    """The episode in which one label is positive, made shot by shot."""

    def one(values: Tensor) -> Tensor:
        out = (values == label).to(values.dtype)
        out[values == IGNORE] = IGNORE
        return out

    support = []
    for shot in episode.support:
        points = None if shot.points is None else torch.cat([shot.points[:, :2], one(shot.points[:, 2:])], dim=1)
        mask = None if shot.mask is None else one(shot.mask)
        support.append(Shot(shot.image, points, mask, shot.is_query))
    return Episode(episode.query, one(episode.target), support)


def _batch(*labels: int) -> Batch:
    rng = torch.Generator().manual_seed(0)
    episodes = []
    for number in labels:
        image = random_image((16, 20), rng)
        shots = [Shot(image, mask=random_mask((16, 20), range(number), rng), is_query=True)]
        episodes.append(Episode(image, random_mask((16, 20), range(number), rng), shots, num_labels=number))
    return collate(episodes)


@brief
@given(tasks=st.lists(st.integers(2, 4).flatmap(plans), min_size=1, max_size=3))
@torch.no_grad()
def test_the_scores_are_those_of_a_loop_over_binary_tasks(tasks: list[Plan]) -> None:
    episodes, network = [task.make() for task in tasks], _network("joint")
    found = OneVsRest(network)(collate(episodes))
    for row, episode in zip(found, episodes, strict=True):
        height, width = episode.target.shape
        assert (row[0, :height, :width] == 0).all()
        for label in range(1, len(row)):
            if label >= episode.num_labels:
                assert (row[label] == -torch.inf).all()
                continue
            alone = network(collate([_binary(episode, label)]))[0, :, :height, :width]
            assert torch.allclose(row[label, :height, :width], alone[1] - alone[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["shared", "joint", "local", "baseline"])
@brief
@given(task=plans(same_image=True))
@torch.no_grad()
def test_two_labels_are_answered_as_by_the_network_itself(kind: str, task: Plan) -> None:
    batch, network = collate([task.make()]), _network(kind)
    scores = network(batch)
    close = (scores[:, 1] - scores[:, 0]).abs() < 1e-6
    assert (close | (OneVsRest(network)(batch).argmax(1) == scores.argmax(1))).all()


def test_features_encoded_before_are_used() -> None:
    batch, network = _batch(4, 3), OneVsRest(_network())
    with torch.no_grad():
        features = network.encode(batch.images, batch.sizes)
        network.network.encode = lambda *_: pytest.fail("encoded again")  # type: ignore[method-assign]
        network(batch, features)


def test_an_image_is_encoded_once_for_all_labels() -> None:
    batch, network = _batch(5), OneVsRest(_network())
    calls: list[int] = []
    network.backbone.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        network(batch)
    assert len(calls) == 1


def test_a_joint_scorer_of_two_labels_answers_many() -> None:
    batch, network = _batch(4), _network("joint")
    with pytest.raises(ValueError, match="joint scorer was trained for 2 labels and got 4"):
        network(batch)
    with torch.no_grad():
        assert OneVsRest(network)(batch).shape == (1, 4, 16, 20)


def test_the_rest_is_negative_and_what_is_not_annotated_stays_so() -> None:
    batch = _batch(4)
    binary = against_rest(batch, 2)
    assert torch.equal(binary.masks == 1, batch.masks == 2)
    assert torch.equal(binary.masks == IGNORE, batch.masks == IGNORE)
    assert torch.equal(binary.target == IGNORE, batch.target == IGNORE)
    assert (binary.num_labels, binary.labels) == (2, (2,))
    assert torch.equal(batch.masks, _batch(4).masks)  # the batch itself is left as it was


def test_it_is_the_network_in_all_else() -> None:
    network = _network("local")
    wrapped = k_way("one_vs_rest", network)
    assert wrapped.needs_same_image
    assert wrapped.backbone is network.backbone
    assert sum(p.numel() for p in wrapped.parameters()) == sum(p.numel() for p in network.parameters())
    assert k_way("native", network) is network

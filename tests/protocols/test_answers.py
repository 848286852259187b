"""A network's answers: those of the network itself, from images that are encoded once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from support.boxes import Boxes
from support.commands import VGG
from support.evaluations import FINDS, SHAPES, network_of

from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisode, EvaluationEpisodes
from guided_seg.data.frozen.freeze import Plan, freeze
from guided_seg.data.source import MODES, Source
from guided_seg.episode import Episode, collate
from guided_seg.model.features import Features
from guided_seg.model.network import Network
from guided_seg.model.wrappers.one_vs_rest import OneVsRest
from guided_seg.protocols.answers import Answers

# images of many sizes, some of them in several tasks
BOXES = Boxes(
    {f"{name}/{i}": values for name, values in {"a": (1, 2), "b": (2, 3), "c": (3, 1)}.items() for i in range(4)}
)


def items(source: Source, *modes: Any, episodes: int = 3, objects: int = 1) -> Iterator[EvaluationEpisode]:
    frozen = freeze(source, "test", Plan(modes, episodes, shots=2, points=4, objects=objects))
    data = EvaluationEpisodes(source, frozen)
    yield from (data[number] for number in range(len(data)))


def versions(item: EvaluationEpisode) -> Iterator[Episode]:
    for shots in (1, 2):
        for points in (3, None):
            if episode := item.with_setting(shots, points):
                yield episode


@pytest.mark.parametrize(
    ("overrides", "modes"),
    [
        (FINDS, MODES),
        (("decoder=skips",), MODES),
        (("fusion=early_stack",), MODES),
        (("merge=attention", *FINDS), MODES),
        (("locality=set", "conditioning=nearest_neighbors", "conditioning.floor=false"), ["interactive"]),
        (("baseline=fine_tune", "baseline.steps=3", "baseline.lr=0.01"), ["interactive", "semantic"]),
        (("+experiment=revolver_semantic", *VGG), ["semantic"]),
    ],
    ids=["prototypes", "skips", "early", "attention", "local", "fine_tune", "vgg"],
)
def test_an_answer_is_the_network_s_own(overrides: tuple[str, ...], modes: list[str]) -> None:
    network = network_of(*overrides)
    answers = Answers(network)
    for item in items(BOXES, *modes, episodes=1 if VGG[0] in overrides else 2):
        for episode in versions(item):
            _check(answers.segment(item, episode), network, episode)


def _check(found: np.ndarray, network: Network, episode: Episode) -> None:
    """The label is that of the largest score; where two are as large to 1e-5, either."""
    assert found.dtype == np.uint8
    assert found.shape == tuple(episode.target.shape)
    with torch.inference_mode():
        scores = network(collate([episode]))[0, :, : found.shape[0], : found.shape[1]]
    chosen = scores.gather(0, torch.from_numpy(found).long()[None])[0]
    assert (chosen >= scores.amax(0) - 1e-5).all()
    assert (torch.from_numpy(found) == scores.argmax(0)).float().mean() > 0.999


@pytest.mark.parametrize("objects", [2, 3])
def test_several_labels_are_answered_natively_and_one_by_one(objects: int) -> None:
    network = network_of(*FINDS)
    for reading in (network, OneVsRest(network)):
        answers, seen = Answers(reading), set()
        for item in items(BOXES, *MODES, objects=objects):
            for episode in versions(item):
                found = answers.segment(item, episode)
                _check(found, reading, episode)
                seen |= set(found.ravel().tolist())
        assert len(seen) > 2


def test_a_query_that_is_annotated_as_any_other_image() -> None:
    """`EvaluationEpisode.with_setting` leaves it out, but a protocol may ask otherwise."""
    network = network_of(*FINDS)
    item = next(q for q in items(BOXES, "video", episodes=12) if q.with_setting(2, 1) is None)
    _check(Answers(network).segment(item, item.dense), network, item.dense)


class Counted:
    """Counts the images that a network encodes."""

    def __init__(self, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
        self.images: Counter[bytes] = Counter()
        encode = network.encode

        def counting(images: torch.Tensor, sizes: torch.Tensor) -> Features:
            self.images.update(image.numpy().tobytes() for image in images)
            return encode(images, sizes)

        monkeypatch.setattr(network, "encode", counting)


@pytest.mark.parametrize("mode", MODES)
def test_every_image_is_encoded_once(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(*FINDS)
    counted, answers = Counted(network, monkeypatch), Answers(network)
    images: set[Any] = set()
    for item in items(BOXES, mode, episodes=8):
        for episode in versions(item):
            answers.segment(item, episode)
            shown = item.frozen.support[: len(episode.support)]
            images |= {item.frozen.query.key, *(view.key for view in shown)}
    assert len(counted.images) == len(images)
    assert set(counted.images.values()) == {1}


def test_no_more_images_are_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(*FINDS)
    expected = [Answers(network).segment(q, q.dense) for q in items(BOXES, "semantic")]
    counted, answers = Counted(network, monkeypatch), Answers(network, cache_mb=0)
    for _ in range(2):
        found = [answers.segment(q, q.dense) for q in items(BOXES, "semantic")]
        assert all(map(np.array_equal, found, expected))
    assert min(counted.images.values()) > 1


def test_an_image_at_another_size_is_another_image() -> None:
    network = network_of(*FINDS)
    frozen = freeze(SHAPES, "test", Plan(["semantic"], 1, points=3))
    answers = Answers(network)
    for size in (None, (60, 33), None, (33, 60)):
        item = EvaluationEpisodes(SHAPES, frozen, size)[0]
        _check(answers.segment(item, item.dense), network, item.dense)


def test_an_answer_does_not_depend_on_those_before() -> None:
    network = network_of(*FINDS)
    asked = list(items(BOXES, *MODES))
    warm = Answers(network)
    for item in asked:
        warm.segment(item, item.dense)
    for item in reversed(asked):
        for episode in versions(item):
            assert np.array_equal(warm.segment(item, episode), Answers(network).segment(item, episode))

"""Frames of several sizes in one video: what is remembered is resized, in sessions and protocols alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from support.evaluations import SHAPES
from support.networks import network, same_labels
from torch import Tensor

from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisode, EvaluationEpisodes
from guided_seg.data.frozen.freeze import Plan, freeze
from guided_seg.episode import Episode, Shot, collate
from guided_seg.model.video.motion import Places, moved, within_reach
from guided_seg.model.video.previous_frame import Memory, certain, reads_map, reads_shot
from guided_seg.predict.predictor import ByLabel, Predictor, Whole
from guided_seg.protocols.answers import Answers
from guided_seg.session import Session, answering

SIZES = {
    "larger": [(32, 40), (48, 64)],
    "smaller": [(48, 64), (32, 40)],
    "of every size": [(24, 32), (24, 32), (32, 24), (1, 1), (9, 80), (24, 32)],
}
MEMORIES: tuple[Memory, ...] = ("map", "moved", "shot", "both")
DOTS = [(4, 4, 1), (20, 25, 0)]


def frames(sizes: list[tuple[int, int]]) -> list[np.ndarray]:
    """A bright square on noise, that moves."""
    rng = np.random.default_rng(0)
    made = []
    for index, size in enumerate(sizes):
        frame = cv2.GaussianBlur(rng.integers(0, 90, (*size, 3), np.uint8), (0, 0), 2)
        frame[2:14, 2 + index : 14 + index] = (250, 200, 30)
        made.append(np.asarray(frame, np.uint8))
    return made


def tensor(frame: np.ndarray) -> Tensor:
    return torch.from_numpy(frame).permute(2, 0, 1) / 255


def expected(memory: Memory, video: list[np.ndarray]) -> Iterator[tuple[Tensor, np.ndarray | None]]:
    """The rule in the plainest way: scores of each frame, and where motion says that the labels are."""
    first = Shot(tensor(video[0]), points=torch.tensor(DOTS))
    before: tuple[np.ndarray, np.ndarray, Tensor] | None = None
    for frame in video:
        size = frame.shape[1::-1]
        shots, told = [first], None
        if before is not None and reads_map(memory):
            told = cv2.resize(before[1], size, interpolation=cv2.INTER_NEAREST_EXACT)
            if memory == "moved":
                told = moved(told, np.asarray(cv2.resize(before[0], size, interpolation=cv2.INTER_AREA)), frame)
        if before is not None and reads_shot(memory):
            shots.append(Shot(tensor(before[0]), mask=before[2]))
        blank = torch.zeros(frame.shape[:2], dtype=torch.uint8)
        previous = None if told is None else torch.from_numpy(np.asarray(told, np.uint8))
        with torch.inference_mode():
            batch = collate([Episode(tensor(frame), blank, shots, previous=previous)])
            scores = network("fused")(batch)[0, :, : frame.shape[0], : frame.shape[1]]
        labels = scores.argmax(0).to(torch.uint8).numpy()
        if memory == "moved" and told is not None:
            labels = within_reach(labels, told)
        yield scores, told if memory == "moved" else None
        before = frame, labels, certain(scores)


@pytest.mark.parametrize("kind", [ByLabel, Whole])
@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("sizes", SIZES)
def test_a_session_resizes_what_it_remembers(
    sizes: str, memory: Memory, kind: type[Predictor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "predictor_for", kind)
    video = frames(SIZES[sizes])
    session = Session(network("fused"))
    session.add_label("square")
    session.add_image("0", video[0])
    for row, column, label in DOTS:
        session.dot("0", row, column, session.labels[label])
    session.add_video("v", video)
    for (index, labels), (scores, told) in zip(
        session.segment_video("v", memory=memory), expected(memory, video), strict=True
    ):
        assert labels.shape == video[index].shape[:2]
        if told is None:
            assert same_labels(labels, scores)
        else:
            found = within_reach(scores.argmax(0).to(torch.uint8).numpy(), told)
            assert (labels != found).mean() < 0.1  # a pixel whose two labels score alike can decide on a region


@pytest.fixture(scope="module")
def item() -> EvaluationEpisode:
    return EvaluationEpisodes(SHAPES, freeze(SHAPES, "test", Plan(["video"], 1, shots=1, points=2)))[0]


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("sizes", SIZES)
def test_a_protocol_resizes_what_it_remembers(sizes: str, memory: Memory, item: EvaluationEpisode) -> None:
    """The shown frame has the first size, the query the last."""
    first, last = frames(SIZES[sizes])[0], frames(SIZES[sizes])[-1]
    mask = torch.zeros(first.shape[:2], dtype=torch.uint8)
    mask[2:14, 2:14] = 1
    blank = torch.zeros(last.shape[:2], dtype=torch.uint8)
    episode = Episode(tensor(last), blank, [Shot(tensor(first), mask=mask)])
    found = Answers(network("fused")).remember(item, episode, "s", memory)
    places = Places(mask.numpy(), first if memory == "moved" else None).at(last) if reads_map(memory) else None
    if places:
        assert places.labels.shape == last.shape[:2]
        episode = replace(episode, previous=torch.from_numpy(places.labels))
    told = Answers(network("fused")).segment(item, episode)
    assert (found != (places.keep(told) if places else told)).mean() < 0.1  # optical flow rounds differently at times


@pytest.mark.parametrize("memory", ["map", "moved"])
def test_a_map_of_another_size_is_told_to_a_protocol_s_network(
    memory: Memory, item: EvaluationEpisode, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[np.ndarray | None] = []
    maps = Predictor.maps

    def listening(self: Predictor, *given: Any) -> Any:
        asked.append(given[3])
        return maps(self, *given)

    monkeypatch.setattr(Predictor, "maps", listening)
    small, large = frames([(24, 32), (48, 64)])
    mask = torch.zeros(24, 32, dtype=torch.uint8)
    mask[2:14, 2:14] = 1
    episode = Episode(tensor(large), torch.zeros(48, 64, dtype=torch.uint8), [Shot(tensor(small), mask=mask)])
    Answers(network("fused")).remember(item, episode, "s", memory)
    assert asked[-1] is not None
    assert asked[-1].shape == (48, 64)
    if memory == "map":
        assert np.array_equal(asked[-1], mask.repeat_interleave(2, 0).repeat_interleave(2, 1).numpy())


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (8, 100), (14, 100), (100, 8), (15, 15), (60, 2000)])
def test_motion_is_followed_in_frames_of_any_shape(size: tuple[int, int]) -> None:
    """Narrow ones crashed the process."""
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    labels = np.ones(size, np.uint8)
    assert np.array_equal(moved(labels, frame, np.roll(frame, 2, 1)), labels)

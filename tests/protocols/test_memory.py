"""Videos answered with the answer to the frame before at hand: what is remembered, and that nothing else matters."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from support.boxes import Boxes
from support.evaluations import SHAPES, files, network_of, score, write_checkpoint
from torch import Tensor

from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisode, EvaluationEpisodes
from guided_seg.data.frozen.freeze import freeze
from guided_seg.episode import IGNORE, Episode, Shot, collate
from guided_seg.errors import UserError
from guided_seg.model.features import Features
from guided_seg.model.network import Network
from guided_seg.model.video.motion import moved, within_reach
from guided_seg.model.video.previous_frame import check_memory
from guided_seg.predict.predictor import Labels, Maps, Predictor
from guided_seg.predict.support import Annotated, Image
from guided_seg.protocols.answers import Answers
from guided_seg.protocols.protocol import Masks

BOXES = Boxes({f"{name}/{i}": values for name, values in {"a": (1, 2), "b": (2, 3)}.items() for i in range(4)})
FRAMES = 4
"""Of each video of `SHAPES`, beside the one that is shown."""
FUSED = ("+experiment=fused",)


def masks(**values: Any) -> Masks:
    values = {"modes": ["video"], "shots": [1], "points": [2, "dense"], "figures": ["J"], "memory": "map", **values}
    return Masks("A rule.", **values)


def items(protocol: Masks) -> list[EvaluationEpisode]:
    data = EvaluationEpisodes(SHAPES, freeze(SHAPES, "test", protocol.plan))
    return [data[number] for number in range(2 * FRAMES)]


class Asked(NamedTuple):
    """What the predictor was asked."""

    query: Tensor
    support: list[tuple[Tensor, Tensor | None]]  # pixels, and the mask where it is shown by one
    own: bool  # the query is in its own support
    previous: Labels | None


class Counting(Predictor):
    """The n-th answer says n in its first row."""

    def __init__(self) -> None:
        super().__init__(network_of(), lambda _: [], 1)
        self.asked: list[Asked] = []

    def encode_all(self, images: Sequence[Image]) -> None:
        """There is nothing to encode."""

    def features(self, image: Image) -> Features:
        sizes = torch.tensor([image.size])
        return Features(torch.zeros(1, 1, 1, 1), sizes, sizes)

    def _maps(self, query: Image, support: Sequence[Annotated], num_labels: int, previous: Labels | None) -> Maps:
        shown = [(each.image.read(), each.annotation()[1]) for each in support]
        own = any(each.image.key == query.key for each in support)
        self.asked.append(Asked(query.read(), shown, own, previous))
        labels = torch.zeros(query.size)
        width = labels.shape[1] - 1
        labels[0, 1:] = torch.tensor([int(bit) for bit in f"{len(self.asked):0{width}b}"])
        labels[1] = 0.1  # of which it is not certain
        return [torch.zeros_like(labels), 20 * labels - 2]


def measured(protocol: Masks) -> list[Asked]:
    """What is asked by all items of the protocol."""
    answers, counting = Answers(network_of()), Counting()
    answers._predictor = counting
    for item in items(protocol):
        protocol.measure(item, answers)
    return counting.asked


def number(previous: Labels | Tensor | None) -> int:
    assert previous is not None
    return int("".join(map(str, previous[0, 1:].tolist())), 2)


def test_each_frame_has_the_answer_to_the_one_before_and_the_first_that_to_what_was_shown() -> None:
    asked = measured(masks())
    # a video: the frame that dots are on, then each frame by dots and by its mask
    video = asked[: 1 + 2 * FRAMES]
    assert video[0].own
    assert torch.equal(video[0].query, video[1].support[0][0])
    assert [number(each.previous) for each in (video[1], *video[3:])] == list(range(1, 2 * FRAMES))
    previous, mask = video[2].previous, video[2].support[0][1]
    assert previous is not None
    assert mask is not None
    assert np.array_equal(previous, mask.numpy())
    assert [i for i, each in enumerate(asked) if each.own] == [0, 1 + 2 * FRAMES]


def test_what_is_certain_of_the_frame_before_is_one_more_shot() -> None:
    asked = measured(masks(memory="shot"))
    dots_on, by_dots, by_mask, *later = asked[: 1 + 2 * FRAMES]
    assert len(dots_on.support) == len(by_mask.support) == 1  # the mask of the annotated frame is there already
    assert torch.equal(by_dots.support[1][0], dots_on.query)
    for before, each in zip([by_dots, by_mask, *later], later, strict=False):
        image, mask = each.support[1]
        assert each.previous is None
        assert torch.equal(image, before.query)
        assert mask is not None
        assert number(mask) == 1 + next(i for i, other in enumerate(asked) if other is before)
        assert (mask[1] == IGNORE).all()
        assert (mask[2:] == 0).all()


def test_the_answer_to_the_frame_before_moves_along() -> None:
    item, episode = some_question()
    network = balanced(network_of(*FUSED))
    labels = np.zeros(episode.query.shape[1:], np.uint8)
    labels[2:9, 3:11] = 1
    episode = replace(episode, support=[Shot(episode.query.roll(3, 2), mask=torch.from_numpy(labels))])
    found = Answers(network).remember(item, episode, "s", "moved")
    frames = [
        (image.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
        for image in (episode.support[0].image, episode.query)
    ]
    expected = moved(labels, *frames)
    told = Answers(network).segment(item, replace(episode, previous=torch.from_numpy(expected)))
    assert np.array_equal(found, within_reach(told, expected))


def test_a_memory_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match="memory=all: expected one of none, map, moved, shot, both"):
        check_memory("all")


def test_frames_of_a_video_are_tied_and_nothing_else_is() -> None:
    frozen = freeze(BOXES, "test", masks(seeds=[0, 1]).plan).episodes
    assert masks().tied(frozen) == [range(start, start + 3) for start in range(0, 24, 3)]
    assert masks(memory="none").tied(frozen) == [range(i, i + 1) for i in range(24)]


def test_memory_is_of_videos() -> None:
    with pytest.raises(UserError, match=r"memory=map is for frames of videos .* choose modes=\[video\]"):
        masks(modes=["video", "semantic"])


def balanced(network: Network) -> Network:
    """With about as many pixels found as not, or an untrained network would give one answer to everything."""
    _, episode = some_question()
    with torch.no_grad():
        scores = network(collate([episode]))[0, 1]
        network.decoder.score.bias -= scores.median()
    return network


def some_question() -> tuple[EvaluationEpisode, Episode]:
    data = EvaluationEpisodes(SHAPES, freeze(SHAPES, "test", masks().plan))
    item = data[1]
    episode = item.with_setting(1, 2)
    assert episode is not None
    return item, episode


def test_memory_changes_what_a_network_with_it_answers() -> None:
    item, episode = some_question()
    network = balanced(network_of(*FUSED))
    remembered = Answers(network).remember(item, episode, "s", "map")
    assert not np.array_equal(remembered, Answers(network).segment(item, episode))


def test_a_shot_of_the_frame_before_is_for_any_network() -> None:
    item, episode = some_question()
    network = network_of()
    plain, remembered = (Answers(network).remember(item, episode, "s", kind) for kind in ("map", "shot"))
    assert np.array_equal(plain, Answers(network).segment(item, episode))
    assert not np.array_equal(remembered, plain)


def test_where_an_evaluation_was_stopped_changes_nothing(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "best.ckpt", *FUSED)
    content = torch.load(checkpoint, weights_only=True)
    network = network_of(*FUSED)
    state = {name.removeprefix("network."): value for name, value in content["state_dict"].items()}
    network.load_state_dict(state)
    content["state_dict"]["network.decoder.score.bias"] = balanced(network).decoder.score.bias.detach()
    torch.save(content, checkpoint)
    asked = ("protocol.davis2016_memory.episodes=4",)
    whole = score(checkpoint, tmp_path / "whole", ["davis2016_memory"], *asked)
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    records = tmp_path / "stopped" / "records_davis2016_memory.jsonl"
    lines = records.read_text().splitlines(keepends=True)
    records.unlink()
    records.with_name("records_davis2016_memory.0.jsonl").write_text("".join(lines[:3]))  # in the middle of a video
    assert score(checkpoint, tmp_path / "stopped", ["davis2016_memory"], *asked) == whole
    assert files(tmp_path / "stopped") == files(tmp_path / "whole")

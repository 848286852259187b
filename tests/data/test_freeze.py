"""Choosing and freezing episodes: which, how often, with which dots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.boxes import Boxes
from support.restricted import fewer_than, restrict

from guided_seg.data.frozen.episode_file import FrozenEpisode, FrozenView, mark_of
from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisodes
from guided_seg.data.frozen.freeze import Plan, freeze, select
from guided_seg.data.shapes.shapes import Shapes
from guided_seg.data.source import MODES, Mode, Sample, Source
from guided_seg.episode import Batch, collate
from guided_seg.errors import BrokenFile, DataError

SHAPES = Shapes("test", size=48, min_pixels=40, tasks=16, frames=5)
BOXES = Boxes(
    {f"{name}/{i}": values for name, values in {"a": (1, 2), "b": (2, 3), "c": (1, 3)}.items() for i in range(4)}
)


Equal = Callable[[object, object], bool]


def frozen(source: Source, plan: Plan) -> tuple[FrozenEpisode, ...]:
    return freeze(source, "test", plan).episodes


def shown(batch: Batch) -> list[tuple[torch.Tensor, ...]]:
    """The query and each shot of a batch of one, without padding."""
    height, width = batch.sizes[0].tolist()
    found: list[tuple[torch.Tensor, ...]] = [(batch.images[0, :, :height, :width], batch.target[0, :height, :width])]
    for shot, row in enumerate(batch.shot_image.tolist()):
        height, width = batch.sizes[row].tolist()
        masks = batch.masks[batch.mask_shot == shot][:, :height, :width]
        dots = batch.points[batch.points[:, 0] == shot]
        found.append((batch.images[row, :, :height, :width], masks, dots))
    return found


@pytest.mark.parametrize("objects", [1, 3])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("source", [SHAPES, BOXES], ids=["shapes", "boxes"])
def test_dots_are_the_same_frozen_or_drawn_on_loading_or_drawn_from_the_masks(
    equal: Equal, source: Source, mode: Mode, objects: int
) -> None:
    """Images, targets, masks and dots, for every (S, P), at another seed than 0 as well."""
    for seed in (0, 3):
        plan = Plan([mode], 7, seeds=[seed], shots=3, points=5, objects=objects)
        ways = [EvaluationEpisodes(source, choose(source, "test", plan)) for choose in (freeze, select)]
        assert len(ways[0]) == len(ways[1]) == 7
        assert not ways[1].frozen.images
        for number in range(7):
            one, other = (way[number] for way in ways)
            assert one.frozen.groups == one.dense.meta["groups"]
            assert equal(one.dense, other.dense)
            for shots, points in ((1, 1), (1, 4), (2, 5), (3, None)):
                episode, again = one.with_setting(shots, points), other.with_setting(shots, points)
                assert (episode is None) == (again is None) == one.frozen.shows_query(shots)
                if episode is not None and again is not None:
                    assert equal(shown(collate([episode])), shown(collate([again])))
                    expected = restrict(collate([one.dense]), shots, points, seed)
                    assert equal(shown(collate([episode])), shown(expected))
                    assert one.fewer_than(shots, points) == fewer_than(expected, shots, points)[0]


def prefix(view: FrozenView, points: int) -> FrozenView:
    kept = [dot for label in (0, 1) for dot in [d for d in view.dots if d[2] == label][:points]]
    return FrozenView(view.key, view.values, tuple(kept))


@pytest.mark.parametrize("draw", ["spread", "random"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("source", [SHAPES, BOXES], ids=["shapes", "boxes"])
def test_fewer_shots_and_dots_are_the_first_of_more(source: Source, mode: Mode, draw: str) -> None:
    few, many = (frozen(source, Plan([mode], 6, draw, seeds=[0, 1], shots=s, points=p)) for s, p in ((1, 2), (3, 7)))
    for small, large in zip(few, many, strict=True):
        assert small.query == large.query
        assert small.groups == large.groups
        assert len(small.support) == 1
        assert [prefix(view, 2) for view in large.support[:1]] == list(small.support)


@pytest.mark.parametrize("draw", ["spread", "random"])
def test_the_same_plan_is_the_same_file_and_another_seed_another(draw: str) -> None:
    plan = Plan(MODES, 4, draw, shots=2, points=3)
    first, second, other = (freeze(SHAPES, "test", replace(plan, seeds=[seed])) for seed in (0, 0, 1))
    assert first == second
    assert first.checksum == second.checksum
    supports = [[episode.support for episode in file.episodes] for file in (first, other)]
    assert all(ours != theirs for ours, theirs in zip(*supports, strict=True))
    queries = [[episode.query.key for episode in frozen(BOXES, replace(plan, seeds=[seed]))] for seed in (0, 1)]
    # spread evenly, the queries are the same
    assert (queries[0] == queries[1]) == (draw == "spread")


@pytest.mark.parametrize("draw", ["spread", "random"])
def test_seeds_are_as_many_draws_one_after_the_other(draw: str) -> None:
    def draws(seeds: Sequence[int]) -> tuple[FrozenEpisode, ...]:
        return frozen(BOXES, Plan(["semantic", "video"], 5, draw, seeds=seeds, shots=2, points=2))

    both, parts = draws([4, 9]), {seed: draws([seed]) for seed in (4, 9)}
    assert both == (*parts[4][:5], *parts[9][:5], *parts[4][5:], *parts[9][5:])
    assert [episode.seed for episode in both] == [4] * 5 + [9] * 5 + [4] * 5 + [9] * 5


def test_every_class_is_drawn_alike_and_every_image_of_it() -> None:
    rare, common = ([f"{name}{i}" for i in range(number)] for name, number in (("r", 3), ("c", 30)))
    source = Boxes({**dict.fromkeys(rare, (1,)), **dict.fromkeys(common, (2,)), "both": (3, 4), "too": (3, 4)})
    number = 1200
    episodes = frozen(source, Plan(["semantic"], number, "random", shots=1))
    drawn = Counter(episode.groups for episode in episodes)
    assert set(drawn) == {(f"class {value}",) for value in (1, 2, 3, 4)}
    assert all(abs(count - number / 4) < 4 * (number * 3 / 16) ** 0.5 for count in drawn.values())
    for names in (rare, common):
        share = number / 4 / len(names)
        queries = Counter(episode.query.key for episode in episodes if episode.query.key in names)
        assert set(queries) == set(names)
        assert all(abs(count - share) < 4.5 * share**0.5 for count in queries.values())
    assert all(episode.query.key != episode.support[0].key for episode in episodes)
    again = [episode.support[0].key for episode in episodes if episode.query.key == "r0"]
    assert set(again) == {"r1", "r2"}


# object 2 of a appears late, and object 1 of b leaves; c has another number of frames
A = {"a/0": (1,), "a/1": (1, 2), "a/2": (1, 2), "a/3": (1, 2)}
B: dict[str, tuple[int, ...]] = {"b/0": (1,), "b/1": (1,), "b/2": ()}
VIDEOS = {**A, **B, **{f"c/{i}": (1, 2) for i in range(6)}}


@pytest.mark.parametrize("objects", [1, 2])
@pytest.mark.parametrize(("draw", "episodes"), [("spread", None), ("spread", 5), ("spread", 2), ("random", 40)])
def test_the_last_frame_of_each_object_is_known(draw: str, episodes: int | None, objects: int) -> None:
    found = frozen(Boxes(VIDEOS), Plan(["video"], episodes, draw, objects=objects))
    assert [episode.query.key for episode in found if episode.last] == [
        episode.query.key for episode in found if episode.query.key in ("a/3", "b/2", "c/5")
    ]
    if episodes is None:
        assert {episode.query.key for episode in found if episode.last} == {"a/3", "b/2", "c/5"}


def test_images_have_no_last_frame() -> None:
    for draw in ("spread", "random"):
        assert not any(episode.last for episode in frozen(BOXES, Plan(["interactive", "semantic"], 12, draw)))


def test_images_are_recognised_and_loaded_once_where_there_are_no_dots() -> None:
    source = Boxes(BOXES.images)
    file = freeze(source, "test", Plan(["interactive", "semantic"], 8, shots=3))
    assert set(source.loads.values()) == {1}
    assert set(file.images) == {view.key for episode in file.episodes for view in (episode.query, *episode.support)}
    assert all(mark == mark_of(source.load(key)) for key, mark in file.images.items())
    assert not any(view.dots for episode in file.episodes for view in episode.support)


def test_the_rule_is_on_file_with_the_modes_that_there_are() -> None:
    scenes = Boxes({"x": (1,), "y": (1,)})
    file = freeze(scenes, "val", Plan(MODES, None, seeds=[2], shots=4, points=1))
    assert (file.source, file.split) == ("boxes", "val")
    modes = ["interactive", "semantic"]
    counts = {"episodes": None, "shots": 4, "points": 1, "objects": 1}
    assert file.rule == {"modes": modes, "draw": "spread", "seeds": [2], **counts}
    with pytest.raises(DataError, match="'boxes' has no tasks for mode=video; it supports interactive, semantic"):
        freeze(scenes, "val", Plan(["video"]))


class Broken(Boxes):
    """One image cannot be read."""

    def load(self, key: Any) -> Sample:
        if key == "a/0":
            raise BrokenFile(f"{key} is cut off")
        return super().load(key)


def test_an_episode_with_a_broken_image_is_left_out_and_the_others_stay(caplog: pytest.LogCaptureFixture) -> None:
    plan = Plan(["interactive", "semantic"], None, shots=2, points=3)
    whole, left = frozen(BOXES, plan), freeze(Broken(BOXES.images), "test", plan, max_broken=0.5)
    kept = [e for e in whole if "a/0" not in {view.key for view in (e.query, *e.support)}]
    assert list(left.episodes) == kept
    assert "a/0" not in left.images
    assert sum(left.left_out.values()) == len(whole) - len(kept)
    assert left.left_out["interactive"] == 2
    assert caplog.messages == ["Skipped a broken file: a/0 is cut off"]


def test_too_many_broken_images_are_refused() -> None:
    sentence = r"\d of \d+ episodes met a broken file \(1 files\), more than the limit of 1.0%"
    with pytest.raises(DataError, match=sentence):
        freeze(Broken(BOXES.images), "test", Plan(["interactive"]))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"draw": "randm"}, "draw=randm: expected spread or random"),
        ({"draw": "random"}, "draw=random needs a number of episodes"),
        ({"modes": []}, r"modes=\[\], seeds=\[0\]: expected at least one of each"),
        ({"seeds": []}, r"seeds=\[\]: expected at least one of each"),
        ({"seeds": [0, -1]}, r"seeds=\[0, -1\]: expected whole numbers from 0"),
        ({"episodes": 0}, "episodes=0: expected a whole number from 1, or null for all"),
        ({"shots": 0}, "shots=0: expected a whole number from 1"),
        ({"points": -1}, "points=-1: expected a whole number from 0"),
        ({"objects": 0}, "objects=0: expected a whole number from 1"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        Plan(**{"modes": ["video"], **values})

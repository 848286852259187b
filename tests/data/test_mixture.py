"""Several sources as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.archives import davis_tree, voc_tree
from support.commands import compose_run

from guided_seg.composition.build import build_data
from guided_seg.data.frozen.episode_file import FrozenEpisodes
from guided_seg.data.frozen.freeze import Plan, freeze, select
from guided_seg.data.leaks import check_unseen
from guided_seg.data.sampling.points import PointRange
from guided_seg.data.sampling.transforms import Augment
from guided_seg.data.source import SPLITS, Mode
from guided_seg.data.sources.davis import Davis
from guided_seg.data.sources.folder import Folder
from guided_seg.data.sources.mixture import Mixture, shares
from guided_seg.data.sources.voc import Voc
from guided_seg.data.training_episodes import TrainEpisodes
from guided_seg.errors import DataError
from guided_seg.settings.episode_options import EpisodeOptions

VOC: dict[str, float] = {"interactive": 1, "semantic": 1, "video": 1}
DAVIS: dict[str, float] = {"interactive": 3, "video": 3}
WITHOUT = ("~data.sources.coco", "~data.sources.regions")
"""Overrides that leave VOC and DAVIS."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    voc_tree(tmp_path / "voc2012")
    davis_tree(tmp_path / "davis2016")
    return tmp_path


def mixture(
    root: Path, split: str, voc: Mapping[str, float] = VOC, davis: Mapping[str, float] = DAVIS, **options: Any
) -> Mixture:
    sources = {
        "voc": {"source": partial(Voc, root / "voc2012"), "weights": voc},
        "davis": {"source": partial(Davis, root / "davis2016"), "weights": davis, "name": "passed over"},
    }
    return Mixture(split, sources, **options)


class TestTraining:
    @pytest.mark.parametrize(
        ("mode", "expected"),
        [
            ("interactive", {"voc": 0.25, "davis": 0.75}),
            ("semantic", {"voc": 1}),
            ("video", {"voc": 0.25, "davis": 0.75}),
        ],
    )
    def test_parts_are_drawn_by_their_weights(self, root: Path, mode: Mode, expected: dict[str, float]) -> None:
        source, rng = mixture(root, "train"), np.random.default_rng(0)
        tasks = [source.sample(mode, 1, rng) for _ in range(400)]
        found = Counter(task.query.key[0] for task in tasks)
        assert {name: number / 400 for name, number in found.items()} == pytest.approx(expected, abs=0.08)
        for task in tasks[:20]:
            views = (task.query, *task.support)
            assert {view.key[0] for view in views} == {view.meta["part"] for view in views} == {task.query.key[0]}
            assert all(group.startswith(f"{task.query.key[0]}/") for group in task.groups)
            for view in views:
                own = source.parts[view.key[0]].load(view.key[1])
                assert np.array_equal(source.load(view.key).labels, own.labels)
                assert set(view.values) & set(np.unique(own.labels))

    def test_a_task_is_a_function_of_the_generator(self, root: Path) -> None:
        source, again = mixture(root, "train"), mixture(root, "train")
        for seed in range(20):
            first, second = (one.sample("video", 2, np.random.default_rng(seed), 2) for one in (source, again))
            assert first == second

    def test_stills_move_in_training(self, root: Path) -> None:
        source = mixture(root, "train", davis={})
        assert source.modes == ("interactive", "semantic", "video")
        task = source.sample("video", 2, np.random.default_rng(0))
        assert task.support == (task.query, task.query)
        data = TrainEpisodes(
            source, {"video": 1.0}, PointRange(dense=1.0), EpisodeOptions(shots=(2, 2)), Augment(48), 0
        )
        episode = data[(0, 0)]
        images = [episode.query, *(shot.image for shot in episode.support)]
        assert not any(torch.equal(images[i], images[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
        assert (episode.target == 1).any()
        assert all((shot.mask == 1).any() and not shot.is_query for shot in episode.support)

    @pytest.mark.parametrize("split", ["val", "test"])
    def test_and_nowhere_else(self, root: Path, split: str) -> None:
        assert mixture(root, split, davis={}).modes == ("interactive", "semantic")
        source = mixture(root, split)
        tasks = [source.fixed("video", i, 1, np.random.default_rng(0)) for i in range(source.count("video"))]
        assert {task.query.key[0] for task in tasks} == {"davis"}
        assert mixture(root, "train", davis={}).count("video") == 0

    def test_several_labels(self, root: Path) -> None:
        source = mixture(root, "train")
        # each image of VOC's train shows one object, each frame two
        assert [source.most(mode) for mode in source.modes] == [2, 2, 2]
        assert [mixture(root, "train", davis={}).most(mode) for mode in ("interactive", "video")] == [1, 1]


class TestEvaluation:
    @pytest.mark.parametrize("split", SPLITS)
    def test_the_fixed_tasks_are_those_of_the_parts(self, root: Path, split: str) -> None:
        source = mixture(root, split, voc={**VOC, "video": 0})
        for mode in source.modes:
            expected = []
            for name, part in source.parts.items():
                if mode in part.modes:
                    fixed = (part.fixed(mode, i, 1, np.random.default_rng(i)) for i in range(part.count(mode)))
                    expected += [((name, task.query.key), f"{name}/{task.group}") for task in fixed]
            found = [source.fixed(mode, i, 1, np.random.default_rng(0)) for i in range(source.count(mode))]
            assert [(task.query.key, task.group) for task in found] == expected

    def test_a_small_part_is_not_lost(self, root: Path) -> None:
        source = mixture(root, "val", davis={"interactive": 0.01})
        episodes = select(source, "val", Plan(["interactive"], 2)).episodes
        assert [episode.query.key[0] for episode in episodes] == ["voc", "davis"]

    def test_a_part_of_no_weight_is_not_asked(self, root: Path) -> None:
        source = mixture(root, "val", davis={"video": 1})
        tasks = [
            source.fixed("interactive", i, 1, np.random.default_rng(0)) for i in range(source.count("interactive"))
        ]
        assert {task.query.key[0] for task in tasks} == {"voc"}
        assert source.spread("interactive", None) == list(range(source.count("interactive")))

    def test_episodes_can_be_frozen(self, root: Path) -> None:
        source = mixture(root, "test")
        frozen = freeze(source, "test", Plan(["interactive"], episodes=3, points=2))
        frozen.write(root / "frozen.json.gz")
        assert FrozenEpisodes.read(root / "frozen.json.gz").images == frozen.images
        assert {episode.query.key[0] for episode in frozen.episodes} == {"voc", "davis"}


@given(
    parts=st.lists(st.tuples(st.floats(0.01, 10), st.integers(1, 40)), min_size=1, max_size=5),
    number=st.none() | st.integers(1, 100),
)
def test_shares(parts: list[tuple[float, int]], number: int | None) -> None:
    weights, counts = zip(*parts, strict=True)
    found = shares(number, weights, counts)
    total = sum(counts)
    assert sum(found) == min(number or total, total)
    assert all(share <= count for share, count in zip(found, counts, strict=True))
    assert number is None or number < len(parts) or min(found) > 0
    for i, j in ((i, j) for i in range(len(parts)) for j in range(len(parts))):
        # what j has beyond its share of what i has is at most one task, or i has no more to give
        assert found[i] == counts[i] or (found[j] - 1) / weights[j] <= found[i] / weights[i] + 1e-9


class TestFiles:
    def test_what_it_is_made_of(self, root: Path) -> None:
        source = mixture(root, "train")
        assert len(source.image_files()) == len(source.image_keys()) == 6
        assert {target.key[0] for target in source.targets()} == {"voc", "davis"}
        assert len(source.targets()) == sum(len(part.targets()) for part in source.parts.values())
        for target in source.targets():
            assert (source.load(target.key).labels == target.value).any()

    def test_what_is_trained_on_is_not_tested(self, root: Path, folder: Any) -> None:
        check_unseen(mixture(root, "train"), mixture(root, "test"))
        own = partial(Folder, folder({f"{i}": (1, 2) for i in range(10)}))
        train = Mixture("train", {"own": {"source": own, "weights": {"semantic": 1}}})
        whole = Mixture("test", {"own": {"source": partial(own, whole=True), "weights": {"semantic": 1}}})
        with pytest.raises(DataError, match=r"Training would see .* images that are tested"):
            check_unseen(train, whole)

    def test_a_part_without_weight_is_not_looked_for(self, root: Path) -> None:
        sources = {
            "voc": {"source": partial(Voc, root / "voc2012"), "weights": VOC},
            "davis": {"source": partial(Davis, root / "nowhere"), "weights": {"video": 0}},
        }
        assert list(Mixture("train", sources).parts) == ["voc"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"davis": {"semantic": 2}},
            r"sources\.davis\.weights\.semantic=2, but davis has no semantic tasks, only inter",
        ),
        ({"voc": {"vidoe": 1}}, r"no mode in data\.sources\.voc\.weights 'vidoe'; did you mean 'video'"),
        ({"voc": {"video": -1}}, r"sources\.voc\.weights\.video=-1: expected a number from 0"),
        ({"voc": {"video": float("inf")}}, r"weights\.video=inf: expected"),
        ({"voc": {}, "davis": {"video": 0}}, r"no part with a weight above 0"),
        ({"held_out": 1}, r"held_out=1 would be another fold of classes in each part; expected a list of names"),
    ],
)
def test_what_cannot_be_is_refused(root: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        mixture(root, "train", **options)


class TestConfig:
    def test_parts_have_the_settings_of_their_files(self, root: Path) -> None:
        overrides = ("data.held_out=[dog]", "data.sources.davis.single=true", *WITHOUT)
        data = build_data(compose_run("data=mixture", f"data.root={root}", *overrides))
        source = data.source("train")
        assert isinstance(source, Mixture)
        assert list(source.parts) == ["voc", "davis"]
        voc = source.parts["voc"]
        assert isinstance(voc, Voc)
        assert {group for group, _ in voc.objects} == {"cat"}
        assert source.most("video") == 1
        assert data.augment is not None
        assert data.augment.relative

    def test_held_out_by_all_parts_that_have_classes(self, root: Path) -> None:
        cfg = compose_run("data=mixture", f"data.root={root}", "data.held_out=[dog]", "data.oracle=true")
        assert [cfg.data.sources[name].source.held_out for name in ("voc", "coco")] == [["dog"], ["dog"]]
        assert [cfg.data.sources[name].source.oracle for name in ("voc", "coco", "davis")] == [True, True, True]
        assert cfg.data.sources.coco.source.root == f"{root}/coco_instances"

    def test_a_root_of_its_own(self, root: Path) -> None:
        (root / "davis2016").rename(root / "videos")
        cfg = compose_run(
            "data=mixture",
            f"data.root={root}",
            f"data.sources.davis.root={root}/videos",
            "data.held_out=[]",
            *WITHOUT,
        )
        assert build_data(cfg).source("test").modes == ("interactive", "semantic", "video")


@pytest.mark.parametrize(
    "part", [None, {}, {"weights": {"semantic": 1}}, {"source": Folder}, {"source": 1, "weights": 2}]
)
def test_a_part_that_lacks_something_is_named(part: Any) -> None:
    with pytest.raises(DataError, match=r"data\.sources\.mine lacks its source or its weights; .* leave it out with"):
        Mixture("train", {"mine": part})

"""Tasks of several positive labels: objects of an image, objects of a video, classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.restricted import dense_episodes, restrict

from guided_seg.data.datamodule import Episodes
from guided_seg.data.sampling.points import PointRange
from guided_seg.data.shapes.scenes import ABSENT
from guided_seg.data.shapes.shapes import Shapes
from guided_seg.data.source import MODES, Mode, Source, Task
from guided_seg.data.sources.davis import Davis
from guided_seg.data.sources.folder import Folder
from guided_seg.data.sources.voc import Voc
from guided_seg.data.training_episodes import TrainEpisodes
from guided_seg.episode import collate
from guided_seg.errors import DataError
from guided_seg.settings.episode_options import EpisodeOptions

SHAPES = partial(Shapes, size=48, min_pixels=40, tasks=32, frames=5)
Equal = Callable[[object, object], bool]

DAVIS = {
    "pair": [(1, 2), (1, 2), (2,), (1, 2)],
    "trio": [(1, 2, 3)] * 3,
    "late": [(1,), (1, 2), (1, 2)],  # the second object appears later, so the two never stand together
}
IMAGES = {"a": (1, 2), "b": (1, 3), "c": (2,), "d": (1, 2, 3), "e": (3,), "f": (2, 3), "g": (1,)}


def _tasks(source: Source, mode: Mode, objects: int, shots: int = 2, number: int = 40) -> list[Task]:
    rng = np.random.default_rng(0)
    return [source.sample(mode, shots, rng, objects) for _ in range(number)]


def _all(source: Source, mode: Mode, objects: int, shots: int = 2) -> list[Task]:
    return [
        source.fixed(mode, index, shots, np.random.default_rng(index), objects)
        for index in range(source.count(mode, objects))
    ]


@pytest.fixture
def davis(davis: Callable[..., Path]) -> Davis:
    return Davis(davis({f"t{i}": [(1, 2)] * 3 for i in range(2)}, DAVIS), "test")


@pytest.fixture
def images(folder: Callable[..., Path]) -> Folder:
    return Folder(folder(IMAGES), "test", whole=True)


class TestVideo:
    def test_a_task_segments_all_objects_that_appear_together(self, davis: Davis) -> None:
        asked = Counter(task.groups for task in _all(davis, "video", 9))
        assert asked == {("pair/1", "pair/2"): 3, ("trio/1", "trio/2", "trio/3"): 2, ("late/1",): 2, ("late/2",): 1}
        assert davis.count("video", 9) == 8
        assert davis.most("video") == 3

    def test_at_most_so_many_at_once_and_each_object_once(self, davis: Davis) -> None:
        asked = Counter(task.groups for task in _all(davis, "video", 2))
        assert asked[("trio/1", "trio/2")] == asked[("trio/3",)] == 2
        assert {group for groups in asked for group in groups} == set(davis.videos)

    def test_the_first_frame_shows_all_and_later_ones_what_they_have(self, davis: Davis) -> None:
        for task in _all(davis, "video", 9, shots=4):
            labels = davis.load(task.support[0].key).labels
            assert all((labels == value).any() for value in task.query.values)
            assert len({view.values for view in (task.query, *task.support)}) == 1
        (pair,) = (task for task in _all(davis, "video", 9, shots=4) if task.query.key == "pair/00001")
        assert [view.key for view in pair.support] == [f"pair/0000{i}" for i in (0, 2, 1, 3)]

    def test_training_shows_all_its_objects(self, davis: Davis) -> None:
        tasks = _tasks(davis, "video", 2)
        assert {len(task.groups) for task in tasks} == {1, 2}
        for task in tasks:
            assert task.query.key not in [view.key for view in task.support]
            assert len(set(task.query.values)) == len(task.groups)
            for view in task.support:
                assert set(view.values) <= set(np.unique(davis.load(view.key).labels).tolist())


class TestInteractive:
    def test_every_object_of_an_image_once(self, images: Folder) -> None:
        tasks = _all(images, "interactive", 2)
        assert Counter(task.query.key for task in tasks) == {"d": 2, **dict.fromkeys("abcefg", 1)}
        assert sum(len(task.groups) for task in tasks) == len(images.objects)
        assert all(task.support == (task.query,) for task in tasks)

    def test_random_objects_of_one_image(self, images: Folder) -> None:
        tasks = _tasks(images, "interactive", 2, number=200)
        of_d = Counter(task.query.values for task in tasks if task.query.key == "d")
        assert set(of_d) == {(1, 2), (2, 1), (1, 3), (3, 1), (2, 3), (3, 2)}
        for task in tasks:
            assert task.query.values == tuple(map(int, task.groups))
            assert set(task.query.values) <= set(IMAGES[str(task.query.key)])

    def test_objects_of_voc_have_an_image_in_common(self, voc: Callable[..., Path]) -> None:
        root = voc({"a": (1, 1), "b": (1, 2)}, {"c": (1,)}, objects=True)
        tasks = _all(Voc(root, "train"), "interactive", 5)
        assert [task.groups for task in tasks] == [("aeroplane", "aeroplane"), ("aeroplane", "bicycle")]


class TestSemantic:
    @pytest.mark.parametrize("objects", [2, 3])
    def test_the_query_shows_several_and_the_support_each(self, images: Folder, objects: int) -> None:
        for task in [*_tasks(images, "semantic", objects), *_all(images, "semantic", objects)]:
            assert len(set(task.groups)) == task.ways == objects
            assert len(set(task.query.values) & set(IMAGES[str(task.query.key)])) >= 2
            assert task.query.values == tuple(map(int, task.groups))
            assert len(task.support) == 2 * objects
            for i, view in enumerate(task.support):
                assert view.key != task.query.key
                assert int(task.groups[i % objects]) in IMAGES[str(view.key)]

    def test_fixed_queries_are_the_images_of_several_classes(self, images: Folder) -> None:
        assert sorted(str(task.query.key) for task in _all(images, "semantic", 2)) == ["a", "b", "d", "f"]

    def test_where_no_image_has_two_any_is_asked(self, folder: Callable[..., Path]) -> None:
        source = Folder(folder({f"{i}": (1 + i % 2,) for i in range(6)}), "test", whole=True)
        assert source.count("semantic", 2) == 6
        for task in [*_tasks(source, "semantic", 2), *_all(source, "semantic", 2)]:
            assert sorted(task.groups) == ["1", "2"]
            assert int(str(task.query.key)) % 2 + 1 in task.query.values

    def test_support_images_differ_while_there_are_others(self, images: Folder) -> None:
        for task in _tasks(images, "semantic", 2, shots=1):
            assert len({view.key for view in task.support}) == 2

    def test_fewer_classes_than_asked_for(self, images: Folder) -> None:
        assert images.most("semantic") == 3
        assert {len(task.groups) for task in _tasks(images, "semantic", 7)} == {3}

    @pytest.mark.parametrize("shots", [1, 3])
    def test_more_shots_only_append(self, images: Folder, shots: int) -> None:
        for few, many in zip(_all(images, "semantic", 2, shots), _all(images, "semantic", 2, 4), strict=True):
            assert (few.query, few.groups) == (many.query, many.groups)
            assert few.support == many.support[: len(few.support)]


class TestShapes:
    @pytest.mark.parametrize("mode", MODES)
    def test_tasks_have_what_is_asked_for(self, mode: Mode) -> None:
        source = SHAPES("train")
        sizes = Counter(len(task.groups) for task in _tasks(source, mode, 3, number=60))
        assert max(sizes) == 3
        assert sizes[3] > (59 if mode == "semantic" else 30)  # a scene may show fewer objects
        assert all(len(task.query.values) == len(set(task.groups)) for task in _tasks(source, mode, 3))
        assert [task.groups for task in _all(source, mode, 3)] == [task.groups for task in _all(source, mode, 3)]

    def test_classes_are_seen_where_they_are_asked(self) -> None:
        source, shown = SHAPES("val"), []
        for task in [*_tasks(source, "semantic", 3), *_all(source, "semantic", 3)[:20]]:
            assert len({int(group.split()[1]) // 6 for group in task.groups}) == 3
            labels = source.load(task.query.key).labels
            assert 2 <= sum(value != ABSENT for value in task.query.values) <= 3
            shown.append(sum(bool((labels == value).any()) for value in task.query.values))
            for i, view in enumerate(task.support):
                assert view.values[i % 3] != ABSENT
                assert (source.load(view.key).labels == view.values[i % 3]).any()
        assert np.mean(np.array(shown) >= 2) > 0.9  # one class may hide another

    @pytest.mark.parametrize("mode", MODES)
    def test_more_shots_only_append(self, mode: Mode) -> None:
        source = SHAPES("test")
        for few, many in zip(_all(source, mode, 2, 1), _all(source, mode, 2, 3), strict=True):
            assert (few.query, few.groups) == (many.query, many.groups)
            assert few.support == many.support[: len(few.support)]

    def test_more_classes_than_palettes(self) -> None:
        source = SHAPES("val")
        assert source.most("semantic") == 19
        assert {len(task.groups) for task in _tasks(source, "semantic", 30, shots=1, number=2)} == {19}


class TestEpisodes:
    @pytest.mark.parametrize("mode", MODES)
    def test_labels_are_the_objects_in_their_order(self, mode: Mode, equal: Equal) -> None:
        points = PointRange(dense=0.5, missing=0.0)
        data = TrainEpisodes(
            SHAPES("train"), {mode: 1.0}, points, EpisodeOptions(shots=(1, 2), objects=(1, 3)), None, 0
        )
        episodes = [data[(0, index)] for index in range(30)]
        assert {episode.num_labels for episode in episodes} == {2, 3, 4}
        assert all(equal(episode, data[(0, index)]) for index, episode in enumerate(episodes))
        for episode in episodes:
            assert int(episode.target[episode.target != 255].max()) < episode.num_labels
            assert len(episode.meta.get("groups", [""])) == episode.num_labels - 1
            shown = {label for shot in episode.support for label in shot.labels()}
            if mode == "semantic":  # every class by an image of its own
                assert shown == set(range(episode.num_labels))

    def test_an_evaluation_shot_of_several_classes_is_an_image_of_each(self) -> None:
        batch = collate(dense_episodes(SHAPES("test"), "semantic", 3, 3, objects=2))
        assert batch.num_labels == 3
        for shots in (1, 2, 3):
            asked = restrict(batch, shots, 5, seed=0)
            assert torch.bincount(asked.shot_episode).tolist() == [2 * shots] * 3
            labels = {(int(asked.shot_episode[shot]), label) for shot, _, _, label in asked.points.tolist()}
            assert labels == {(episode, label) for episode in range(3) for label in range(3)}

    def test_dots_do_not_depend_on_the_labels_of_others_in_the_batch(self) -> None:
        few, many = (dense_episodes(SHAPES("test"), "interactive", 1, 4, objects=n)[0] for n in (1, 3))
        alone, beside = restrict(collate([few]), 1, 5, 0), restrict(collate([few, many]), 1, 5, 0)
        assert beside.num_labels > 2
        assert torch.equal(beside.points[beside.points[:, 0] == 0], alone.points)


class TestRefusals:
    def _data(self, source: Any, **options: Any) -> Episodes:
        weights: dict[Mode, float] = {"interactive": 1.0, "video": 1.0}
        return Episodes(source=source, weights=weights, num_workers=0, **options)

    @pytest.fixture
    def single(self, davis: Davis) -> Any:
        return partial(_OneObject, davis)

    def test_a_source_of_single_objects_says_so(self, single: Any) -> None:
        message = r"asks for up to 3 positive labels, but no interactive or video task of 'one' has more than one"
        with pytest.raises(DataError, match=rf"episode.objects {message}; leave episode.objects at 1"):
            self._data(single, options=EpisodeOptions(objects=(1, 3))).setup("fit")
        with pytest.raises(DataError, match=rf"evaluation.objects {message}"):
            self._data(single, eval_objects=3).setup("test")

    def test_one_label_is_never_refused(self, single: Any) -> None:
        self._data(single).setup("fit")
        self._data(single).setup("test")

    @pytest.mark.parametrize("objects", [(0, 1), (2, 1)])
    def test_numbers_that_cannot_be(self, objects: tuple[int, int]) -> None:
        with pytest.raises(DataError, match=r"episode.objects=\[\d,\d\]: expected \[least, most\]"):
            EpisodeOptions(objects=objects)


class _OneObject(Source):
    """Like another source, with one object in each task."""

    name, modes = "one", ("interactive", "video")

    def __init__(self, source: Source, split: str) -> None:
        self.source = source

    def load(self, key: Any) -> Any:
        return self.source.load(key)

    def sample(self, mode: Mode, shots: int, rng: np.random.Generator, objects: int = 1) -> Task:
        return self.source.sample(mode, shots, rng)

    def count(self, mode: Mode, objects: int = 1) -> int:
        return self.source.count(mode)

    def fixed(self, mode: Mode, index: int, shots: int, rng: np.random.Generator, objects: int = 1) -> Task:
        return self.source.fixed(mode, index, shots, rng)

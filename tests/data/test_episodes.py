from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.distributed as dist
from omegaconf import OmegaConf
from support.commands import CONF

from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisodes
from guided_seg.data.frozen.freeze import Plan, select
from guided_seg.data.sampling.points import VARY, PointRange
from guided_seg.data.sampling.transforms import Augment
from guided_seg.data.shapes.shapes import Shapes
from guided_seg.data.source import MODES, Mode, Sample, Source, Task
from guided_seg.data.sources.folder import Folder
from guided_seg.data.training_episodes import TrainEpisodes, _touch, exchanged, to_tensor
from guided_seg.data.workers import EpisodeSampler
from guided_seg.episode import IGNORE, Episode, collate
from guided_seg.errors import DataError
from guided_seg.settings.episode_options import EpisodeOptions, rules

SHAPES = Shapes("train", size=48, min_pixels=40, tasks=32, frames=5)
AROUND: tuple[Mode, ...] = ("semantic", "video")
"""The modes in which other images are the support."""

Equal = Callable[[object, object], bool]


def _train(source: Source = SHAPES, mode: Mode | None = None, **options: Any) -> TrainEpisodes:
    weights = {mode: 1.0} if mode else dict.fromkeys(source.modes, 1.0)
    own = {name: options.pop(name) for name, _ in rules() if name in options}
    defaults = {"weights": weights, "points": PointRange(), "augment": None, "seed": 0}
    return TrainEpisodes(source, **{**defaults, **options}, options=EpisodeOptions(**own))


def _episodes(data: TrainEpisodes, number: int = 40) -> list[Episode]:
    return [data[(0, index)] for index in range(number)]


def _fixed(mode: Mode, shots: int = 1, episodes: int | None = None, source: Source = SHAPES) -> EvaluationEpisodes:
    return EvaluationEpisodes(source, select(source, "test", Plan([mode], episodes, shots=shots)))


def _all(data: EvaluationEpisodes) -> list[Episode]:
    return [data[index].dense for index in range(len(data))]


class Watched(Source):
    """Remembers the tasks that are posed, and may draw other labels for the query."""

    def __init__(self, source: Source) -> None:
        self.source, self.name, self.modes = source, source.name, source.modes
        self.tasks: list[Task] = []
        self.spoil: Hashable = None

    def load(self, key: Hashable) -> Sample:
        sample = self.source.load(key)
        return replace(sample, labels=np.rot90(sample.labels).copy()) if key == self.spoil else sample

    def most(self, mode: Mode) -> int:
        return self.source.most(mode)

    def sample(self, mode: Mode, shots: int, rng: np.random.Generator, objects: int = 1) -> Task:
        self.tasks.append(self.source.sample(mode, shots, rng, objects))
        return self.tasks[-1]

    def count(self, mode: Mode, objects: int = 1) -> int:
        return self.source.count(mode, objects)

    def fixed(self, mode: Mode, index: int, shots: int, rng: np.random.Generator, objects: int = 1) -> Task:
        self.tasks.append(self.source.fixed(mode, index, shots, rng, objects))
        return self.tasks[-1]


class TestPurity:
    @pytest.mark.parametrize("augment", [None, Augment(32)])
    def test_an_episode_is_decided_by_seed_epoch_and_index(self, equal: Equal, augment: Augment | None) -> None:
        first, second = _train(augment=augment, shots=(1, 3)), _train(augment=augment, shots=(1, 3))
        for index in (7, 3, 12, 0, 7):  # in any order, after any others
            assert equal(first[(2, index)], second[(2, index)])
        for index in range(12):
            assert equal(first[(2, index)], second[(2, index)])

    @pytest.mark.parametrize("mode", MODES)
    def test_another_seed_epoch_or_index_is_another_episode(self, mode: Mode) -> None:
        data, other = _train(mode=mode), _train(mode=mode, seed=1)
        episodes = [data[(0, 0)], data[(0, 1)], data[(1, 0)], other[(0, 0)], other[(0, 1)]]
        assert len({episode.query.numpy().tobytes() for episode in episodes}) == len(episodes)

    def test_the_global_generators_are_not_used(self, equal: Equal) -> None:
        data = _train(augment=Augment(32))
        before = data[(0, 3)]
        torch.manual_seed(5)
        state = torch.get_rng_state()
        assert equal(data[(0, 3)], before)
        assert torch.equal(torch.get_rng_state(), state)

    @pytest.mark.parametrize("mode", MODES)
    def test_evaluation_episodes_are_the_same_in_every_order(self, equal: Equal, mode: Mode) -> None:
        first, second = _fixed(mode, shots=2), _fixed(mode, shots=2)
        for index in reversed(range(len(first))):
            assert equal(first[index].dense, second[index].dense)
        assert all(map(equal, _all(first), _all(second)))

    @pytest.mark.parametrize("mode", MODES)
    def test_more_shots_only_append_in_evaluation(self, equal: Equal, mode: Mode) -> None:
        few, many = _all(_fixed(mode, shots=1)), _all(_fixed(mode, shots=3))
        for one, three in zip(few, many, strict=True):
            assert equal((one.query, one.target), (three.query, three.target))
            assert equal(one.support[0], three.support[0])


class TestTurns:
    """Several questions about the images of one draw."""

    @pytest.mark.parametrize("mode", MODES)
    def test_the_first_of_each_is_the_draw_itself(self, equal: Equal, mode: Mode) -> None:
        one, two = _train(mode=mode, augment=Augment(32)), _train(mode=mode, augment=Augment(32), turns=2)
        for index in range(6):
            assert equal(two[(1, 2 * index)], one[(1, index)])

    @pytest.mark.parametrize("mode", MODES)
    def test_all_are_decided_by_seed_epoch_and_index(self, equal: Equal, mode: Mode) -> None:
        first, second = (_train(mode=mode, augment=Augment(32), turns=3) for _ in range(2))
        together = _episodes(first, 9)
        for index in (8, 1, 4, 0, 7, 5):  # alone, in any order, with nothing kept
            assert equal(second[(0, index)], together[index])

    @pytest.mark.parametrize("mode", AROUND)
    def test_query_and_first_shot_change_places(self, mode: Mode) -> None:
        points = PointRange(dense=1.0, missing=0.0)
        data = _train(mode=mode, shots=(2, 2), points=points, augment=Augment(32), turns=2)
        for index in range(0, 12, 2):
            one, two = data[(0, index)], data[(0, index + 1)]
            assert two.query is one.support[0].image
            assert two.support[0].image is one.query
            assert two.support[1].image is one.support[1].image
            assert torch.equal(two.target, one.support[0].mask)
            assert torch.equal(two.support[0].mask, one.target)

    @pytest.mark.parametrize("values", [(1,), (1, 2)])
    def test_an_interactive_image_is_asked_about_another_object_if_it_has_one(
        self, folder: Callable[..., Path], values: tuple[int, ...]
    ) -> None:
        source = Folder(folder({"a": values, "b": values}), "train", whole=True)
        data = _train(source, "interactive", turns=2, points=PointRange(dense=0.0))
        for index in range(0, 12, 2):
            one, two = data[(0, index)], data[(0, index + 1)]
            assert two.query is one.query
            assert two.support[0].is_query
            assert not torch.equal(one.support[0].points, two.support[0].points)
            assert torch.equal(one.target, two.target) == (len(values) == 1)

    def test_two_objects_that_touch_may_be_asked_for_as_one(self, folder: Callable[..., Path]) -> None:
        root = folder({"a": (1, 2), "b": (1, 2)})
        labels = np.zeros((40, 60), np.uint8)
        labels[10:22, :12], labels[10:22, 13:30] = 1, 2
        for name in "ab":
            cv2.imwrite(str(root / "masks" / f"{name}.png"), labels)
        source = Folder(root, "train", whole=True)
        apart, united = (
            _train(source, "interactive", turns=2, united=share, points=PointRange(dense=1.0, missing=0.0))
            for share in (0.0, 1.0)
        )
        both = 0
        for index in range(0, 12, 2):
            one, other, two = united[(0, index)], apart[(0, index + 1)], united[(0, index + 1)]
            assert torch.equal(two.target, two.support[0].mask)
            if torch.equal(two.target, other.target):
                continue
            both += 1
            assert torch.equal(two.target == 1, (one.target == 1) | (other.target == 1))
            assert "+" in two.meta["group"]
        assert both

    def test_objects_that_lie_apart_are_not_one(self) -> None:
        labels = np.zeros((8, 12), np.uint8)
        labels[:, :4], labels[:, 5:8], labels[:, 10:] = 1, 2, 3
        assert _touch(labels, 1, 2)
        assert not _touch(labels, 1, 3)

    def test_their_images_are_encoded_once(self) -> None:
        data = _train(turns=2, augment=Augment(32))
        batch = collate(_episodes(data, 8))
        assert batch.first is not None
        distinct = {image.numpy().tobytes() for image in batch.images}
        assert len(torch.unique(batch.first)) == len(distinct) < len(batch.images)

    @pytest.mark.parametrize("turns", [0, -1])
    def test_a_number_that_cannot_be_is_refused(self, turns: int) -> None:
        with pytest.raises(DataError, match=r"episode.turns=.*expected a whole number from 1"):
            _train(turns=turns)


class TestLeaks:
    def test_interactive_support_is_the_query_itself_and_encoded_once(self) -> None:
        episodes = _episodes(_train(mode="interactive"), 10)
        for episode in episodes:
            (shot,) = episode.support
            assert shot.is_query
            assert shot.image is episode.query
        batch = collate(episodes)
        assert len(batch.images) == len(batch.shot_image) == 10
        assert batch.shot_image.tolist() == list(range(10))

    def test_interactive_support_moves_with_the_augmented_query(self) -> None:
        data = _train(mode="interactive", augment=Augment(32), points=PointRange(dense=1.0, missing=0.0))
        for episode in _episodes(data, 20):
            assert episode.support[0].image is episode.query
            assert torch.equal(episode.support[0].mask, episode.target)

    @pytest.mark.parametrize("mode", AROUND)
    def test_the_query_is_never_in_its_support_in_training(self, mode: Mode) -> None:
        source = Watched(SHAPES)
        for episode in _episodes(_train(source, mode, shots=(1, 4))):
            assert not any(shot.is_query for shot in episode.support)
            assert not any(torch.equal(shot.image, episode.query) for shot in episode.support)
        assert all(task.query.key not in [view.key for view in task.support] for task in source.tasks)

    def test_nor_in_a_source_of_files(self, folder: Callable[..., Path]) -> None:
        items = {f"{i}": (1, 2) if i % 2 else (2,) for i in range(10)}
        source = Watched(Folder(folder(items), "train", whole=True))
        for episode in _episodes(_train(source, "semantic", shots=(1, 9))):
            assert episode.support
            assert not any(shot.is_query for shot in episode.support)
        assert all(task.query.key not in [view.key for view in task.support] for task in source.tasks)

    @pytest.mark.parametrize("mode", AROUND)
    def test_support_does_not_know_the_target(self, equal: Equal, mode: Mode) -> None:
        source = Watched(SHAPES)
        data = _train(source, mode, shots=(2, 2))
        for index in range(20):
            source.spoil = None
            plain = data[(0, index)]
            source.spoil = source.tasks[-1].query.key
            spoilt = data[(0, index)]
            assert not equal(plain.target, spoilt.target)
            assert equal(plain.support, spoilt.support)

    @pytest.mark.parametrize("mode", AROUND)
    def test_nor_in_evaluation_unless_shown(self, equal: Equal, mode: Mode) -> None:
        source = Watched(SHAPES)
        data = _fixed(mode, 3, source=source)
        for index, frozen in enumerate(data.frozen.episodes):
            source.spoil, data._recent = None, {}
            plain = data[index].dense
            source.spoil, data._recent = frozen.query.key, {}
            spoilt = data[index].dense
            hidden = slice(next((shots - 1 for shots in (1, 2, 3) if frozen.shows_query(shots)), None))
            assert not equal(plain.target, spoilt.target)
            assert equal(plain.support[hidden], spoilt.support[hidden])

    @pytest.mark.parametrize("shots", [1, 3, 5])
    def test_evaluation_says_from_which_shot_on_the_query_is_shown(self, shots: int) -> None:
        shown = []
        data = _fixed("video", shots)
        for episode, frozen in zip(_all(data), data.frozen.episodes, strict=True):
            same = [torch.equal(shot.image, episode.query) for shot in episode.support]
            assert [shot.is_query for shot in episode.support] == same
            first = next((number for number in range(1, shots + 1) if frozen.shows_query(number)), None)
            assert first == (same.index(True) + 1 if True in same else None)
            shown.append(first)
        # of 4 queries each video shows the middle second, then the quarters, then all
        assert Counter(shown) == {1: {None: 32}, 3: {None: 16, 2: 8, 3: 8}, 5: {2: 8, 3: 8, 4: 8, 5: 8}}[shots]

    @pytest.mark.parametrize("mode", ["interactive", "semantic"])
    def test_nothing_else_is_shown(self, mode: Mode) -> None:
        data = _fixed(mode, 1 if mode == "interactive" else 4)
        assert not any(episode.shows_query(4) for episode in data.frozen.episodes)


class TestContent:
    def test_modes_come_in_their_shares(self) -> None:
        data = _train(weights={"interactive": 1.0, "semantic": 3.0, "video": 4})
        times = Counter(episode.meta["mode"] for episode in _episodes(data, 300))
        assert times["interactive"] / 300 == pytest.approx(1 / 8, abs=0.08)
        assert times["semantic"] / 300 == pytest.approx(3 / 8, abs=0.11)
        assert times["video"] / 300 == pytest.approx(4 / 8, abs=0.11)

    @pytest.mark.parametrize("mode", AROUND)
    def test_shots_come_from_their_range(self, mode: Mode) -> None:
        times = Counter(len(episode.support) for episode in _episodes(_train(mode=mode, shots=(1, 3)), 150))
        assert set(times) == {1, 2, 3}
        assert min(times.values()) > 30

    def test_dots_are_as_many_as_asked_for_and_right(self) -> None:
        points = PointRange(low=7, high=7, dense=0.0, missing=0.0)
        for episode in _episodes(_train(mode="interactive", points=points)):
            (shot,) = episode.support
            assert shot.points is not None
            assert Counter(shot.points[:, 2].tolist()) == {0: 7, 1: 7}
            rows, columns, labels = shot.points.T
            assert torch.equal(episode.target[rows, columns].long(), labels)

    def test_dense_and_one_dot_both_occur(self) -> None:
        shots = [episode.support[0] for episode in _episodes(_train(points=PointRange(low=1, high=2, dense=0.3)), 100)]
        dots = [len(shot.points) for shot in shots if shot.points is not None]
        assert {1, 2, 4} >= set(dots) >= {2, 4}
        assert 15 < sum(shot.mask is not None for shot in shots) < 45

    @pytest.mark.parametrize("dense", [0.0, 1.0])
    def test_a_label_is_missing_in_its_share_of_the_shots(self, dense: float) -> None:
        data = _train(mode="semantic", shots=(1, 2), points=PointRange(dense=dense, missing=0.4))
        shots = [shot for episode in _episodes(data, 250) for shot in episode.support]
        times = Counter(shot.labels() for shot in shots)
        assert times[(0, 1)] / len(shots) == pytest.approx(0.6, abs=0.1)
        assert times[(0,)] / len(shots) == pytest.approx(0.2, abs=0.08)
        assert times[(1,)] / len(shots) == pytest.approx(0.2, abs=0.08)
        assert sum(times.values()) == times[(0, 1)] + times[(0,)] + times[(1,)]

    @pytest.mark.parametrize("vary", VARY)
    def test_p_varies_within_what_is_asked_for(self, vary: str) -> None:
        points = PointRange(low=1, high=6, dense=0.3, missing=0.0, vary=vary)
        data = _train(mode="semantic", shots=(3, 3), points=points)
        shots, labels, mixed = set(), set(), 0
        for episode in _episodes(data, 60):
            forms = [shot.mask is not None for shot in episode.support]
            mixed += len(set(forms)) == 2
            counts = [Counter(shot.points[:, 2].tolist()) for shot in episode.support if shot.points is not None]
            shots.add(len({tuple(sorted(count.items())) for count in counts}) > 1)
            labels |= {len(set(count.values())) > 1 for count in counts}
        assert (mixed > 10, True in shots, True in labels) == {
            "episode": (False, False, False),
            "shot": (True, True, False),
            "label": (True, True, True),
        }[vary]

    @pytest.mark.parametrize("mode", MODES)
    def test_episodes_say_what_they_are(self, mode: Mode) -> None:
        for episode in [*_episodes(_train(mode=mode), 5), *_all(_fixed(mode, episodes=5))]:
            assert episode.meta["mode"] == mode
            assert episode.meta["source"] == "shapes"
            assert episode.meta["group"].startswith("material" if mode == "semantic" else "scene")
            assert episode.meta["broken"] == []
            assert episode.num_labels == 2
            assert episode.query.shape == (3, 48, 48)
            assert 0 <= episode.query.min() < episode.query.max() <= 1
            assert set(episode.target.unique().tolist()) <= {0, 1, IGNORE}

    def test_augmented_episodes_have_the_size_of_the_crop(self) -> None:
        for episode in _episodes(_train(augment=Augment(32), shots=(2, 2)), 12):
            assert episode.query.shape == (3, 32, 32)
            assert all(shot.image.shape == (3, 32, 32) for shot in episode.support)

    def test_void_is_ignored(self, folder: Callable[..., Path]) -> None:
        source = Folder(folder({f"{i}": (1, 2, 255) for i in range(5)}), "train", whole=True)
        for episode in _episodes(_train(source, "interactive", points=PointRange(dense=1.0, missing=0.0)), 10):
            assert int((episode.target == IGNORE).sum()) == 144
            assert int((episode.target == 1).sum()) == 144
            assert episode.support[0].labels() == (0, 1)

    @pytest.mark.parametrize("shots", [(0, 1), (3, 2)])
    def test_shots_that_cannot_be_are_refused(self, shots: tuple[int, int]) -> None:
        with pytest.raises(DataError, match=r"episode.shots=\[\d,\d\]: expected \[least, most\]"):
            _train(shots=shots)


class TestFixed:
    @pytest.mark.parametrize("mode", MODES)
    def test_all_tasks_or_as_many_as_asked_for(self, mode: Mode) -> None:
        assert len(_fixed(mode)) == len(_fixed(mode, episodes=32)) == len(_fixed(mode, episodes=1000)) == 32
        assert SHAPES.spread(mode, 5) == [0, 6, 12, 19, 25]
        assert len(set(SHAPES.spread(mode, 31))) == 31
        few = _fixed(mode, episodes=5)
        assert [episode.meta["index"] for episode in _all(few)] == [0, 1, 2, 3, 4]
        tasks = [SHAPES.fixed(mode, index, 1, np.random.default_rng((0, n))) for n, index in enumerate([0, 6, 12, 19])]
        assert [episode.query.key for episode in few.frozen.episodes[:4]] == [task.query.key for task in tasks]

    @pytest.mark.parametrize("mode", MODES)
    def test_support_is_annotated_densely(self, mode: Mode) -> None:
        shots = [shot for episode in _all(_fixed(mode, 2)) for shot in episode.support]
        assert all(shot.points is None for shot in shots)
        assert sum(shot.labels() == (0, 1) for shot in shots) > 0.9 * len(shots)

    def test_interactive_support_is_the_target(self) -> None:
        for episode in _all(_fixed("interactive")):
            assert episode.support[0].image is episode.query
            assert torch.equal(episode.support[0].mask, episode.target)

    def test_frames_of_a_video_share_their_support(self) -> None:
        episodes = _all(_fixed("video", 3))[:4]
        batch = collate(episodes)
        # 4 queries and the first frame; the other shown frames are queries of other episodes, as tensors of their own
        first = {id(episode.support[0].image) for episode in episodes}
        assert len(first) == 1
        assert len(batch.images) < 4 + 3 * 2

    def test_memory_is_limited(self) -> None:
        data = _fixed("semantic", 3)
        assert len(_all(data)) * 4 > 32
        assert len(data._recent) <= 32


class TestSampler:
    def test_a_resume_in_the_middle_leaves_out_what_was(self) -> None:
        sampler, seen = EpisodeSampler(4, begun=lambda: seen), 3
        assert list(sampler) == [(0, 3)]
        seen = 0
        assert len(list(sampler)) == len(sampler) == 4

    @pytest.mark.parametrize("length", [1, 2, 9, 10])
    @pytest.mark.parametrize("world", [1, 2, 3])
    def test_ranks_cover_every_episode_once(self, monkeypatch: pytest.MonkeyPatch, length: int, world: int) -> None:
        monkeypatch.setattr(dist, "is_initialized", lambda: True)
        monkeypatch.setattr(dist, "get_world_size", lambda: world)
        seen = []
        for rank in range(world):
            monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
            sampler = EpisodeSampler(length)
            sampler.set_epoch(4)
            keys = list(sampler)
            assert len(keys) == len(sampler)
            seen += keys
        assert sorted(seen) == [(4, index) for index in range(length)]

    @pytest.mark.parametrize("turns", [1, 2])
    @pytest.mark.parametrize("world", [1, 2, 4])
    def test_ranks_share_every_batch(self, monkeypatch: pytest.MonkeyPatch, world: int, turns: int) -> None:
        """Batch by batch, together they have the episodes that one process has, and none parts those on one image."""
        monkeypatch.setattr(dist, "is_initialized", lambda: True)
        monkeypatch.setattr(dist, "get_world_size", lambda: world)
        batches: list[set[int]] = [set() for _ in range(3)]
        for rank in range(world):
            monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
            mine = [index for _, index in EpisodeSampler(3 * 16, turns)]
            for number, batch in enumerate(batches):
                part = mine[number * 16 // world : (number + 1) * 16 // world]
                assert len(part) == 16 // world
                assert all(index + 1 in part for index in part if turns == 2 and index % 2 == 0)
                batch.update(part)
        assert batches == [{*range(16 * number, 16 * (number + 1))} for number in range(3)]

    def test_one_process_needs_no_setting_up(self) -> None:
        assert list(EpisodeSampler(3)) == [(0, 0), (0, 1), (0, 2)]


@pytest.mark.parametrize("view", [np.s_[:, :], np.s_[:, ::-1], np.s_[::2], np.s_[:1, :1]])
def test_to_tensor(view: tuple[slice, ...]) -> None:
    image = np.random.default_rng(0).integers(256, size=(9, 13, 3), dtype=np.uint8)[view]
    tensor = to_tensor(image)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    assert np.array_equal(tensor.numpy(), (image.transpose(2, 0, 1).astype(np.float32) / np.float32(255)))


def test_decoded_images_are_shared_and_not_written_to(folder: Callable[..., Path]) -> None:
    source = Folder(folder({f"{i}": (1, 2) for i in range(5)}), "train", whole=True, cache_mb=50)
    keys = [target.key for _, target in source.objects]
    before = {key: (source.load(key).image.copy(), source.load(key).labels.copy()) for key in keys}
    for augment in (None, Augment(32)):
        for episode in _episodes(_train(source, augment=augment, shots=(1, 2)), 20):
            for tensor in (episode.query, episode.target, *(shot.image for shot in episode.support)):
                tensor.zero_()
    for key, (image, labels) in before.items():
        assert np.array_equal(source.load(key).image, image)
        assert np.array_equal(source.load(key).labels, labels)


@pytest.mark.parametrize("share", [-0.1, 1.5])
@pytest.mark.parametrize("name", ["united", "exchanged", "earlier", "corrections", "recalled"])
def test_a_share_that_cannot_be_is_refused(name: str, share: float) -> None:
    with pytest.raises(DataError, match=rf"episode\.{name}={share}: expected a number from 0 to 1"):
        EpisodeOptions(**{name: share})


def test_every_key_of_the_config_is_an_option_with_the_same_default() -> None:
    config = OmegaConf.load(CONF / "config.yaml").episode
    own = set(config) - {"points"}  # which makes a PointRange
    assert own == {name for name, _ in rules()}
    assert EpisodeOptions.of(config) == EpisodeOptions()


def _labels(episode: Episode) -> list[torch.Tensor | None]:
    """Every tensor of labels of an episode."""
    dots = [None if shot.points is None else shot.points[:, 2] for shot in episode.support]
    return [episode.target, episode.previous, *dots, *(shot.mask for shot in episode.support)]


@pytest.mark.parametrize("mode", MODES)
def test_an_exchanged_task_is_the_complement(mode: Mode) -> None:
    options = {"mode": mode, "earlier": 0.5, "turns": 2, "points": PointRange(low=3, dense=0.5)}
    plain, other = (_episodes(_train(exchanged=share, **options), 20) for share in (0.0, 1.0))
    for one, complement in zip(plain, other, strict=True):
        for labels, found in zip(_labels(one), _labels(complement), strict=True):
            assert (labels is None) == (found is None)
            if labels is not None and found is not None:
                known = labels != IGNORE
                assert torch.equal(found != IGNORE, known)
                assert torch.equal(found[known], 1 - labels[known])
        assert all(
            a is None or b is None or torch.equal(a, b)
            for a, b in zip(_labels(exchanged(complement)), _labels(one), strict=True)
        )


def test_a_task_shown_by_fewer_than_three_dots_a_label_is_not_exchanged() -> None:
    options = {"mode": "interactive", "points": PointRange(high=6, dense=0.0)}
    plain, other = (_episodes(_train(exchanged=share, **options), 60) for share in (0.0, 1.0))
    few = [min(torch.bincount(one.support[0].points[:, 2], minlength=2).tolist()) < 3 for one in plain]  # type: ignore[index]
    assert 10 < sum(few) < 50
    assert [torch.equal(a.target, b.target) for a, b in zip(plain, other, strict=True)] == few


def test_a_share_is_exchanged_and_never_several_labels() -> None:
    options = {"mode": "interactive", "points": PointRange(low=3)}
    plain, some = (_episodes(_train(exchanged=share, **options), 60) for share in (0.0, 0.5))
    assert 15 < sum(not torch.equal(a.target, b.target) for a, b in zip(plain, some, strict=True)) < 45
    plain, some = (_episodes(_train(mode="interactive", exchanged=share, objects=(2, 2))) for share in (0.0, 1.0))
    several = [i for i, episode in enumerate(plain) if episode.num_labels > 2]
    assert several
    assert all(torch.equal(plain[i].target, some[i].target) for i in several)

from __future__ import annotations

import hashlib
import pickle
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from support.processes import python

from guided_seg.data.shapes.materials import PATTERNS
from guided_seg.data.shapes.shapes import PALETTES, Shapes
from guided_seg.data.source import MODES, SPLITS, Mode, Split, Task
from guided_seg.errors import DataError

SIZE = 48


def _source(split: str = "train", **options: Any) -> Shapes:
    return Shapes(split, **{"size": SIZE, "tasks": 64, "min_pixels": 40, **options})


def _tasks(source: Shapes, mode: Mode, number: int = 40, shots: int = 2) -> list[Task]:
    rng = np.random.default_rng(3)
    return [source.sample(mode, shots, rng) for _ in range(number)]


def _keys(tasks: list[Task]) -> set[Any]:
    return {view.key for task in tasks for view in (task.query, *task.support)}


def _scene(source: Shapes, key: Any) -> Any:
    return source._scene(key[1], key[2])


def _digest(source: Shapes, keys: list[Any]) -> str:
    digest = hashlib.sha256()
    for key in keys:
        sample = source.load(key)
        digest.update(sample.image.tobytes() + sample.labels.tobytes())
    return digest.hexdigest()


KEYS = [("instance", 7, -1, 0), ("instance", 7, -1, 5), ("class", 123456789, 12, 0), ("class", 1 << 61, 479, 0)]


def test_pixels_are_the_same_in_another_process() -> None:
    code = (
        "import hashlib; from guided_seg.data.shapes.shapes import Shapes; source = Shapes('train', size=48)\n"
        "digest = hashlib.sha256()\n"
        f"for key in {KEYS}:\n"
        "    sample = source.load(key); digest.update(sample.image.tobytes() + sample.labels.tobytes())\n"
        "print(digest.hexdigest())"
    )
    assert python("-c", code, limit=120).strip() == _digest(_source(), KEYS)


def test_pixels_do_not_depend_on_what_was_drawn_before() -> None:
    warm = _source()
    _digest(warm, KEYS[::-1])
    _tasks(warm, "semantic")
    assert _digest(warm, KEYS) == _digest(_source(), KEYS)


def test_a_copy_in_a_spawned_worker_draws_the_same() -> None:
    source = _source("val", twins=0.5)
    copy = pickle.loads(pickle.dumps(source))
    assert _digest(copy, KEYS[:2]) == _digest(source, KEYS[:2])
    assert [t.query.key for t in _tasks(copy, "video")] == [t.query.key for t in _tasks(source, "video")]


def test_another_seed_is_another_world() -> None:
    assert _digest(_source(seed=1), KEYS[:1]) != _digest(_source(), KEYS[:1])


def test_no_palette_is_in_two_splits() -> None:
    palettes = [set(PALETTES[split]) for split in SPLITS]
    assert sum(map(len, palettes)) == len(set.union(*palettes))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("mode", MODES)
def test_scenes_show_nothing_but_palettes_of_their_split(split: Split, mode: Mode) -> None:
    source = _source(split, siblings=0.5, twins=0.5)
    shown = set()
    for key in _keys(_tasks(source, mode)):
        scene = _scene(source, key)
        shown |= {thing.material // len(PATTERNS) for thing in (*scene.things, scene.background)}
    assert shown <= set(PALETTES[split])
    assert len(shown) > 10


def test_no_scene_is_in_two_splits() -> None:
    # the same number in another split is another scene: other outlines, not only other materials
    outlines = {_source(split)._scene(number, -1).things[0].outline.tobytes() for split in SPLITS for number in (0, 9)}
    assert len(outlines) == 6


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("mode", MODES)
def test_every_task_has_its_positive_in_sight(split: Split, mode: Mode) -> None:
    source = _source(split)
    rng = np.random.default_rng(0)
    fixed = [source.fixed(mode, i, 2, rng) for i in range(0, source.count(mode), 7)]
    visible = []
    for task in [*_tasks(source, mode), *fixed]:
        for view in (task.query, *task.support):
            sample = source.load(view.key)
            assert sample.image.shape == (SIZE, SIZE, 3)
            assert sample.labels.shape == (SIZE, SIZE)
            assert sample.labels.max() <= 5
            assert len(view.values) == 1
            assert view.values[0] > 0
            area = int((sample.labels == view.values[0]).sum())
            assert area < SIZE * SIZE
            visible.append(area >= source.min_pixels)
            if mode == "semantic":  # the asked class is drawn on top, if not always at full size
                assert area > 0
        if mode != "video":
            assert (source.load(task.query.key).labels == task.query.values[0]).sum() > 0
    assert np.mean(visible) > (0.85 if mode == "video" else 0.97)


def test_interactive_support_is_the_query() -> None:
    for task in _tasks(_source(), "interactive"):
        assert task.support == (task.query,)
        assert task.query.key[0] == "instance"


def test_semantic_support_shows_the_class_in_other_scenes() -> None:
    source = _source(twins=0.5)
    for task in _tasks(source, "semantic", shots=3):
        views = (task.query, *task.support)
        assert len({view.key[1] for view in views}) == 4
        materials = set()
        for view in views:
            things = _scene(source, view.key).things
            materials |= {things[view.values[0] - 1].material}
        assert task.group == f"material {materials.pop()}"
        assert not materials


def test_class_label_covers_all_things_of_the_material_and_no_others() -> None:
    source = _source(twins=1.0, objects=(3, 3))
    for task in _tasks(source, "semantic", 20):
        _, number, material, time = key = task.query.key
        merged = source.load(key).labels == task.query.values[0]
        apart = source.load(("instance", number, material, time)).labels
        things = _scene(source, key).things
        twins = [value for value, thing in enumerate(things, 1) if thing.material == material]
        assert len(twins) == 2
        assert np.array_equal(merged, np.isin(apart, twins))


def test_instance_map_keeps_twins_apart() -> None:
    source = _source(twins=1.0)
    both = 0
    for number in range(20):
        things = source._scene(number, -1).things
        (material, times), *_ = Counter(thing.material for thing in things).most_common(1)
        assert times == 2
        twins = [value for value, thing in enumerate(things, 1) if thing.material == material]
        seen = set(np.unique(source.load(("instance", number, -1, 0)).labels).tolist())
        both += set(twins) <= seen
    assert both >= 15  # now and then one hides the other


@pytest.mark.parametrize("twins", [0.0, 0.25, 1.0])
def test_twins_exist_at_the_configured_share(twins: float) -> None:
    source = _source(twins=twins)
    found = np.mean([_has_twins(source, number) for number in range(400)])
    assert abs(found - twins) < 0.09  # four standard deviations


def _has_twins(source: Shapes, number: int) -> bool:
    materials = [thing.material for thing in source._scene(number, -1).things]
    return len(set(materials)) < len(materials)


def test_siblings_share_the_palette_but_not_the_pattern() -> None:
    source = _source(siblings=1.0, twins=0.0)
    for number in range(100):
        materials = [thing.material for thing in source._scene(number, -1).things]
        palettes = Counter(material // len(PATTERNS) for material in materials)
        assert len(set(materials)) == len(materials)
        assert sorted(palettes.values())[-1] == 2


def test_video_follows_one_object() -> None:
    source = _source(frames=6)
    for task in _tasks(source, "video", 20, shots=5):
        views = (task.query, *task.support)
        numbers, frames = ([view.key[i] for view in views] for i in (1, 3))
        assert len(set(numbers)) == 1
        assert sorted(frames) == list(range(6))
        assert len({view.values for view in views}) == 1
        assert len({view.meta["instance"] for view in views}) == 1


def test_objects_move_a_little_from_frame_to_frame() -> None:
    source = _source(frames=5)
    steps = [step for number in range(30) for step in _steps(source, number)]
    assert 0 < np.median(steps) < 0.1 * SIZE
    frames = [source.load(("instance", 0, -1, time)).image for time in range(5)]
    assert all(not np.array_equal(a, b) for a, b in pairwise(frames))


def _steps(source: Shapes, number: int) -> Iterator[float]:
    for thing in source._scene(number, -1).things:
        places = np.array([thing.pose(time, SIZE)[:, 2] for time in range(5)])
        assert places.min() >= 0
        assert places.max() < SIZE
        yield from np.hypot(*np.diff(places, axis=0).T).tolist()


@pytest.mark.parametrize("mode", MODES)
def test_more_shots_only_append_to_fixed_support(mode: Mode) -> None:
    source = _source("test")
    for index in (0, 5, source.count(mode) - 1):
        few, many = (source.fixed(mode, index, shots, np.random.default_rng(index)) for shots in (1, 5))
        assert few.query == many.query
        assert few.support == many.support[:1]
        assert len(many.support) == (1 if mode == "interactive" else 5)


def test_fixed_videos_are_whole_and_shown_by_the_first_frame() -> None:
    source = _source("test", frames=5, tasks=11)
    assert source.count("video") == 8
    tasks = [source.fixed("video", i, 1, np.random.default_rng(i)) for i in range(8)]
    assert [task.query.key[3] for task in tasks] == [1, 2, 3, 4] * 2
    assert {task.support[0].key[3] for task in tasks} == {0}
    assert len({task.group for task in tasks}) == 2


def test_fixed_semantic_tasks_ask_for_every_palette() -> None:
    source = _source("test")
    groups = [source.fixed("semantic", i, 1, np.random.default_rng(i)).group for i in range(40)]
    assert {int(group.split()[1]) // len(PATTERNS) for group in groups} == set(PALETTES["test"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "tst"}, "no split 'tst'; did you mean 'test'"),
        ({"split": ""}, "choose from train, val, test"),
        ({"size": 16}, "data.size=16 leaves no room"),
        ({"objects": (1, 3)}, r"data.objects=\[1, 3\]: expected"),
        ({"objects": (5, 4)}, r"2 <= least <= most"),
        ({"objects": (3, 50)}, r"most <= 19"),
        ({"frames": 1}, "2 <= frames <= tasks"),
        ({"frames": 9, "tasks": 4}, "data.frames=9, data.tasks=4"),
        ({"twins": 1.5}, "shares lie in 0..1"),
        ({"siblings": -0.1}, "shares lie in 0..1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options: dict[str, Any], message: str) -> None:
    split = options.pop("split", "train")
    with pytest.raises(DataError, match=message):
        _source(split, **options)


@pytest.mark.parametrize("size", [32, 600])
def test_other_sizes(size: int) -> None:
    source = _source(size=size)
    assert source.load(KEYS[0]).image.shape == (size, size, 3)


@pytest.mark.parametrize("objects", [(2, 2), (19, 19)])
@pytest.mark.parametrize("mode", MODES)
def test_fewest_and_most_objects(objects: tuple[int, int], mode: Mode) -> None:
    source = _source("val", objects=objects, siblings=1.0, twins=1.0)
    for task in _tasks(source, mode, 5):
        assert len(_scene(source, task.query.key).things) == objects[0]

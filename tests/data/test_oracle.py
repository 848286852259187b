"""The oracle trains on the held-out classes as well, never on what is tested, and is tested on the same tasks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guided_seg.data.indexed import IndexedSource
from guided_seg.data.shapes.shapes import PALETTES, Shapes
from guided_seg.data.source import MODES, Source, Task
from guided_seg.data.sources.davis import Davis
from guided_seg.data.sources.folder import Folder
from guided_seg.data.sources.pascal import VOC_CLASSES
from guided_seg.data.sources.voc import Voc

COW = VOC_CLASSES.index("cow") + 1


def _tasks(source: Source) -> list[Task]:
    return [
        source.fixed(mode, index, 2, np.random.default_rng(index))
        for mode in source.modes
        for index in range(source.count(mode))
    ]


def _keys(source: IndexedSource) -> set[str]:
    return {str(target.key) for targets in source.classes.values() for target in targets}


@pytest.fixture
def pascal(voc: Callable[..., Path]) -> Callable[..., Voc]:
    train = {f"train{i}": (COW,) if i < 10 else (COW + 1, COW) if i == 10 else (COW + 1,) for i in range(14)}
    root = voc(train, {"v0": (COW,), "v1": (COW, COW + 1), "v2": (COW + 1,), "v3": (COW + 1,)})
    return lambda split, **options: Voc(root, split, ["cow"], **options)


@pytest.fixture
def own(folder: Callable[..., Path]) -> Callable[..., Folder]:
    root = folder({f"{i:02d}": (1, 2) if i % 2 else (2,) for i in range(20)})
    return lambda split, **options: Folder(root, split, ["1"], **options)


class TestVoc:
    def test_the_held_out_class_is_in_training_with_it_and_not_without(self, pascal: Callable[..., Voc]) -> None:
        for split in ("train", "val"):
            assert "cow" not in pascal(split).classes
            assert len(pascal(split, oracle=True).classes["cow"]) > 1

    def test_nothing_that_is_tested_is_trained_on_or_selected_by(self, pascal: Callable[..., Voc]) -> None:
        train, val, test = (_keys(pascal(split, oracle=True)) for split in ("train", "val", "test"))
        assert test == {"SegmentationClass/v0", "SegmentationClass/v1"}
        assert not train & val
        assert not (train | val) & test
        assert val == {f"SegmentationClass/{name}" for name in ("v2", "v3", "train0", "train5", "train10")}
        assert len(train) == 11

    def test_the_test_is_the_same(self, pascal: Callable[..., Voc]) -> None:
        assert _tasks(pascal("test")) == _tasks(pascal("test", oracle=True))

    def test_objects_as_well(
        self, pascal: Callable[..., Voc], tmp_path: Path, mask: Callable[..., Path], squares: Callable[..., np.ndarray]
    ) -> None:
        for path in sorted((tmp_path / "SegmentationClass").iterdir()):
            mask(tmp_path / "SegmentationObject" / path.name, squares(1, 2) if path.stem == "train10" else squares(1))
        names = {split: [group for group, _ in pascal(split, oracle=True).objects] for split in ("train", "val")}
        assert names["train"].count("cow") == 8
        assert names["val"].count("cow") == 3


class TestFolder:
    def test_the_held_out_class_is_in_training_with_it_and_not_without(self, own: Callable[..., Folder]) -> None:
        for split in ("train", "val"):
            assert "1" not in own(split).classes
            assert "1" in own(split, oracle=True).classes

    def test_the_test_is_the_same_and_its_images_are_its_own(self, own: Callable[..., Folder]) -> None:
        assert _tasks(own("test")) == _tasks(own("test", oracle=True))
        tested = {str(view.key) for task in _tasks(own("test")) for view in (task.query, *task.support)}
        assert not tested & (_keys(own("train", oracle=True)) | _keys(own("val", oracle=True)))


class TestShapes:
    def _palettes(self, source: Shapes) -> set[int]:
        rng = np.random.default_rng(0)
        tasks = [source.sample("semantic", 1, rng) for _ in range(400)]
        return {int(task.group.split()[1]) // 6 for task in tasks}

    @pytest.mark.parametrize("split", ["train", "val"])
    def test_test_materials_are_in_training_with_it_and_not_without(self, split: Any) -> None:
        test = set(PALETTES["test"])
        assert not self._palettes(Shapes(split, size=48)) & test
        found = self._palettes(Shapes(split, size=48, oracle=True))
        assert len(found & test) > 30
        assert found & set(PALETTES[split])

    @pytest.mark.parametrize("mode", MODES)
    def test_the_test_is_the_same(self, mode: Any) -> None:
        plain, oracle = (Shapes("test", size=48, tasks=16, frames=5, oracle=flag) for flag in (False, True))
        for one, other in zip(_tasks(plain), _tasks(oracle), strict=True):
            assert one == other
        key = plain.fixed(mode, 3, 1, np.random.default_rng(3)).query.key
        assert np.array_equal(plain.load(key).image, oracle.load(key).image)

    def test_test_scenes_stay_unseen(self) -> None:
        train, test = Shapes("train", size=48, oracle=True), Shapes("test", size=48)
        material = PALETTES["test"].start * 6
        outlines = [source._scene(5, material).things[0].outline for source in (train, test)]
        assert not np.array_equal(*outlines)


def test_videos_have_no_classes_to_hold_out(davis: Callable[..., Path]) -> None:
    root = davis({f"t{i}": [(1,)] * 3 for i in range(4)}, {"bear": [(1,)] * 3})
    for split in ("train", "val", "test"):
        assert _tasks(Davis(root, split)) == _tasks(Davis(root, split, oracle=True))

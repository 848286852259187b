from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guided_seg.data.sources.classes import hashed
from guided_seg.data.sources.fss1000 import Fss1000
from guided_seg.errors import BrokenFile, DataError

TEST, OTHERS = ("bus", "abe's_flyingfish"), [f"thing{i}" for i in range(12)]


@pytest.fixture
def root(fss: Callable[..., Path]) -> Path:
    return fss([*TEST, *OTHERS])


def test_splits_share_no_class(root: Path) -> None:
    classes = {split: set(Fss1000(root, split).classes) for split in ("train", "val", "test")}
    assert classes["test"] == set(TEST)
    assert classes["val"] == {name for name in OTHERS if hashed(name) < 6 / 19}
    assert classes["train"] == set(OTHERS) - classes["val"]
    assert all(classes.values())


def test_about_240_of_760_classes_are_val() -> None:
    assert sum(hashed(f"class {i}") < 6 / 19 for i in range(76000)) / 100 == pytest.approx(240, abs=5)


def test_tasks(root: Path, squares: Callable[..., np.ndarray]) -> None:
    source = Fss1000(root, "test")
    assert source.modes == ("interactive", "semantic")
    assert [target.key for target in source.classes["bus"]] == ["bus/1", "bus/2", "bus/3"]
    assert (source.load("bus/2").labels == squares(1)).all()
    rng = np.random.default_rng(0)
    for _ in range(30):
        task = source.sample("semantic", 2, rng)
        assert {str(view.key).split("/")[0] for view in (task.query, *task.support)} == {task.group}


def test_an_image_shows_one_object_so_several_are_never_asked_for(root: Path) -> None:
    source = Fss1000(root, "test")
    assert source.most("semantic") == source.most("interactive") == 1
    rng = np.random.default_rng(0)
    tasks = [source.sample("semantic", 1, rng, objects=3) for _ in range(30)]
    tasks += [source.fixed("semantic", i, 2, rng, 3) for i in range(source.count("semantic", 3))]
    for task in tasks:
        assert len(task.groups) == task.ways == 1
        assert {str(view.key).split("/")[0] for view in (task.query, *task.support)} == {task.group}


def test_lists_of_the_root_come_first(root: Path) -> None:
    (root / "train.txt").write_text("bus\n")
    (root / "test.txt").write_text("thing3\n")
    assert set(Fss1000(root, "train").classes) == {"bus"}
    assert set(Fss1000(root, "test").classes) == {"thing3"}
    (root / "val.txt").write_text("thing99\n")
    with pytest.raises(DataError, match=r"names 'thing99', which is not in .*fewshot_data"):
        Fss1000(root, "val")
    (root / "val.txt").write_text("bus\n")
    with pytest.raises(DataError, match="'bus' is on the list of train and on that of val or test"):
        Fss1000(root, "val")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "1"])
def test_masks_of_any_kind(root: Path, squares: Callable[..., np.ndarray], mode: str) -> None:
    grey = Image.fromarray(np.where(squares(1) > 0, 200, 90).astype(np.uint8))
    (Image.fromarray(squares(1) > 0) if mode == "1" else grey.convert(mode)).save(root / "bus/1.png")
    assert (Fss1000(root, "test").load("bus/1").labels == squares(1)).all()


def test_an_image_without_its_object_is_no_task(root: Path, mask: Callable[..., Path]) -> None:
    mask(root / "bus/1.png", np.zeros((40, 60)), "L")
    assert [target.key for target in Fss1000(root, "test").classes["bus"]] == ["bus/2", "bus/3"]


def test_what_cannot_be_used(root: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"nowhere does not exist; set data\.root to a folder that holds a folder of each"
    ):
        Fss1000(tmp_path / "nowhere", "train")
    with pytest.raises(DataError, match=r"none are left to train an oracle; leave data\.oracle at false"):
        Fss1000(root, "train", oracle=True)
    (root / "bus/1.png").write_bytes(b"broken")
    with pytest.raises(BrokenFile, match=r"bus/1\.png cannot be decoded"):
        Fss1000(root, "test")
    (root / "bus/1.png").unlink()
    with pytest.raises(DataError, match=r"The image 1\.jpg has no mask .*bus/1\.png"):
        Fss1000(root, "test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no folders; expected a folder of each class"):
        Fss1000(tmp_path / "empty", "test")

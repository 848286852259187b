from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from guided_seg.data.sources.camvid import CAMVID_CLASSES, Camvid
from guided_seg.errors import BrokenFile, DataError

SKY, ROAD, CAR = (CAMVID_CLASSES.index(name) for name in ("sky", "road", "car"))
SPLITS = {
    "train": {"a": (SKY, ROAD), "b": (SKY, CAR), "c": (ROAD, SKY)},
    "val": {"d": (SKY,), "e": (SKY, CAR)},
    "test": {"f": (CAR, ROAD), "g": (CAR,), "h": (SKY, ROAD)},
}


@pytest.fixture
def root(camvid: Callable[..., Path]) -> Path:
    return camvid(SPLITS, around=CAMVID_CLASSES.index("building"))


def test_classes_and_regions(root: Path) -> None:
    source = Camvid(root, "train")
    assert source.modes == ("interactive", "semantic")
    tables = {name: [target.key for target in targets] for name, targets in source.classes.items()}
    assert tables == {"sky": ["a", "b", "c"], "building": ["a", "b", "c"], "road": ["a", "c"]}
    assert ("car", "b", CAR + 1) in [(name, target.key, target.value) for name, target in source.objects]
    assert len(source.objects) == 9
    assert len(Camvid(root, "val").objects) == 5


def test_the_first_class_is_one_and_void_is_void(
    camvid: Callable[..., Path], squares: Callable[..., np.ndarray]
) -> None:
    labels = Camvid(camvid(SPLITS), "train").load("b").labels
    expected = squares(SKY + 1, CAR + 1)
    assert (labels == np.where(expected, expected, 255)).all()


def test_held_out(root: Path) -> None:
    train = Camvid(root, "train", ["car"])
    assert {str(target.key) for _, target in train.objects} == {"a", "c"}
    both = Camvid(root, "train", "car", mixed_images="background")
    assert {str(target.key) for _, target in both.objects} == {"a", "b", "c"}
    assert "car" not in {name for name, _ in both.objects}
    assert {name for name, _ in Camvid(root, "test", ["car"]).objects} == {"car"}
    assert "car" in {name for name, _ in Camvid(root, "train", ["car"], oracle=True).objects}
    with pytest.raises(DataError, match="There is no class 'cart'; did you mean 'car'"):
        Camvid(root, "train", "cart")


@pytest.mark.parametrize("folder", ["train", "trainannot"])
def test_missing_folder(root: Path, folder: str) -> None:
    shutil.rmtree(root / folder)
    with pytest.raises(DataError, match=rf"has no folder {folder}; expected train/, trainannot/, val/"):
        Camvid(root, "train")


def test_missing_file(root: Path) -> None:
    (root / "trainannot/b.png").unlink()
    with pytest.raises(DataError, match=r"The image b\.png has no mask .*trainannot/b\.png"):
        Camvid(root, "train")


@pytest.mark.parametrize(
    ("value", "message"), [(12, "holds the value 12, but the values are 0 to 10"), (11, "nothing but void")]
)
def test_masks_that_cannot_be_used(root: Path, mask: Callable[..., Path], value: int, message: str) -> None:
    mask(root / "trainannot/b.png", np.full((40, 60), value), "L")
    with pytest.raises(DataError, match=rf"b\.png {message if value == 12 else f'holds {message}'}"):
        Camvid(root, "train")


def test_a_mask_that_breaks_later(root: Path) -> None:
    source = Camvid(root, "train")
    (root / "trainannot/b.png").write_bytes(b"broken")
    with pytest.raises(BrokenFile, match=r"trainannot/b\.png cannot be decoded"):
        source.load("b")

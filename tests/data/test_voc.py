from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from guided_seg.data.indexed import IndexedSource
from guided_seg.data.source import Target
from guided_seg.data.sources.pascal import VOC_CLASSES
from guided_seg.data.sources.splits import fold_classes
from guided_seg.data.sources.voc import Voc
from guided_seg.errors import BrokenFile, DataError

CAT, COW, DOG, PERSON = (VOC_CLASSES.index(name) + 1 for name in ("cat", "cow", "dog", "person"))
TRAIN = {"t1": (CAT,), "t2": (CAT, DOG), "t3": (DOG, COW), "t4": (DOG,), "t5": (DOG, 255)}
VAL = {"v1": (CAT, COW), "v2": (COW,), "v3": (CAT,), "v4": (CAT, PERSON)}


@pytest.fixture
def root(voc: Callable[..., Path]) -> Path:
    return voc(TRAIN, VAL)


def _keys(targets: list[Target]) -> list[str]:
    return [target.key.split("/")[1] for target in targets]


def _objects(source: IndexedSource) -> list[tuple[str, str, int]]:
    return [(group, target.key.split("/")[1], target.value) for group, target in source.objects]


def test_classes_are_in_the_official_order() -> None:
    assert len(VOC_CLASSES) == 20
    assert (CAT, COW, DOG, PERSON) == (8, 10, 12, 15)
    assert sum((fold_classes("pascal5i", fold) for fold in range(4)), ()) == VOC_CLASSES


def test_tables(root: Path) -> None:
    source = Voc(root, "train")
    assert source.modes == ("interactive", "semantic")
    assert {name: _keys(targets) for name, targets in source.classes.items()} == {
        "cat": ["t1", "t2"],
        "dog": ["t2", "t3", "t4", "t5"],
    }
    # one cow is an object, but leaves no support in semantic mode
    assert ("cow", "t3", COW) in _objects(source)
    assert len(source.objects) == 7


def test_images_with_a_held_out_class_stay_out_of_train_and_val(root: Path) -> None:
    train, val = Voc(root, "train", ["cow"]), Voc(root, "val", ["cow"])
    assert _keys(train.classes["dog"]) == ["t2", "t4", "t5"]
    assert not {"cow"} & {group for group, _, _ in _objects(train) + _objects(val)}
    assert not {"t3", "v1", "v2"} & {image for _, image, _ in _objects(train) + _objects(val)}
    assert {image for _, image, _ in _objects(val)} == {"v3", "v4"}


def test_held_out_pixels_too_few_for_a_task_still_bar_an_image(
    root: Path, mask: Callable[..., Path], squares: Callable[..., np.ndarray]
) -> None:
    labels = squares(DOG)
    labels[30, 30] = COW
    mask(root / "SegmentationClass/t4.png", labels)
    assert "t4" not in _keys(Voc(root, "train", ["cow"]).classes["dog"])


def test_test_split_is_the_held_out_classes(root: Path) -> None:
    source = Voc(root, "test", ["cow"])
    assert _objects(source) == [("cow", "v1", COW), ("cow", "v2", COW)]
    assert list(source.classes) == ["cow"]
    assert {group for group, _, _ in _objects(Voc(root, "test"))} == {"cat", "cow", "person"}


@pytest.mark.parametrize("held_out", ["cow", ("cow",), ["cow", "cow"]])
def test_held_out_by_name(root: Path, held_out: Any) -> None:
    assert list(Voc(root, "test", held_out).classes) == ["cow"]


def test_held_out_by_fold(root: Path) -> None:
    assert fold_classes("pascal5i", 1) == ("bus", "car", "cat", "chair", "cow")
    source = Voc(root, "test", 1)
    assert {group for group, _, _ in _objects(source)} == {"cat", "cow"}
    assert _objects(Voc(root, "train", 1)) == [("dog", "t4", DOG), ("dog", "t5", DOG)]


def test_small_regions_are_not_tasks(root: Path) -> None:
    assert Voc(root, "train", min_pixels=144).objects
    with pytest.raises(DataError, match=r"'voc' finds nothing to segment in this split.*min_pixels"):
        Voc(root, "train", min_pixels=145)


def test_a_class_that_fills_its_image_is_not_a_task(root: Path, mask: Callable[..., Path]) -> None:
    mask(root / "SegmentationClass/t1.png", np.full((40, 60), CAT))
    assert "t1" not in {image for _, image, _ in _objects(Voc(root, "train"))}


def test_load(root: Path, squares: Callable[..., np.ndarray]) -> None:
    source = Voc(root, "train", cache_mb=1)
    sample = source.load("SegmentationClass/t5")
    assert sample.image.shape == (40, 60, 3)
    assert (sample.labels == squares(DOG, 255)).all()
    assert source.load("SegmentationClass/t5") is sample
    uncached = Voc(root, "train")
    assert uncached.load("SegmentationClass/t5") is not uncached.load("SegmentationClass/t5")


def test_support_is_other_images_of_the_class(root: Path) -> None:
    source = Voc(root, "train")
    rng = np.random.default_rng(0)
    for _ in range(50):
        task = source.sample("semantic", 2, rng)
        keys = [view.key for view in task.support]
        assert task.query.key not in keys
        assert 1 <= len(set(keys)) == len(keys) <= 2
        values = {VOC_CLASSES.index(task.group) + 1}
        assert all(set(view.values) == values for view in (task.query, *task.support))


@pytest.fixture
def instances(root: Path, mask: Callable[..., Path], squares: Callable[..., np.ndarray]) -> Path:
    """Two dogs in t4, one of them small; elsewhere objects and classes are the same regions."""
    shutil.copytree(root / "SegmentationClass", root / "SegmentationObject")
    for name, values in (TRAIN | VAL).items():
        objects = [255 if value == 255 else i for i, value in enumerate(values, 1)]
        mask(root / "SegmentationObject" / f"{name}.png", squares(*objects))
    mask(root / "SegmentationClass/t4.png", squares(DOG, DOG, DOG))
    labels = squares(1, 2, 3)
    labels[:20][labels[:20] == 3] = 255
    mask(root / "SegmentationObject/t4.png", labels)
    return root


def test_objects_come_from_instance_masks(instances: Path, squares: Callable[..., np.ndarray]) -> None:
    source = Voc(instances, "train", ["cow"])
    assert _objects(source) == [
        ("cat", "t1", 1),
        ("cat", "t2", 1),
        ("dog", "t2", 2),
        ("dog", "t4", 1),
        ("dog", "t4", 2),
        ("dog", "t5", 1),
    ]
    by_object, by_class = source.load("SegmentationObject/t2"), source.load("SegmentationClass/t2")
    assert (by_object.labels == squares(1, 2)).all()
    assert (by_class.labels == squares(CAT, DOG)).all()
    assert _objects(Voc(instances, "test", ["cow"])) == [("cow", "v1", 2), ("cow", "v2", 1)]


def test_an_image_is_one_however_many_masks_it_has(instances: Path) -> None:
    source = Voc(instances, "train")
    assert {target.key.split("/")[0] for target in source.targets()} == {"SegmentationClass", "SegmentationObject"}
    assert len(source.image_keys()) == len({source.image_file(target.key) for target in source.targets()}) == len(TRAIN)


def test_instance_masks_can_be_passed_over(instances: Path) -> None:
    assert ("dog", "t4", DOG) in _objects(Voc(instances, "train", instances=False))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "trian"}, "There is no split 'trian'; did you mean 'train'"),
        ({"held_out": ["cwo"]}, "There is no class 'cwo'; did you mean 'cow'.*aeroplane"),
        ({"held_out": ["zebra"]}, "There is no class 'zebra'"),
        ({"held_out": 4}, "There is no fold 4 of PASCAL-5i; choose 0, 1, 2 or 3"),
        ({"held_out": VOC_CLASSES}, "finds nothing to segment"),
        ({"instances": True}, r"The image t1\.jpg has no mask .*SegmentationObject/t1\.png"),
    ],
)
def test_bad_arguments(root: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Voc(root, **{"split": "train", **arguments})


@pytest.mark.parametrize("folder", ["JPEGImages", "SegmentationClass"])
def test_missing_folder(root: Path, folder: str) -> None:
    shutil.rmtree(root / folder)
    with pytest.raises(DataError, match=rf"has no folder {folder}; expected JPEGImages/, SegmentationClass/"):
        Voc(root, "train")


def test_without_lists_it_is_all_of_voc_2012(root: Path) -> None:
    shutil.rmtree(root / "ImageSets")
    message = r"no folder ImageSets/Segmentation, so all of VOC 2012 was expected, but 1464 of its 1464 train images"
    with pytest.raises(DataError, match=message):
        Voc(root, "train")


def test_without_lists_the_shipped_ones_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: Callable[..., Path], mask: Callable[..., Path], squares: Any
) -> None:
    shipped = {"voc2012_train": ["a", "b"], "voc2012_val": ["c", "d"]}
    monkeypatch.setattr("guided_seg.data.sources.voc.read_split", shipped.__getitem__)
    for stem in "abcd":
        image(tmp_path / f"JPEGImages/{stem}.jpg")
        mask(tmp_path / f"SegmentationClass/{stem}.png", squares(CAT))
    assert _keys(Voc(tmp_path, "train").classes["cat"]) == ["a", "b"]
    assert _keys(Voc(tmp_path, "test").classes["cat"]) == ["c", "d"]


def test_an_image_in_both_lists(root: Path) -> None:
    (root / "ImageSets/Segmentation/train.txt").write_text("t1\nv3\nv2\n")
    for split in ("train", "val"):
        with pytest.raises(DataError, match=r"'v2' is on the list of train and on that of val or test, 2 in all; what"):
            Voc(root, split)


def test_the_test_needs_no_list_of_train(root: Path) -> None:
    (root / "ImageSets/Segmentation/train.txt").unlink()
    assert len(Voc(root, "test").objects) == 6


def test_train_needs_no_list_of_val(root: Path) -> None:
    (root / "ImageSets/Segmentation/val.txt").unlink()
    assert len(Voc(root, "train").objects) == 7


def test_missing_root(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist; set data\.root to a folder that holds JPEGImages/"):
        Voc(tmp_path / "nowhere", "train")


def test_missing_or_empty_list(root: Path) -> None:
    (root / "ImageSets/Segmentation/val.txt").write_text("\n")
    with pytest.raises(DataError, match=r"The list .*val\.txt is empty"):
        Voc(root, "val")
    (root / "ImageSets/Segmentation/val.txt").unlink()
    with pytest.raises(DataError, match=r"The list .*val\.txt is missing"):
        Voc(root, "test")


def test_image_without_mask_and_mask_without_image(root: Path) -> None:
    (root / "SegmentationClass/t2.png").unlink()
    with pytest.raises(DataError, match=r"The image t2\.jpg has no mask .*SegmentationClass/t2\.png; add the mask"):
        Voc(root, "train")
    (root / "JPEGImages/v2.jpg").unlink()
    with pytest.raises(DataError, match=r"The mask v2\.png has no image .*JPEGImages/v2\.jpg; add the image"):
        Voc(root, "val")


def test_sizes_that_differ(root: Path, image: Callable[..., Path]) -> None:
    image(root / "JPEGImages/t2.jpg", 30, 60)
    with pytest.raises(DataError, match=r"t2\.jpg is 30 x 60 .* but its mask .*t2\.png is 40 x 60; resize"):
        Voc(root, "train")


def test_sizes_that_differ_later(root: Path, image: Callable[..., Path]) -> None:
    source = Voc(root, "train")
    image(root / "JPEGImages/t2.jpg", 30, 60)
    with pytest.raises(BrokenFile, match="30 x 60"):
        source.load("SegmentationClass/t2")


def test_broken_jpeg(root: Path) -> None:
    path = root / "JPEGImages/t3.jpg"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BrokenFile, match=r"t3\.jpg is cut off"):
        Voc(root, "train")
    Voc(root, "val")


def test_mask_in_colour(root: Path) -> None:
    path = root / "SegmentationClass/t3.png"
    Image.open(path).convert("RGB").save(path)
    with pytest.raises(DataError, match=r"t3\.png is a picture of type RGB"):
        Voc(root, "train")


def test_mask_of_an_unknown_class(root: Path, mask: Callable[..., Path], squares: Callable[..., np.ndarray]) -> None:
    mask(root / "SegmentationClass/t1.png", squares(21))
    with pytest.raises(DataError, match=r"t1\.png holds the value 21, but the values are 0 \(background\), 1 to 20"):
        Voc(root, "train")


@pytest.mark.parametrize(("value", "message"), [(0, "only the label 0"), (255, r"nothing but void \(255\)")])
def test_mask_of_one_label(root: Path, mask: Callable[..., Path], value: int, message: str) -> None:
    mask(root / "SegmentationClass/t1.png", np.full((40, 60), value))
    with pytest.raises(DataError, match=rf"t1\.png holds {message}; a task needs something to segment"):
        Voc(root, "train")

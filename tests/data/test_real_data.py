"""The sources on real archives, where there are any."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from guided_seg.data.coco.coco import COCO_CLASSES, Coco
from guided_seg.data.images import image_size, read_labels
from guided_seg.data.indexed import IndexedSource
from guided_seg.data.preparation.reading import read_all
from guided_seg.data.source import SPLITS
from guided_seg.data.sources.davis import Davis
from guided_seg.data.sources.mixture import Mixture
from guided_seg.data.sources.pascal import VOC_CLASSES
from guided_seg.data.sources.voc import Voc

DATA = Path(os.environ.get("GUIDED_SEG_DATA") or Path(__file__).parents[2] / "../shared/data").resolve()
needs_voc, needs_davis, needs_coco = (
    pytest.mark.skipif(
        not (DATA / name).is_dir(),
        reason=f"no {name}/ in {DATA}; set GUIDED_SEG_DATA to the folder that holds it",
    )
    for name in ("voc2012", "davis", "coco")
)


@pytest.fixture(scope="module")
def voc() -> dict[str, Voc]:
    return {split: Voc(DATA / "voc2012", split, ["cow"], cache_mb=8) for split in ("train", "val", "test")}


def _images(source: IndexedSource) -> set[str]:
    return {target.key.split("/")[1] for _, target in source.objects}


@needs_voc
def test_voc_splits_without_cows(voc: dict[str, Voc]) -> None:
    assert {split: len(_images(source)) for split, source in voc.items()} == {
        "train": 1583,
        "val": 394,
        "test": 67,
    }
    assert voc["test"].count("semantic") == voc["test"].count("interactive") == 67
    assert list(voc["test"].classes) == ["cow"]


@needs_voc
@pytest.mark.parametrize("split", ["train", "val"])
def test_no_cow_reaches_training_or_model_selection(voc: dict[str, Voc], split: str) -> None:
    cow = VOC_CLASSES.index("cow") + 1
    assert "cow" not in voc[split].classes
    masks = (DATA / "voc2012/SegmentationClass" / f"{image}.png" for image in sorted(_images(voc[split])))
    assert not any((read_labels(mask) == cow).any() for mask in masks)


@needs_voc
def test_voc_episodes_load(voc: dict[str, Voc]) -> None:
    rng = np.random.default_rng(0)
    for mode in voc["train"].modes:
        task = voc["train"].sample(mode, 1, rng)
        sample = voc["train"].load(task.query.key)
        assert sample.image.shape[:2] == sample.labels.shape
        assert (sample.labels == task.query.values[0]).sum() >= 100


@needs_voc
def test_voc_is_whole() -> None:
    found, broken = read_all(partial(Voc, DATA / "voc2012"))
    assert {split: there.images for split, there in found.items()} == {"train": 1852, "val": 462, "test": 462}
    whole = [Voc(DATA / "voc2012", split, min_pixels=1) for split in ("train", "val")]
    files = {pair.image for source in whole for pair in source.pairs.values()}
    assert len(files) == 2314
    assert max(max(image_size(path)) for path in files) <= 320
    assert sum(len(source.classes["cow"]) for source in whole) == 332
    assert broken == []


@needs_davis
def test_davis_splits() -> None:
    test, train, val = (Davis(DATA / "davis", split) for split in ("test", "train", "val"))
    names = {"blackswan", "breakdance", "car-roundabout", "goat", "horsejump-high", "soapbox"}
    assert set(test.videos) == names
    assert test.count("interactive") == 6
    assert all(target.key.endswith("/00000") for _, target in test.objects)
    assert (len(train.videos), len(val.videos)) == (7, 1)
    assert not set(train.videos) & set(val.videos)


@needs_davis
def test_davis_masks_of_both_encodings_agree() -> None:
    one_bit = Davis(DATA / "davis", "test").load("soapbox/00000")
    assert one_bit.image.shape[0] == 240
    assert np.unique(one_bit.labels).tolist() == [0, 1]
    black_and_white = read_labels(DATA / "davis/Annotations/480p/soapbox/00000.png", binary=True)
    assert np.unique(black_and_white).tolist() == [0, 1]
    assert abs(one_bit.labels.mean() - black_and_white.mean()) < 0.01


@needs_coco
def test_coco_splits_have_every_labelled_image_once() -> None:
    parts = {split: _images(Coco(DATA / "coco", split, min_pixels=1)) for split in SPLITS}
    assert {split: len(images) for split, images in parts.items()} == {"train": 64, "val": 12, "test": 22}
    assert set.union(*parts.values()) == {path.stem for path in (DATA / "coco/labels").glob("*.txt")}


@needs_coco
def test_twenty_images_of_coco_are_tested_by_the_mixture_and_none_of_them_is_trained_on() -> None:
    test = Coco(DATA / "coco", "test", ["cow"], test_classes="all", test_images=20)
    assert len(_images(test)) == len(test.image_files()) == 20
    every = Coco(DATA / "coco", "test")
    assert _images(every) - _images(test) == {"000000000086", "000000000149"}
    for split in ("train", "val"):
        assert not Coco(DATA / "coco", split).image_files() & every.image_files()


@needs_voc
@needs_davis
@needs_coco
def test_a_mixture_of_all_three_without_dogs() -> None:
    sources: dict[str, Any] = {
        "voc": {"source": partial(Voc, DATA / "voc2012", held_out=["dog"]), "weights": {"semantic": 1}},
        "coco": {"source": partial(Coco, DATA / "coco", held_out=["dog"]), "weights": {"interactive": 1, "video": 1}},
        "davis": {"source": partial(Davis, DATA / "davis", without=["dog"]), "weights": {"interactive": 1, "video": 1}},
    }
    train = Mixture("train", sources)
    rng = np.random.default_rng(0)
    tasks = [train.sample(mode, 1, rng) for mode in train.modes for _ in range(100)]
    assert {task.query.key[0] for task in tasks} == set(sources)
    assert not [task.group for task in tasks if "dog" in task.group]
    sample = train.load(tasks[0].query.key)
    assert sample.image.shape[:2] == sample.labels.shape


@needs_coco
@pytest.mark.parametrize("fold", range(4))
@pytest.mark.parametrize("split", ["train", "val"])
def test_no_class_of_a_coco_fold_reaches_training_or_model_selection(fold: int, split: str) -> None:
    source = Coco(DATA / "coco", split, fold)
    held = {i for i in range(len(COCO_CLASSES)) if i % 4 == fold}
    for image in _images(source):
        lines = (DATA / f"coco/labels/{image}.txt").read_text().splitlines()
        assert not held & {int(line.split()[0]) for line in lines}
    assert not {COCO_CLASSES[i] for i in held} & {group for group, _ in source.objects}


@needs_coco
def test_coco_masks_are_the_polygons() -> None:
    source = Coco(DATA / "coco", "test", min_pixels=1)
    differences, pixels = 0, 0
    for name, target in source.objects:
        sample, image = source.load(target.key), str(target.key).removeprefix("object/")
        height, width = sample.labels.shape
        kind, *numbers = (DATA / f"coco/labels/{image}.txt").read_text().splitlines()[target.value - 1].split()
        assert COCO_CLASSES[int(kind)] == name
        outline = np.round(np.array(numbers, float).reshape(-1, 2) * (width, height)).astype(np.int32)
        drawn = cv2.fillPoly(np.zeros((height, width), np.uint8), [outline], 1) > 0
        # what another instance lies on is not this one's; the edges of two ways to draw differ
        assert not (
            sample.labels[~cv2.dilate(drawn.astype(np.uint8), np.ones((5, 5))).astype(bool)] == target.value
        ).any()
        own = (sample.labels == target.value) | (sample.labels == 0)
        differences += int(((sample.labels == target.value) != drawn)[own].sum())
        pixels += int(drawn.sum())
    assert differences < 0.03 * pixels


@needs_coco
def test_coco_episodes_load() -> None:
    rng, source = np.random.default_rng(0), Coco(DATA / "coco", "train")
    for mode in ("interactive", "semantic"):
        for _ in range(20):
            task = source.sample(mode, 2, rng)
            for view in (task.query, *task.support):
                sample = source.load(view.key)
                assert sample.image.shape[:2] == sample.labels.shape
                assert (sample.labels == view.values[0]).sum() >= 100

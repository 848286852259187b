"""The sources on real archives, where there are any."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from omegaconf import OmegaConf
from support.commands import CONF

from guided_seg.data.coco.coco import COCO_CLASSES, Coco
from guided_seg.data.images import image_size, mask_mode, read_labels
from guided_seg.data.indexed import IndexedSource
from guided_seg.data.preparation.reading import read_all
from guided_seg.data.source import SPLITS
from guided_seg.data.sources.davis import Davis
from guided_seg.data.sources.folder import Folder
from guided_seg.data.sources.mixture import Mixture
from guided_seg.data.sources.pascal import VOC_CLASSES
from guided_seg.data.sources.splits import read_split
from guided_seg.data.sources.voc import Voc

DATA = Path(os.environ.get("GUIDED_SEG_DATA") or Path(__file__).parents[2] / "../shared/data").resolve()
needs_voc, needs_davis, needs_coco, needs_regions = (
    pytest.mark.skipif(
        not (DATA / name).is_dir(),
        reason=f"no {name}/ in {DATA}; set GUIDED_SEG_DATA to the folder that holds it",
    )
    for name in ("voc2012", "davis2016", "coco_instances", "bsds_regions")
)
COMPLETE = ("coco_small", "coco128_json")
"""The sets of coco_instances/ in which every object is marked."""


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
def test_davis_splits_are_the_official_ones() -> None:
    test, train, val = (Davis(DATA / "davis2016", split) for split in ("test", "train", "val"))
    assert list(test.videos) == read_split("davis2016_val")
    assert test.count("interactive") == 20
    assert all(target.key.endswith("/00000") for _, target in test.objects)
    assert (len(train.videos), len(val.videos)) == (21, 5)
    # four official sequences of train are not there; no official sequence of val is trained on or chosen by
    assert {*train.videos, *val.videos} < set(read_split("davis2016_train"))
    assert not set(train.videos) & set(val.videos)
    assert [len(source.image_files()) for source in (train, val, test)] == [1520, 356, 1376]


@needs_davis
def test_davis_masks_have_one_bit() -> None:
    for sequence in ("soapbox", "bear"):
        folder = DATA / "davis2016/Annotations/240p" / sequence
        assert {mask_mode(path) for path in folder.iterdir()} == {"1"}
        first = read_labels(folder / "00000.png")
        assert first.shape[0] == 240
        assert np.unique(first).tolist() == [0, 1]


def _annotated(split: str) -> dict[str, list[dict[str, Any]]]:
    """COCO's annotations of each image by its name, in their order; read without the package."""
    content = json.loads((DATA / f"coco_instances/annotations/instances_{split}2017.json").read_text())
    found: dict[str, list[dict[str, Any]]] = {Path(image["file_name"]).stem: [] for image in content["images"]}
    stems = {image["id"]: Path(image["file_name"]).stem for image in content["images"]}
    for annotation in content["annotations"]:
        found[stems[annotation["image_id"]]].append(annotation)
    return found


@needs_coco
def test_coco_splits_have_every_annotated_image_once() -> None:
    sources = {split: Coco(DATA / "coco_instances", split, min_pixels=1) for split in SPLITS}
    parts = {split: _images(source) for split, source in sources.items()}
    assert {split: len(images) for split, images in parts.items()} == {"train": 787, "val": 43, "test": 112}
    assert {split: len(source.objects) for split, source in sources.items()} == {"train": 5918, "val": 333, "test": 802}
    assert not parts["train"] & parts["val"]
    # two of the 832 photos of the official train have no instance
    assert parts["train"] | parts["val"] == {image for image, found in _annotated("train").items() if found}
    assert parts["test"] == set(_annotated("val"))


@needs_coco
def test_no_photo_of_cocos_test_is_trained_on() -> None:
    test = Coco(DATA / "coco_instances", "test", ["cow"], test_classes="all")
    assert len(test.image_files()) == 112
    for split in ("train", "val"):
        other = Coco(DATA / "coco_instances", split)
        assert not _images(other) & _images(test)
        assert not other.image_files() & test.image_files()


@needs_coco
def test_semantic_tasks_are_of_photos_with_every_object_marked() -> None:
    sets = {}
    for split in ("train", "val"):
        content = json.loads((DATA / f"coco_instances/annotations/instances_{split}2017.json").read_text())
        sets |= {Path(image["file_name"]).stem: image["set"] for image in content["images"]}
    for split in SPLITS:
        source = Coco(DATA / "coco_instances", split, complete=COMPLETE)
        shown = {str(target.key).removeprefix("class/") for found in source.classes.values() for target in found}
        assert {sets[image] for image in shown} == set(COMPLETE)
        assert {sets[image] for image in _images(source)} == {*COMPLETE, "coco_person1", "coco_traffic"}


@needs_regions
def test_regions_of_photos() -> None:
    sources = [Folder(DATA / "bsds_regions", split, balance=0.0) for split in SPLITS]
    assert [len(source.image_files()) for source in sources] == [240, 80, 81]
    assert [source.count("interactive") for source in sources] == [3347, 1217, 1233]
    largest = [max(np.bincount(read_labels(mask).ravel())) for mask in (DATA / "bsds_regions/masks").iterdir()]
    assert np.median(largest) > 481 * 321 / 4  # a sky, a lawn or a wall, not a compact object


@needs_regions
def test_photos_of_cows_are_neither_trained_on_nor_chosen_by() -> None:
    """As the mixture holds out cows, of which four of these photos show some."""
    without = list(OmegaConf.load(CONF / "data/mixture.yaml").sources.regions.without)
    assert len(without) == 4
    kept = [Folder(DATA / "bsds_regions", split, balance=0.0, without=without) for split in ("train", "val")]
    assert not {path.stem for source in kept for path in source.image_files()} & set(without)
    assert sum(len(source.image_files()) for source in kept) == 320 - 3  # the fourth is in test


@needs_voc
@needs_davis
@needs_coco
@needs_regions
def test_a_mixture_of_all_four_without_dogs() -> None:
    both = {"interactive": 1, "video": 1}
    coco = partial(Coco, DATA / "coco_instances", held_out=["dog"], complete=COMPLETE)
    sources: dict[str, Any] = {
        "voc": {"source": partial(Voc, DATA / "voc2012", held_out=["dog"]), "weights": {"semantic": 1}},
        "coco": {"source": coco, "weights": {**both, "semantic": 1}},
        "davis": {"source": partial(Davis, DATA / "davis2016"), "weights": both},
        "regions": {"source": partial(Folder, DATA / "bsds_regions", balance=0.0), "weights": both},
    }
    train = Mixture("train", sources)
    rng = np.random.default_rng(0)
    tasks = {mode: [train.sample(mode, 1, rng) for _ in range(100)] for mode in train.modes}
    assert {task.query.key[0] for found in tasks.values() for task in found} == set(sources)
    assert {task.query.key[0] for task in tasks["semantic"]} == {"voc", "coco"}
    assert not [task.group for found in tasks.values() for task in found if "dog" in task.group]
    sample = train.load(tasks["video"][0].query.key)
    assert sample.image.shape[:2] == sample.labels.shape


@needs_coco
@pytest.mark.parametrize("fold", range(4))
@pytest.mark.parametrize("split", ["train", "val"])
def test_no_class_of_a_coco_fold_reaches_training_or_model_selection(fold: int, split: str) -> None:
    source, annotated = Coco(DATA / "coco_instances", split, fold), _annotated("train")
    content = json.loads((DATA / "coco_instances/annotations/instances_train2017.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    held = {name for i, name in enumerate(COCO_CLASSES) if i % 4 == fold}
    for image in _images(source):
        assert not held & {names[annotation["category_id"]] for annotation in annotated[image]}
    assert not held & {group for group, _ in source.objects}


@needs_coco
def test_coco_masks_are_the_polygons() -> None:
    source, annotated = Coco(DATA / "coco_instances", "test", min_pixels=1), _annotated("val")
    differences, pixels = 0, 0
    for _, target in source.objects:
        sample, image = source.load(target.key), str(target.key).removeprefix("object/")
        outlines = annotated[image][target.value - 1]["segmentation"]
        drawn = np.zeros(sample.labels.shape, np.uint8)
        for outline in outlines:
            cv2.fillPoly(drawn, [np.round(np.array(outline).reshape(-1, 2)).astype(np.int32)], 1)
        # what another instance lies on is not this one's; the edges of two ways to draw differ
        far = ~cv2.dilate(drawn, np.ones((5, 5))).astype(bool)
        assert not (sample.labels[far] == target.value).any()
        own = (sample.labels == target.value) | (sample.labels == 0)
        differences += int(((sample.labels == target.value) != (drawn > 0))[own].sum())
        pixels += int(drawn.sum())
    assert differences < 0.03 * pixels


@needs_coco
def test_coco_episodes_load() -> None:
    rng, source = np.random.default_rng(0), Coco(DATA / "coco_instances", "train")
    for mode in ("interactive", "semantic"):
        for _ in range(20):
            task = source.sample(mode, 2, rng)
            for view in (task.query, *task.support):
                sample = source.load(view.key)
                assert sample.image.shape[:2] == sample.labels.shape
                assert (sample.labels == view.values[0]).sum() >= 100

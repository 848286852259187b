"""PASCAL VOC: images with class masks, and with instance masks where there are any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from guided_seg.data.classes import HeldOut, as_split, class_values, open_keys, open_values
from guided_seg.data.files import FileSource, Pair
from guided_seg.data.images import read_labels
from guided_seg.data.source import DataError, Split, Target
from guided_seg.data.tables import MIN_PIXELS, Counts, Tables, class_table, is_task, object_list
from guided_seg.data.verify import (
    check_labelled,
    check_named,
    count_labels,
    open_root,
    read_list,
    survey,
)
from guided_seg.episode import IGNORE

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle"),
    *("bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person"),
    *("pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""The classes in the official order; mask value 1 is the first. Each row is a fold of PASCAL-5i."""

FOLD_SIZE = 5
VAL_SHARE = 5
CLASSES, OBJECTS, LISTS = "SegmentationClass", "SegmentationObject", "ImageSets/Segmentation"
LAYOUT = f"JPEGImages/, {CLASSES}/ and ImageSets/Segmentation/train.txt and val.txt"


class Voc(FileSource):
    """PASCAL VOC in its own layout, with classes held out of training.

    ``train`` is train.txt and ``val`` is val.txt, both without any image that has a pixel of a held-out
    class, so that neither training nor model selection sees one. ``test`` is val.txt with the held-out
    classes as the only tasks (all classes when none is held out).

    Interactive tasks are the objects of ``SegmentationObject/``; without that folder all regions of one class
    in an image together stand in for an object. IoU is grouped by class either way. There are no videos.

    Args:
        root: the folder that holds JPEGImages/, SegmentationClass/ and ImageSets/ (usually named VOC2012).
        split: train, val or test.
        held_out: names of classes, or one name, or the number 0 to 3 of a fold of PASCAL-5i.
        instances: take objects from SegmentationObject/; None: where that folder exists.
        min_pixels: smaller regions, and regions with fewer pixels around them, are not tasks.
        cache_mb: megabytes of decoded samples that each process keeps.
        balance: how evenly classes are drawn, see `IndexedSource`.
        oracle: held-out classes are in train and val as well. All their images of val.txt are tested, so it is those of
            train.txt that are shared out: every fifth goes to val, and the rest are in train.

    Raises:
        DataError: a missing folder, an empty list, an unknown split or class, or a file that cannot be used.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        held_out: HeldOut = (),
        instances: bool | None = None,
        min_pixels: int = MIN_PIXELS,
        cache_mb: float = 0.0,
        balance: float = 1.0,
        oracle: bool = False,
    ) -> None:
        split = as_split(split)
        oracle = oracle and split != "test"
        all_names = dict(enumerate(VOC_CLASSES, 1))
        held = class_values(fold_classes(held_out) if isinstance(held_out, int) else held_out, all_names)
        root = open_root(root, LAYOUT, ("JPEGImages", CLASSES, LISTS))
        instances = (root / OBJECTS).is_dir() if instances is None else instances
        images = _images(root, split, oracle)
        pairs = _pairs(root, images, (CLASSES, OBJECTS) if instances else (CLASSES,))
        counts = _count(pairs, [f"{CLASSES}/{image}" for image in images])
        keys = open_keys(split, counts, held)
        if oracle:
            keys = _oracle_keys(root, split, counts, held)
        names = {value: all_names[value] for value in open_values(split, all_names, () if oracle else held)}
        classes = class_table(counts, keys, names, min_pixels)
        objects = _objects(pairs, keys, names, min_pixels) if instances else object_list(classes)
        super().__init__("voc", pairs, Tables(objects, classes), cache_mb, balance=balance)


def fold_classes(fold: int) -> tuple[str, ...]:
    """The five classes of a fold of PASCAL-5i. Raises `DataError` unless 0 ≤ fold ≤ 3.

    Example:
        >>> fold_classes(0)
        ('aeroplane', 'bicycle', 'bird', 'boat', 'bottle')
    """
    if not 0 <= fold < len(VOC_CLASSES) // FOLD_SIZE:
        raise DataError(f"There is no fold {fold} of PASCAL-5i; choose 0, 1, 2 or 3, or give names of classes.")
    return VOC_CLASSES[fold * FOLD_SIZE : (fold + 1) * FOLD_SIZE]


def _images(root: Path, split: Split, oracle: bool) -> list[str]:
    """The images that the split is chosen from."""
    lists = {"train": ("train",), "val": ("val", "train") if oracle else ("val",), "test": ("val",)}[split]
    return list(dict.fromkeys(name for stem in lists for name in read_list(root / LISTS / f"{stem}.txt")))


def _oracle_keys(root: Path, split: Split, counts: Mapping[str, Counts], held: set[int]) -> list[str]:
    """The images of train or val with the held-out classes, none of which is tested."""
    train = {f"{CLASSES}/{image}": None for image in _images(root, "train", True)}
    for_val = [key for key in train if held & set(counts[key])][::VAL_SHARE]
    if split == "train":
        return [key for key in train if key not in for_val]
    return [*open_keys(split, {key: counts[key] for key in counts if key not in train}, held), *for_val]


def _pairs(root: Path, images: Iterable[str], folders: Iterable[str]) -> dict[str, Pair]:
    """Keys say whose labels are wanted: ``SegmentationClass/2007_000032`` or ``SegmentationObject/...``."""
    jpegs = {image: root / "JPEGImages" / f"{image}.jpg" for image in images}
    return {
        f"{folder}/{image}": Pair(jpeg, root / folder / f"{image}.png")
        for folder in folders
        for image, jpeg in jpegs.items()
    }


def _count(pairs: Mapping[str, Pair], keys: Iterable[str]) -> dict[str, Counts]:
    counts = survey(keys, lambda key: count_labels(pairs[key]), "Checking the class masks")
    for key, found in counts.items():
        check_named(found, range(1, len(VOC_CLASSES) + 1), pairs[key].mask)
        # one class that fills the image is genuine VOC, only not a task; background alone is a fault
        if not any(found):
            check_labelled([found], pairs[key].mask)
    return counts


def _objects(
    pairs: Mapping[str, Pair], keys: Iterable[str], names: Mapping[int, str], min_pixels: int
) -> list[tuple[str, Target]]:
    images = [key.removeprefix(f"{CLASSES}/") for key in keys]
    found = survey(images, partial(_object_classes, pairs, min_pixels), "Checking the instance masks")
    return [
        (names[value], Target(f"{OBJECTS}/{image}", number))
        for image, objects in found.items()
        for number, value in objects.items()
        if value in names
    ]


def _object_classes(pairs: Mapping[str, Pair], min_pixels: int, image: str) -> dict[int, int]:
    """The class value of each object in an image that is large enough."""
    pair, classes = pairs[f"{OBJECTS}/{image}"], pairs[f"{CLASSES}/{image}"]
    counts = count_labels(pair)
    labels, values = read_labels(pair.mask), read_labels(classes.mask)
    return {
        number: int(np.bincount(values[labels == number], minlength=IGNORE + 1)[:IGNORE].argmax())
        for number in sorted(set(counts) - {0})
        if is_task(counts, number, min_pixels)
    }

"""Base class of sources with the twenty classes of PASCAL VOC, from class and instance masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from guided_seg.data.files.pairs import FileSource, Pair
from guided_seg.data.files.verify import (
    check_apart,
    check_labelled,
    check_labels,
    check_named,
    count_labels,
    survey,
)
from guided_seg.data.source import Split, Target
from guided_seg.data.sources.classes import HeldOut, class_values, open_keys, open_values
from guided_seg.data.sources.splits import fold_classes
from guided_seg.data.sources.tables import Counts, Tables, class_table, is_task, object_list
from guided_seg.episode import IGNORE

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle"),
    *("bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person"),
    *("pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""The classes in the official order, from mask value 1. Each row is a fold of PASCAL-5i."""

VAL_SHARE = 5


class Lists(NamedTuple):
    """The images for training and for testing; validation uses the latter, without held-out classes."""

    train: Sequence[str]
    val: Sequence[str]


class Pascal(FileSource):
    """Photographs of the twenty classes. Subclasses find the files.

    ``train`` is the images of the train list and ``val`` those of the val list, both without images that have a pixel
    of a held-out class. ``test`` is the val list with the held-out classes as the only tasks (all classes if none is
    held out). Interactive tasks are objects if there are instance masks; otherwise all regions of one class in an image
    count as one object. IoU is always grouped by class.

    Args:
        name: for messages and meta.
        split: train, val or test.
        lists: the images; those of train are optional in test, and those of val in train.
        masks: folder name -> a function from an image to its pair there. The first folder has the class masks; an
            optional second one the instance masks. Keys are ``folder/image``.
        held_out: names of classes, one name, or a PASCAL-5i fold 0 to 3.
        min_pixels: smaller regions, and regions with fewer pixels around them, are not tasks.
        cache_mb: size of each process's LRU cache of decoded samples, in megabytes.
        balance: class-balanced sampling, see `IndexedSource`.
        oracle: train and val also contain the held-out classes. All their images in the val list are tested, so those
            of the train list are divided: every fifth belongs to val, and the rest to train.
        mixed_images: how train uses images of open and held-out classes, see `open_keys`. Such images of the val list
            are always dropped from val, since they are tested.

    Raises:
        DataError: an image in both lists, an unknown class or fold, or a file that cannot be used.
    """

    def __init__(
        self,
        name: str,
        split: Split,
        lists: Lists,
        masks: Mapping[str, Callable[[str], Pair]],
        held_out: HeldOut,
        min_pixels: int,
        cache_mb: float,
        balance: float,
        oracle: bool,
        mixed_images: str,
    ) -> None:
        oracle = oracle and split != "test"
        all_names = dict(enumerate(VOC_CLASSES, 1))
        held = class_values(fold_classes("pascal5i", held_out) if isinstance(held_out, int) else held_out, all_names)
        check_apart(*lists)
        images = {"train": lists.train, "val": [*lists.val, *(lists.train if oracle else ())], "test": lists.val}[split]
        pairs = {f"{folder}/{image}": pair(image) for folder, pair in masks.items() for image in images}
        folder, *objects = masks
        counts = _count(pairs, [f"{folder}/{image}" for image in images])
        if oracle:
            keys = _oracle_keys([f"{folder}/{image}" for image in lists.train], split, counts, held)
        else:
            keys = open_keys(split, counts, held, mixed_images if split == "train" else "drop")
        names = {value: all_names[value] for value in open_values(split, all_names, () if oracle else held)}
        classes = class_table(counts, keys, names, min_pixels)
        found = _objects(pairs, keys, (folder, *objects), names, min_pixels) if objects else object_list(classes)
        super().__init__(name, pairs, Tables(found, classes), cache_mb, balance)


def _oracle_keys(train: Sequence[str], split: Split, counts: Mapping[str, Counts], held: set[int]) -> list[str]:
    """Images of train or val with held-out classes. None of them is in the test set."""
    for_val = [key for key in train if held & set(counts[key])][::VAL_SHARE]
    if split == "train":
        return [key for key in train if key not in for_val]
    trained = set(train)
    others = {key: found for key, found in counts.items() if key not in trained}
    return [*open_keys(split, others, held), *for_val]


def _count(pairs: Mapping[str, Pair], keys: Iterable[str]) -> dict[str, Counts]:
    counts = survey(keys, lambda key: count_labels(pairs[key]), "Checking the class masks")
    for key, found in counts.items():
        check_named(found, range(1, len(VOC_CLASSES) + 1), pairs[key].mask)
        # a class that fills the image occurs in VOC and is only not a task; a mask of background is a fault
        if not any(found):
            check_labelled([found], pairs[key].mask)
    return counts


def _objects(
    pairs: Mapping[str, Pair], keys: Iterable[str], folders: Sequence[str], names: Mapping[int, str], min_pixels: int
) -> list[tuple[str, Target]]:
    classes, objects = folders
    images = [key.removeprefix(f"{classes}/") for key in keys]
    inspect = partial(_object_classes, pairs, classes, objects, min_pixels)
    return [
        (names[value], Target(f"{objects}/{image}", number))
        for image, found in survey(images, inspect, "Checking the instance masks").items()
        for number, value in found.items()
        if value in names
    ]


def _object_classes(
    pairs: Mapping[str, Pair], classes: str, objects: str, min_pixels: int, image: str
) -> dict[int, int]:
    """The class value of each object in an image that is large enough: the most frequent one among its pixels."""
    pair, of_class = pairs[f"{objects}/{image}"], pairs[f"{classes}/{image}"]
    (labels, counts), values = check_labels(pair), of_class.read(of_class.mask)
    return {
        number: int(np.bincount(values[labels == number], minlength=IGNORE + 1)[:IGNORE].argmax())
        for number in sorted(set(counts) - {0})
        if is_task(counts, number, min_pixels)
    }

"""COCO: its eighty classes or your own, from COCO's JSON or from polygon label files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from guided_seg.data.coco.coco_layouts import LAYOUT, Item, find_items
from guided_seg.data.coco.outlines import Annotated
from guided_seg.data.files.pairs import FileSource, Pair
from guided_seg.data.files.verify import check_pair, count_values, open_root, survey
from guided_seg.data.images import image_size
from guided_seg.data.source import Split, Target
from guided_seg.data.sources.classes import HeldOut, as_split, class_values, hashed, open_keys, open_values, unknown
from guided_seg.data.sources.splits import fold_classes
from guided_seg.data.sources.tables import MIN_PIXELS, Counts, Tables, class_table, is_task
from guided_seg.errors import DataError
from guided_seg.files.text import shown

COCO_CLASSES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    *("microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear"),
    *("hair drier", "toothbrush"),
)
"""The classes in the official order; the first has value 1, and number 0 in polygon label files."""

VAL = 0.05
"""Share of the official train set used as val."""
TESTED = ("held_out", "all")
"""Choices for the classes of the test."""


class Coco(FileSource):
    """COCO in its own layout, or your own data in its formats, with held-out classes.

    *The official layout:* ``annotations/instances_train2017.json``, ``instances_val2017.json``, ``train2017/`` and
    ``val2017/``. ``test`` is the official val. ``val`` is a twentieth of the official train, chosen by a hash of the
    file name, so that model selection does not use the test. *Polygon label files:* ``images/ID.jpg`` and
    ``labels/ID.txt`` with a line ``class x1 y1 x2 y2 ...`` per instance, x and y as fractions of width and height.
    Splits are train.txt, val.txt and test.txt in the root. Without any of them, a hash of the name assigns two tenths
    of the images to ``test``, one to ``val`` and the rest to ``train``, independently of other images. *Exports of
    annotation tools:* a JSON file or label files in folders of each split, or one JSON file for all images, see
    `guided_seg.data.coco.coco_layouts`. Classes are those of the file, or of data.yaml or classes.txt.

    Interactive tasks are instances, semantic tasks are classes, and IoU is grouped by class. Crowds are void, and
    exclude their image from training if their class is held out. Smaller instances are on top of larger ones, in class
    maps as well. Images without instances are not used.

    In data merged from several sets, some may have only the objects of a few classes marked. There, an unmarked object
    is unknown, not background. An interactive task is sound, as it tells one object from everything else. A semantic
    task is not: to it, the image lacks every class that is not marked. So with ``complete``, the images of other sets
    give interactive tasks only. They may also show an object of a held-out class that nobody marked.

    Args:
        root: folder with annotations/ and the images, or with images/ and labels/.
        split: train, val or test.
        held_out: names of classes, one name, or a COCO-20i fold 0 to 3.
        year: 2017 or 2014, in the names of the official layout.
        min_pixels: smaller instances and regions, and those with fewer pixels around them, are not tasks.
        cache_mb: size of each process's LRU cache of decoded samples, in megabytes.
        balance: class-balanced sampling, see `IndexedSource`.
        oracle: train and val also contain the held-out classes, but never test images.
        mixed_images: images of open and held-out classes: drop, or background; see `open_keys`.
        test_classes: classes of the test: held_out, only the held-out classes, if any; or all.
        test_images: number of test images, those with the lowest hashes; the other ones are in no split. None for all.
        complete: the sets (``set`` of an image in the JSON file) in which all objects are marked; None for all images.

    Attributes:
        annotated: the images of the split, and the ids of images and classes in the JSON file.

    Raises:
        DataError: a missing folder or file, an unknown split or class, or a file that cannot be used.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        held_out: HeldOut = (),
        year: int | str = 2017,
        min_pixels: int = MIN_PIXELS,
        cache_mb: float = 0.0,
        balance: float = 1.0,
        oracle: bool = False,
        mixed_images: str = "drop",
        test_classes: str = "held_out",
        test_images: int | None = None,
        complete: Sequence[str] | None = None,
    ) -> None:
        split = as_split(split)
        if test_classes not in TESTED:
            raise unknown("data.test_classes", test_classes, TESTED)
        root = open_root(root, LAYOUT, ())
        self.annotated = find_items(root, split, str(year), COCO_CLASSES, partial(_wanted, split))
        images, names = self.annotated.items, dict(enumerate(self.annotated.classes or COCO_CLASSES, 1))
        held = class_values(_fold(held_out, self.annotated.classes) if isinstance(held_out, int) else held_out, names)
        hidden = set() if (test_classes == "all" if split == "test" else oracle) else held
        if split == "test" and test_images is not None:
            tested = set(sorted(images, key=hashed)[:test_images])
            images = {name: item for name, item in images.items() if name in tested}
        found = survey(images, lambda image: _inspect(images[image], min_pixels), "Checking the instances")
        _check_annotated(root, split, images, found)
        _check_complete(split, complete, {content.part for content in found.values()})
        counts = {f"class/{image}": content.classes for image, content in found.items()}
        keys = open_keys(split, counts, hidden, mixed_images)
        asked = {value: names[value] for value in open_values(split, names, hidden)}
        objects = [
            (asked[value], Target(f"object/{image}", number))
            for image in (key.removeprefix("class/") for key in keys)
            for number, value in found[image].objects.items()
            if value in asked
        ]
        pairs = {f"{kind}/{name}": _pair(item, kind) for name, item in images.items() for kind in ("class", "object")}
        whole = [key for key in keys if complete is None or found[key.removeprefix("class/")].part in complete]
        classes = class_table(counts, whole, asked, min_pixels)
        super().__init__("coco", pairs, Tables(objects, classes), cache_mb, balance)


class _Content(NamedTuple):
    """Pixel count of each class in an image, the classes of instances that are large enough, and the image's set."""

    classes: Counts
    objects: dict[int, int]
    part: str


def _wanted(split: Split, file: str) -> bool:
    """Whether an image of an official file is in the split; a hash of the name selects a share of train as val."""
    return split == "test" or (hashed(Path(file).stem) < VAL) == (split == "val")


def _check_annotated(root: Path, split: Split, images: Mapping[str, Item], found: Mapping[str, _Content]) -> None:
    if not images:
        raise DataError(
            f"No annotated image of {root} is in the split {split}; by a hash of the name, a twentieth of the official "
            "train is val, and a tenth of data without splits. Add images, or put those of each split into folders "
            "train/, valid/ and test/."
        )
    if found and not any(set(content.classes) - {0} for content in found.values()):
        raise DataError(
            f"None of the {len(found)} annotation files of {root} for {split} has an instance; export polygons or "
            "masks, not boxes."
        )


def _check_complete(split: Split, complete: Sequence[str] | None, sets: set[str]) -> None:
    """Refuse the name of a set that no training image has; a small validation or test part may lack one."""
    missing = sorted(set(complete or ()) - sets)
    if missing and split == "train":
        there = f"only {', '.join(sorted(sets - {''}))}" if sets - {""} else "no `set` at all"
        raise DataError(
            f"data.complete names the set {shown(missing[0])}, but the training images have {there}; give names of "
            "sets whose images have all objects marked, or null if all images have."
        )


def _fold(fold: int, own: Sequence[str]) -> Sequence[str]:
    if own:
        raise DataError(
            f"data.held_out={fold} is a fold of COCO's 80 classes, but the data has classes of its own; give names, "
            f"from {', '.join(own)}."
        )
    return fold_classes("coco20i", fold)


def _pair(item: Item, kind: str) -> Pair:
    return Pair(item.image, item.mask, partial(_paint, item.read, kind == "class"))


def _paint(read: Callable[[Path], Annotated], by_class: bool, path: Path) -> UInt8[np.ndarray, "H W"]:
    return read(path).paint(by_class)


def _inspect(item: Item, min_pixels: int) -> _Content:
    pair = _pair(item, "object")
    pair.check_both_exist()
    annotated = item.read(item.mask)
    pair.check_sizes(image_size(item.image), annotated.size)  # before painting anything of a size from a file
    seen = count_values(check_pair(pair))
    classes, objects = {0: seen.get(0, 0)}, {}
    for number, instance in enumerate(annotated.instances, 1):
        # a crowd, or a hidden instance, has no pixels of its class, but still excludes its image
        classes[instance.value] = classes.get(instance.value, 0) + seen.get(number, 0)
        if is_task(seen, number, max(min_pixels, 1)):
            objects[number] = instance.value
    return _Content(classes, objects, annotated.part)

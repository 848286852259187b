"""PASCAL VOC: images with class masks and optional instance masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from guided_seg.data.files.pairs import MASK_SUFFIXES, Pair, image_files
from guided_seg.data.files.verify import open_root, read_list
from guided_seg.data.source import Split
from guided_seg.data.sources.classes import HeldOut, as_split, unknown
from guided_seg.data.sources.pascal import Lists, Pascal
from guided_seg.data.sources.regions import read_regions
from guided_seg.data.sources.sbd import CLASSES as SBD_CLASSES
from guided_seg.data.sources.sbd import OBJECTS as SBD_OBJECTS
from guided_seg.data.sources.sbd import open_sbd, sbd_images, sbd_pair
from guided_seg.data.sources.splits import read_split
from guided_seg.data.sources.tables import MIN_PIXELS
from guided_seg.errors import DataError
from guided_seg.files.text import as_stored

IMAGES, CLASSES, OBJECTS, LISTS = "JPEGImages", "SegmentationClass", "SegmentationObject", "ImageSets/Segmentation"
AUGMENTED, REGIONS = "SegmentationClassAug", "regions"
LAYOUT = f"{IMAGES}/, {CLASSES}/ and {LISTS}/train.txt and val.txt"
TRAIN_LISTS = ("train", "trainaug")


class Voc(Pascal):
    """PASCAL VOC in its own layout, with held-out classes.

    ``train`` is train.txt and ``val`` is val.txt, both without images that have a pixel of a held-out class, so that
    neither training nor model selection uses one. ``test`` is val.txt with the held-out classes as the only tasks (all
    classes if none is held out). The lists are those of the root. A root without ImageSets/Segmentation/ must contain
    all of VOC 2012, and uses the shipped lists.

    Interactive tasks are the objects of ``SegmentationObject/``. Without that folder, all regions of one class in an
    image count as one object, or with ``instances="regions"`` each connected component. IoU is always grouped by class.
    There are no videos.

    ``train_list=trainaug`` trains on VOC's train and SBD's images without VOC's val, 10,582 images of the official data
    (Hariharan et al., 2011): the images of ImageSets/Segmentation/trainaug.txt; without this list those of
    SegmentationClassAug/, and without that folder those of SBD, except the images of val.txt and of the official val.
    The mask of an image is the first that exists of SegmentationClass/, SegmentationClassAug/ and SBD's.

    Args:
        root: folder with JPEGImages/, SegmentationClass/ and ImageSets/ (usually named VOC2012).
        split: train, val or test.
        held_out: names of classes, one name, or a PASCAL-5i fold 0 to 3.
        instances: use objects from SegmentationObject/ (and SBD's inst/); None: if all images have such masks, that is,
            if the folder exists and train_list=trainaug uses SBD; or ``regions``, those of class masks
            (`guided_seg.data.sources.regions.split`).
        min_pixels: smaller regions, and regions with fewer pixels around them, are not tasks.
        cache_mb: size of each process's LRU cache of decoded samples, in megabytes.
        balance: class-balanced sampling, see `IndexedSource`.
        oracle: train and val also contain the held-out classes, see `Pascal`.
        train_list: train or trainaug.
        sbd_root: SBD's folder, for trainaug; see `guided_seg.data.sources.sbd`.
        mixed_images: images of open and held-out classes: drop, or background; see `open_keys`.

    Raises:
        DataError: a missing folder, an empty list, an unknown split or class, or a file that cannot be used.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        held_out: HeldOut = (),
        instances: bool | str | None = None,
        min_pixels: int = MIN_PIXELS,
        cache_mb: float = 0.0,
        balance: float = 1.0,
        oracle: bool = False,
        train_list: str = "train",
        sbd_root: str | Path | None = None,
        mixed_images: str = "drop",
    ) -> None:
        split = as_split(split)
        root = open_root(root, LAYOUT, (IMAGES, CLASSES))
        if train_list not in TRAIN_LISTS:
            raise unknown("data.train_list", train_list, TRAIN_LISTS)
        if sbd_root is not None and train_list == "train":
            raise DataError(
                "data.sbd_root adds images to data.train_list=trainaug; choose that list, or leave data.sbd_root out."
            )
        sbd = open_sbd(sbd_root, "data.sbd_root") if sbd_root is not None else None
        if instances is None:
            instances = (root / OBJECTS).is_dir() and (train_list == "train" or sbd is not None)
        masks = {CLASSES: partial(_pair, root, sbd, (CLASSES, AUGMENTED), SBD_CLASSES)}
        if instances not in (None, True, False, REGIONS):
            raise unknown("data.instances", str(instances), ("true", "false", REGIONS))
        if instances == REGIONS:
            masks[REGIONS] = partial(_regions, masks[CLASSES])
        elif instances:
            masks[OBJECTS] = partial(_pair, root, sbd, (OBJECTS,), SBD_OBJECTS)
        lists = _lists(root, sbd, split, train_list)
        super().__init__("voc", split, lists, masks, held_out, min_pixels, cache_mb, balance, oracle, mixed_images)


def _regions(of_class: Callable[[str], Pair], image: str) -> Pair:
    pair = of_class(image)
    return replace(pair, read=partial(read_regions, pair.read))


def _lists(root: Path, sbd: Path | None, split: Split, train_list: str) -> Lists:
    val = _listed(root, "val", needed=split != "train")
    if split == "test":
        return Lists((), val)
    train = _listed(root, "train")
    if train_list == "train":
        return Lists(train, val)
    path = root / LISTS / "trainaug.txt"
    if path.is_file():
        return Lists(read_list(path), val)
    if (root / AUGMENTED).is_dir():
        more = sorted(mask.stem for mask in image_files(root / AUGMENTED, MASK_SUFFIXES))
    elif sbd is not None:
        more = sbd_images(sbd)
    else:
        raise DataError(
            f"The data root {root} has neither {LISTS}/trainaug.txt nor {AUGMENTED}/; add the masks of that name, or "
            "set data.sbd_root to the folder of SBD that holds img/, cls/ and inst/."
        )
    tested = {*val, *read_split("voc2012_val")}
    return Lists([image for image in dict.fromkeys([*train, *more]) if image not in tested], val)


def _listed(root: Path, name: str, needed: bool = True) -> list[str]:
    if (root / LISTS).is_dir():
        path = root / LISTS / f"{name}.txt"
        return read_list(path) if needed or path.is_file() else []
    names = read_split(f"voc2012_{name}")
    missing = [image for image in names if not (root / IMAGES / f"{image}.jpg").is_file()]
    if missing and needed:
        raise DataError(
            f"The data root {root} has no folder {LISTS}, so all of VOC 2012 was expected, but {len(missing)} of its "
            f"{len(names)} {name} images are missing, such as {missing[0]}.jpg; add them, or list those that are there "
            f"in {LISTS}/train.txt and val.txt."
        )
    return names


def _pair(root: Path, sbd: Path | None, folders: Sequence[str], of_sbd: str, image: str) -> Pair:
    """The image with its first existing mask."""
    jpeg = as_stored(root / IMAGES / f"{image}.jpg")
    masks = [as_stored(root / folder / f"{image}.png") for folder in folders]
    found = next((mask for mask in masks if mask.is_file()), None)
    if found is None and sbd is not None:
        return sbd_pair(sbd, of_sbd, image, jpeg if jpeg.is_file() else None)
    return Pair(jpeg, found or masks[0])

"""CamVid: street scenes with eleven classes and a label for every pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from guided_seg.data.files.pairs import FileSource, pair_up
from guided_seg.data.files.verify import check_labelled, count_labels, open_root, survey
from guided_seg.data.images import read_labels
from guided_seg.data.sources.classes import HeldOut, as_split, class_values
from guided_seg.data.sources.tables import MIN_PIXELS, Tables, object_list, open_table
from guided_seg.episode import IGNORE
from guided_seg.errors import BrokenFile

CAMVID_CLASSES = (
    *("sky", "building", "pole", "road", "pavement", "tree", "signsymbol", "fence", "car", "pedestrian", "bicyclist"),
)
"""The classes in the order of the label files, from 0."""

LAYOUT = "train/, trainannot/, val/, valannot/, test/ and testannot/ with files of equal names"
_VALUES = np.arange(IGNORE + 1, dtype=np.uint8)
_VALUES[: len(CAMVID_CLASSES)] += 1
_VALUES[len(CAMVID_CLASSES)] = IGNORE


class Camvid(FileSource):
    """CamVid in its common form (Brostow et al., 2009; Badrinarayanan et al., 2017): 367, 101 and 233 images.

    Label files have values 0 to 10 for the classes and 11 for void; there is no background. Each split has its own
    folders. The images are stills of four drives, one second apart, and only they have labels, so there are no videos.
    Semantic tasks are classes; an interactive task is all regions of one class in an image. IoU is grouped by class.

    Nearly all images contain nearly all classes, so a held-out class leaves almost no training images unless
    ``mixed_images=background``.

    Args:
        root: folder with train/, trainannot/ and so on.
        split: train, val or test.
        held_out: classes excluded from train and val, the only tasks of test: names, or one name.
        min_pixels: smaller regions, and regions with fewer pixels around them, are not tasks.
        cache_mb: size of each process's LRU cache of decoded samples, in megabytes.
        balance: class-balanced sampling, see `IndexedSource`.
        oracle: train and val also contain the held-out classes, but never test images.
        mixed_images: images of open and held-out classes: drop, or background; see `open_keys`.

    Raises:
        DataError: a missing or empty folder, unpaired images or masks, an unknown split or class, or a file that cannot
            be used.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        held_out: HeldOut = (),
        min_pixels: int = MIN_PIXELS,
        cache_mb: float = 0.0,
        balance: float = 1.0,
        oracle: bool = False,
        mixed_images: str = "drop",
    ) -> None:
        split = as_split(split)
        root = open_root(root, LAYOUT, (split, f"{split}annot"))
        names = dict(enumerate(CAMVID_CLASSES, 1))
        held = class_values(held_out, names)
        hidden = set() if oracle and split != "test" else held
        pairs = pair_up(root / split, root / f"{split}annot", read=read_camvid)
        counts = survey(pairs, lambda key: count_labels(pairs[key]), "Checking the masks")
        for key, found in counts.items():
            if not found:
                check_labelled([found], pairs[key].mask)
        table = open_table(split, counts, names, hidden, min_pixels, mixed_images)
        super().__init__("camvid", pairs, Tables(object_list(table), table), cache_mb, balance)


def read_camvid(path: Path) -> UInt8[np.ndarray, "H W"]:
    """Read a label file: class i becomes i + 1, void becomes 255.

    Raises:
        BrokenFile: missing, truncated, a colour picture, or a value without a class.
    """
    labels = read_labels(path)
    most = int(labels.max(initial=0))
    if most > len(CAMVID_CLASSES):
        raise BrokenFile(
            f"The mask {path} holds the value {most}, but the values are 0 to {len(CAMVID_CLASSES) - 1} (classes) and "
            f"{len(CAMVID_CLASSES)} (void); use annotations with these eleven classes."
        )
    return _VALUES[labels]

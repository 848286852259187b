"""SBD, the Semantic Boundaries Dataset: more images of VOC's classes, with class and instance masks in .mat files."""

from __future__ import annotations

import zlib
from functools import partial
from io import BytesIO
from pathlib import Path
from struct import unpack_from

import numpy as np
from jaxtyping import UInt8

from guided_seg.data.files.pairs import Pair
from guided_seg.data.files.verify import open_root, read_list
from guided_seg.data.sources.classes import HeldOut, as_split
from guided_seg.data.sources.pascal import Lists, Pascal
from guided_seg.data.sources.splits import read_split
from guided_seg.data.sources.tables import MIN_PIXELS
from guided_seg.episode import IGNORE
from guided_seg.errors import BrokenFile
from guided_seg.files.text import as_stored

CLASSES, OBJECTS = "cls", "inst"
LAYOUT = "img/, cls/, train.txt and val.txt (the folder benchmark_RELEASE/dataset)"
_COMPRESSED = 15  # type of a compressed element in a MATLAB 5 file
_MOST = 2**26  # bytes of such an element; those of SBD have less than a tenth
_STRUCTS = {CLASSES: "GTcls", OBJECTS: "GTinst"}


class Sbd(Pascal):
    """The Semantic Boundaries Dataset in its own layout (Hariharan et al., 2011), with held-out classes.

    ``train`` is train.txt, ``val`` and ``test`` are val.txt, as in `Pascal`; 8,498 and 2,857 images of the official
    data. Many of them are in VOC's val: ``without_voc_val`` excludes these from train, so that the model can be tested
    on VOC. SBD has no void.

    Args:
        root: folder with img/, cls/, inst/, train.txt and val.txt.
        split: train, val or test.
        held_out: names of classes, one name, or a PASCAL-5i fold 0 to 3.
        instances: use objects from inst/; None: if that folder exists.
        min_pixels: smaller regions, and regions with fewer pixels around them, are not tasks.
        cache_mb: size of each process's LRU cache of decoded samples, in megabytes.
        balance: class-balanced sampling, see `IndexedSource`.
        oracle: train and val also contain the held-out classes, see `Pascal`.
        without_voc_val: exclude the official val of VOC 2012 from training.
        mixed_images: images of open and held-out classes: drop, or background; see `open_keys`.

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
        without_voc_val: bool = True,
        mixed_images: str = "drop",
    ) -> None:
        split = as_split(split)
        root = open_sbd(root)
        instances = (root / OBJECTS).is_dir() if instances is None else instances
        train = [] if split == "test" else read_list(root / "train.txt")
        val = root / "val.txt"
        tested = set(read_split("voc2012_val")) if without_voc_val else set()
        lists = Lists(
            [image for image in train if image not in tested],
            read_list(val) if split != "train" or val.is_file() else [],
        )
        masks = {kind: partial(sbd_pair, root, kind) for kind in (CLASSES, *([OBJECTS] if instances else []))}
        super().__init__("sbd", split, lists, masks, held_out, min_pixels, cache_mb, balance, oracle, mixed_images)


def open_sbd(root: str | Path, option: str = "data.root") -> Path:
    """The absolute root of SBD. Raises `DataError` if it or one of its folders is missing."""
    return open_root(root, LAYOUT, ("img", CLASSES), option)


def sbd_images(root: Path) -> list[str]:
    """The images of SBD's train and val."""
    return [image for name in ("train", "val") for image in read_list(root / f"{name}.txt")]


def sbd_pair(root: Path, kind: str, image: str, jpeg: Path | None = None) -> Pair:
    """An image and its masks of ``kind`` cls or inst; ``jpeg`` if the image is elsewhere."""
    mat = as_stored(root / kind / f"{image}.mat")
    return Pair(jpeg or as_stored(root / "img" / f"{image}.jpg"), mat, partial(read_mat, _STRUCTS[kind]))


def read_mat(struct: str, path: Path) -> UInt8[np.ndarray, "H W"]:
    """Read the label map ``struct.Segmentation`` of a MATLAB file; ``GTcls`` has classes and ``GTinst`` objects.

    Raises:
        BrokenFile: missing, truncated, or without such a label map.
    """
    from scipy.io import loadmat  # a tenth of the time until the page is up, which reads no such file

    if not path.is_file():
        raise BrokenFile(
            f"The file {path} does not exist; copy it from SBD's archive, or take its image off the lists."
        )
    try:
        data = path.read_bytes()
        _check_compressed(data)
        found = np.asarray(loadmat(BytesIO(data), simplify_cells=True, variable_names=[struct])[struct]["Segmentation"])
    except Exception as error:  # SciPy raises anything for a damaged file, even UnboundLocalError
        raise BrokenFile(
            f"The file {path} holds no label map {struct}.Segmentation that can be read ({type(error).__name__}); copy "
            "it again from SBD's archive, or take its image off the lists."
        ) from error
    if found.ndim != 2 or not found.size:
        raise BrokenFile(f"{struct}.Segmentation of {path} has the shape {found.shape}; expected height x width.")
    if found.dtype.kind not in "uif" or not ((found >= 0) & (found <= IGNORE) & (found % 1 == 0)).all():
        raise BrokenFile(
            f"{struct}.Segmentation of {path} holds other values than whole numbers from 0 to {IGNORE}; copy it again "
            "from SBD's archive."
        )
    return np.ascontiguousarray(found, np.uint8)


def _check_compressed(data: bytes) -> None:
    """Raise `zlib.error` if a compressed part of a MATLAB 5 file is a bomb, or damaged, which can crash SciPy."""
    order, at = {b"IM": "<II", b"MI": ">II"}.get(data[126:128]), 128
    while order and at + 8 <= len(data):
        kind, size = unpack_from(order, data, at)
        if kind == _COMPRESSED:
            part = zlib.decompressobj()
            part.decompress(data[at + 8 : at + 8 + size], _MOST)
            if not part.eof:
                raise zlib.error("it is cut off, or unpacks to more than a label map takes")
        at += 8 + size

"""Predictions in the formats of the official scoring tools: palette PNGs of DAVIS and VOC, and COCO results.

Label maps must have the size of the original annotation, because the tools do not resize.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from pycocotools import mask as rle

from guided_seg.files.writing import whole_file, write_json


class RunLengths(TypedDict):
    """A mask as COCO's compressed run lengths; ``size`` is height and width."""

    size: list[int]
    counts: str


class CocoResult(TypedDict):
    """One entry of a COCO results file."""

    image_id: int
    category_id: int
    segmentation: RunLengths
    score: float


def colour_map() -> UInt8[np.ndarray, "256 3"]:
    """The RGB colours of label values in VOC and DAVIS masks.

    Bits 0, 1 and 2 of a value are the highest bits of red, green and blue, bits 3, 4 and 5 the second highest, and
    bits 6 and 7 the third highest of red and green.

    Example:
        >>> colour_map()[[0, 1, 2, 15, 255]].tolist()
        [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [224, 224, 192]]
    """
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    threes = np.pad(bits, ((0, 0), (0, 1))).reshape(256, 3, 3)
    return (threes << np.array([[7], [6], [5]], np.uint8)).sum(1, dtype=np.uint8)


_BRIGHT = (
    *((56, 168, 255), (255, 159, 28), (46, 204, 140), (255, 102, 178)),
    *((190, 140, 255), (255, 221, 51), (0, 214, 214), (255, 120, 90)),
)


def label_colours() -> UInt8[np.ndarray, "256 3"]:
    """The RGB colours of a session's labels, on the page and in its exports: no two are the same.

    Only the formats of VOC and DAVIS keep their own, `colour_map`, since programs may know classes by them.

    The first eight labels have bright ones that are told apart from each other and from the red of negative dots. The
    others, the background and void have those of `colour_map`.
    """
    colours = colour_map()
    colours[1 : 1 + len(_BRIGHT)] = _BRIGHT
    return colours


def write_voc(
    out: str | os.PathLike[str],
    image: str,
    labels: UInt8[np.ndarray, "H W"],
    colours: UInt8[np.ndarray, "256 3"] | None = None,
) -> Path:
    """Write ``OUT/IMAGE.png``, whole or not at all; of DAVIS, ``image`` is ``SEQUENCE/FRAME``.

    Values are numbers of classes or objects, 0 the background, 255 void. Their ``colours`` are those of `colour_map`
    by default.
    """
    path = Path(out) / f"{image}.png"
    picture = Image.fromarray(labels)
    picture.putpalette((colour_map() if colours is None else colours).tobytes())
    with whole_file(path) as partial:
        picture.save(partial, format="PNG")
    return path


def coco_result(image_id: int, category_id: int, mask: Bool[np.ndarray, "H W"], score: float = 1.0) -> CocoResult:
    """The entry for a mask of one category in one image.

    Example:
        >>> coco_result(9, 18, np.array([[False, True], [False, True]]))["segmentation"]
        {'size': [2, 2], 'counts': '22'}
    """
    encoded = rle.encode(np.asfortranarray(mask, np.uint8))
    height, width = mask.shape
    segmentation: RunLengths = {"size": [height, width], "counts": cast("bytes", encoded["counts"]).decode("ascii")}
    return {"image_id": image_id, "category_id": category_id, "segmentation": segmentation, "score": score}


def write_coco(path: str | os.PathLike[str], results: Iterable[CocoResult]) -> Path:
    """Write a COCO results file, a JSON list, whole or not at all."""
    return write_json(path, list(results))

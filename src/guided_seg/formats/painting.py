"""Pictures and lists that several formats share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from guided_seg.files.writing import whole_file
from guided_seg.report.prediction_files import label_colours
from guided_seg.session.arguments import RGB
from guided_seg.session.store import Labels

_QUALITY = 95
_VAL_SHARE = 5


def write_photo(path: Path, pixels: RGB) -> Path:
    """Write a JPEG of high quality, whole or not at all."""
    with whole_file(path) as partial:
        Image.fromarray(pixels).save(partial, format="JPEG", quality=_QUALITY, subsampling=0)
    return path


def write_lines(path: Path, lines: Iterable[str]) -> Path:
    """Write text in UTF-8, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def write_lists(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Write val.txt, every fifth name from the first, and train.txt, the others; no list without a name."""
    val = names[::_VAL_SHARE]
    for part, listed in (("val", val), ("train", [name for name in names if name not in set(val)])):
        if listed:
            yield write_lines(folder / f"{part}.txt", listed)


def overlay(pixels: RGB, labels: Labels) -> UInt8[np.ndarray, "H W 3"]:
    """The image with its objects tinted and outlined in the colours of the masks."""
    colours = label_colours()[labels]
    edge = (cv2.erode(labels, np.ones((3, 3), np.uint8)) != labels) & (labels > 0)
    tinted = np.where((labels > 0)[..., None], cv2.addWeighted(pixels, 0.5, colours, 0.5, 0), pixels)
    return np.where(edge[..., None], colours, tinted)

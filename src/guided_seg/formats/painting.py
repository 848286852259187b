"""Pictures and lists that several formats share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from guided_seg.data.files.decoding import open_header, orientation
from guided_seg.files.writing import whole_file
from guided_seg.formats.segmented import Segmented
from guided_seg.report.prediction_files import colour_map
from guided_seg.session.arguments import RGB
from guided_seg.session.store import Labels

_QUALITY = 95
_VAL_SHARE = 5
_SUFFIXES = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",)}
"""Suffixes that every program knows, the usual one first."""


def write_photo(path: Path, pixels: RGB) -> Path:
    """Write a JPEG of high quality, whole or not at all."""
    with whole_file(path) as partial:
        Image.fromarray(pixels).save(partial, format="JPEG", quality=_QUALITY, subsampling=0)
    return path


def copy_photo(folder: Path, image: Segmented, always_jpg: bool = False) -> Path:
    """Write the photo of an image, whole or not at all, and return its path.

    A JPEG or PNG keeps its bytes, with its metadata, if it is grey or RGB of 8 bits and needs no rotation. Others
    become a JPEG of high quality.

    Args:
        folder: where to.
        image: the image.
        always_jpg: for formats that expect ``NAME.jpg``: no PNG, and no other suffix.
    """
    found = _as_it_is(image.file, ("JPEG",) if always_jpg else ("JPEG", "PNG")) if image.file else None
    if found is None:
        return write_photo(folder / f"{image.name}.jpg", image.pixels)
    data, suffix = found
    path = folder / f"{image.name}{'.jpg' if always_jpg else suffix}"
    with whole_file(path) as partial:
        partial.write_bytes(data)
    return path


def _as_it_is(file: Path, kinds: Sequence[str]) -> tuple[bytes, str] | None:
    """The bytes and the suffix of a photo that other programs read as it is; None if they would not."""
    data = file.read_bytes()
    image = open_header(BytesIO(data), file)
    kind = image.format or ""
    if kind not in kinds or image.mode not in ("RGB", "L") or orientation(image) != 1:
        return None
    own = _SUFFIXES[kind]
    return data, file.suffix if file.suffix.lower() in own else own[0]


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
    colours = colour_map()[labels]
    edge = (cv2.erode(labels, np.ones((3, 3), np.uint8)) != labels) & (labels > 0)
    tinted = np.where((labels > 0)[..., None], cv2.addWeighted(pixels, 0.5, colours, 0.5, 0), pixels)
    return np.where(edge[..., None], colours, tinted)

"""Image and mask files: fast, exact reading, and refusal of broken ones.

Images go through OpenCV. Masks go through Pillow, because OpenCV expands a palette PNG to colours and loses
the label values.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image

from guided_seg.data.source import BrokenFile

T = TypeVar("T")

_TAIL = 64
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", 0xDA, b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG", b"IEND\xaeB\x60\x82"
_REPLACE = "copy it again from its origin, or remove it together with its partner and its list entry"


def read_image(path: Path) -> UInt8[np.ndarray, "H W 3"]:
    """The RGB image, turned as its EXIF orientation says.

    Raises:
        BrokenFile: missing, cut off, or not an image.
    """
    data = _read(path)
    if not _is_whole(data[:4], data[-_TAIL:]) and not _jpeg_ends_inside(data):
        raise _cut_off(path)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        image = None
    if image is None:
        raise BrokenFile(f"The image {path} cannot be decoded; {_REPLACE}.")
    return np.asarray(image, np.uint8)


def read_labels(path: Path, binary: bool = False) -> UInt8[np.ndarray, "H W"]:
    """The label values of an indexed, an 8-bit grey or a 1-bit mask (0 and 1).

    Args:
        path: the mask file.
        binary: a grey mask of nothing but 0 and 255 is black and white: 255 means 1 there, not void.

    Raises:
        BrokenFile: missing, cut off, or a picture in colour instead of a label map.
    """
    mode, labels = _decode(path, lambda mask: (mask.mode, _values(mask)))
    if labels is None:
        raise BrokenFile(
            f"The mask {path} is a picture of type {mode}, not a label map; give each colour a value (0 "
            "background, 1, 2, ... labels, 255 void) and save the values as a palette or 8-bit grey PNG, for "
            'instance Image.fromarray((rgb.sum(-1) > 0).astype("uint8")).save(path) for one object on black.'
        )
    return _ones(labels) if binary and mode == "L" else labels


def read_bright(path: Path) -> UInt8[np.ndarray, "H W"]:
    """1 where a black and white picture of any kind is bright and 0 where it is dark.

    Raises:
        BrokenFile: missing or cut off.
    """
    return _decode(path, lambda mask: (np.asarray(mask.convert("L")) >= 128).astype(np.uint8))


def image_size(path: Path) -> tuple[int, int]:
    """Height and width as `read_image` gives them, from the header alone.

    Raises:
        BrokenFile: missing, or not an image.
    """
    try:
        with Image.open(path) as image:
            turned = "exif" in image.info and image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
            return (image.width, image.height) if turned else (image.height, image.width)
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise BrokenFile(f"The file {path} is not an image ({error}); {_REPLACE}.") from error


def check_whole(path: Path) -> None:
    """Raise `BrokenFile` where a JPEG or PNG file is cut off; reads a few bytes of most files.

    The JPEG decoder fills what is missing with grey and says nothing, so the end marker is looked for.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(-min(_TAIL, file.seek(0, os.SEEK_END)), os.SEEK_END)
            tail = file.read()
    except FileNotFoundError:
        raise _missing(path) from None
    if not _is_whole(start, tail) and not _jpeg_ends_inside(_read(path)):
        raise _cut_off(path)


def _decode(path: Path, take: Callable[[Image.Image], T]) -> T:
    data = _read(path)  # at once: Pillow alone asks the system for it piece by piece
    try:
        with Image.open(BytesIO(data)) as mask:
            return take(mask)
    except (OSError, SyntaxError, ValueError) as error:
        raise BrokenFile(f"The mask {path} cannot be decoded ({error}); {_REPLACE}.") from error


def _values(mask: Image.Image) -> UInt8[np.ndarray, "H W"] | None:
    return np.array(mask, dtype=np.uint8) if mask.mode in ("1", "L", "P") else None


def _ones(labels: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    # adding 1 wraps 255 to 0, so one maximum tells that there is nothing between 0 and 255
    return labels & 1 if (labels + np.uint8(1)).max(initial=0) <= 1 else labels


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise _missing(path) from None


def _is_whole(start: bytes, tail: bytes) -> bool:
    if start.startswith(_JPEG_START):
        return tail.rstrip(b"\0").endswith(_JPEG_END)
    return not start.startswith(_PNG_START) or tail.endswith(_PNG_END)


def _jpeg_ends_inside(data: bytes) -> bool:
    """Whether the end marker comes after the picture itself: cameras and editors append data of their own."""
    if not data.startswith(_JPEG_START):
        return False
    at = 2
    # step over the header segments, since a thumbnail in them has an end marker as well
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _JPEG_SCAN:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return _JPEG_END in data[at:]


def _missing(path: Path) -> BrokenFile:
    return BrokenFile(f"The file {path} does not exist; put it back, or remove its partner and its list entry.")


def _cut_off(path: Path) -> BrokenFile:
    return BrokenFile(f"The image {path} is cut off: its end marker is missing; {_REPLACE}.")

"""Read image and mask files exactly, and refuse broken ones.

OpenCV reads JPEG, PNG and WebP images, as it is faster. Pillow reads all other images and all masks, because OpenCV
converts palette PNGs to colours and loses the label values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image

from guided_seg.data.files.decoding import (
    BEGINNING,
    Bytes,
    eight_bits,
    is_whole,
    open_header,
    orientation,
    plain_jpeg,
    size,
    turn,
    what_else,
)
from guided_seg.data.source import reading
from guided_seg.errors import BrokenFile, DataError, UserError

T = TypeVar("T")

_REPLACE = "copy it again from its origin, or leave it out (in a data set with its partner and its list entry)"

NOT_GREY = ("1", "P")
"""Pillow modes of masks whose values are not brightnesses."""

_FAST = ("JPEG", "PNG", "WEBP")
_OPENCV_PIXELS, _OPENCV_SIDE = 2**30, 2**20
"""Limits of OpenCV; Pillow reads larger images. TIFF is read up to Pillow's limit."""


@dataclass(frozen=True, slots=True)
class Mask:
    """The values of a mask file.

    Attributes:
        labels: the values.
        grey: the values are brightnesses, so 255 is white; otherwise they are palette indices, or 0 and 1.
    """

    labels: UInt8[np.ndarray, "H W"]
    grey: bool


def read_image(path: Path, max_pixels: int | None = None) -> UInt8[np.ndarray, "H W 3"]:
    """Read an RGB image, rotated by its EXIF orientation (or XMP, if EXIF has none).

    16-bit images keep the upper 8 of the bits in use, so a 12-bit scan is not darkened. Only the first frame or page is
    read. Transparency is ignored.

    Args:
        path: the file: JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF, or HEIC with the package pillow-heif.
        max_pixels: refuse larger images before decoding; None refuses only those that do not fit in memory.

    Raises:
        BrokenFile: missing, truncated, or not an image.
        DataError: too large, or an unsupported format.
    """
    data = _read(path)
    with _decoding(path, "image", data):
        if not is_whole(BytesIO(data)):
            raise _cut_off(path)
        if (plain := plain_jpeg(data)) and _is_fast("JPEG", *plain):
            _check_size(path, *plain, max_pixels)
            with _within_memory(path, *plain):
                return _fast(path, data, "JPEG")
        image = open_header(BytesIO(data), path)
        how = orientation(image)  # before decoding, because Pillow may drop it then
        _check_size(path, *size(image), max_pixels)
        stored = image.height, image.width
        with _within_memory(path, *stored):
            return turn(_fast(path, data, image.format) if _is_fast(image.format, *stored) else _slow(image), how)


def read_mask(path: Path) -> Mask:
    """Read the label values of an indexed, grey or 1-bit mask (0 and 1).

    Grey masks may also have three equal channels, an opaque alpha channel, or 16 bits.

    Raises:
        BrokenFile: missing, truncated, a colour picture instead of a label map, a JPEG, or values above 255.
    """
    kind, mode, values = _decode(path, lambda mask: (mask.format, mask.mode, _values(mask)))
    if kind == "JPEG":
        raise BrokenFile(
            f"The mask {path} is a JPEG, which changes the values of labels; save it as PNG from the program that made "
            "it. A black and white one can be read by data=folder and data=davis with data.masks=black_white."
        )
    if values is None:
        raise BrokenFile(
            f"The mask {path} is a picture of type {mode}, not a label map; give each colour a value (0 "
            "background, 1, 2, ... labels, 255 void) and save the values as a palette or 8-bit grey PNG, for "
            'instance Image.fromarray((rgb.sum(-1) > 0).astype("uint8")).save(path) for one object on black.'
        )
    if values.dtype != np.uint8 and (most := int(values.max(initial=0))) > np.iinfo(np.uint8).max:
        raise BrokenFile(
            f"The mask {path} has 16 bits and holds the value {most}; values are 0 (background), 1 to 254 (labels) and "
            "255 (void), so number the labels anew, or leave some out."
        )
    return Mask(values.astype(np.uint8, copy=False), mode not in NOT_GREY)


def read_labels(path: Path, binary: bool = False) -> UInt8[np.ndarray, "H W"]:
    """Read the label values of a mask, see `read_mask`.

    Args:
        path: the mask file.
        binary: in a grey mask with only the values 0 and 255, 255 means 1, not void.

    Raises:
        BrokenFile: see `read_mask`.
    """
    mask = read_mask(path)
    return _ones(mask.labels) if binary and mask.grey else mask.labels


def read_bright(path: Path) -> UInt8[np.ndarray, "H W"]:
    """Read a black and white picture of any kind: 1 for brightness from 128, else 0.

    Raises:
        BrokenFile: missing or truncated.
    """
    return _decode(path, lambda mask: turn((np.asarray(mask.convert("L")) >= 128).astype(np.uint8), orientation(mask)))


def image_size(path: Path) -> tuple[int, int]:
    """Height and width as in `read_image`, from the header alone.

    Raises:
        BrokenFile: missing, or not an image.
        DataError: an unsupported format.
    """
    return _look(path, lambda file: size(open_header(file, path)))


def image_orientation(path: Path) -> int:
    """The EXIF orientation that `read_image` applies, 1 (none) to 8. Raises the errors of `image_size`."""
    return _look(path, lambda file: orientation(open_header(file, path)))


def mask_mode(path: Path) -> str:
    """Pillow's mode of a mask file, such as P (palette), L (grey) and 1. Raises the errors of `image_size`."""
    return _look(path, lambda file: open_header(file, path).mode)


def check_whole(path: Path) -> None:
    """Raise `BrokenFile` if a JPEG, PNG or WebP file is truncated; reads only a few bytes of most files."""
    if not _look(path, is_whole):
        raise _cut_off(path)


def _look(path: Path, take: Callable[[Bytes], T]) -> T:
    """Apply ``take`` to the open file, without reading all of it."""
    with reading(path), path.open("rb") as file:
        start = file.read(BEGINNING)
        file.seek(0)
        with _decoding(path, "image", start):
            return take(file)


def _decode(path: Path, take: Callable[[Image.Image], T]) -> T:
    """Apply ``take`` to a decoded mask."""
    data = _read(path)  # at once, as Pillow alone reads it piece by piece
    with _decoding(path, "mask", data), open_header(BytesIO(data), path) as mask:
        if not is_whole(BytesIO(data)):
            raise ValueError("it is cut off")
        return take(mask)


@contextmanager
def _decoding(path: Path, kind: str, data: bytes) -> Iterator[None]:
    """Convert all errors of decoders to `BrokenFile`; they have no common base class."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        if error.errno is not None:  # an error of the disk, not of the decoder
            raise
        raise _undecodable(path, kind, data, error) from error
    except MemoryError as error:
        raise DataError(f"The {kind} {path} does not fit into memory; scale it down, or cut it into tiles.") from error
    except Image.DecompressionBombError as error:  # some formats check this themselves
        raise DataError(
            f"The {kind} {path} is larger than Pillow reads in its format ({error}); save it as PNG, scale it down, or "
            "cut it into tiles."
        ) from error
    except Exception as error:
        raise _undecodable(path, kind, data, error) from error


def _undecodable(path: Path, kind: str, data: bytes, error: Exception) -> BrokenFile:
    if found := what_else(data):
        return BrokenFile(f"The {kind} {path} is not an image: it is {found}.")
    if kind == "mask":
        return BrokenFile(f"The mask {path} cannot be decoded ({error}); {_REPLACE}.")
    return BrokenFile(f"The file {path} is not an image ({error}); {_REPLACE}.")


@contextmanager
def _within_memory(path: Path, height: int, width: int) -> Iterator[None]:
    """Convert a decoder's out-of-memory error to a `DataError` with the numbers."""
    try:
        yield
    except (MemoryError, cv2.error) as error:
        if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
            raise
        needed = 3 * height * width / 1e9
        raise _too_large(path, (height, width), f"its pixels take {needed:.1f} GB, more than is free") from error


def _is_fast(kind: str | None, height: int, width: int) -> bool:
    pixels = height * width
    if pixels > _OPENCV_PIXELS or max(height, width) > _OPENCV_SIDE:
        return False
    return kind in _FAST or (kind == "TIFF" and pixels > (Image.MAX_IMAGE_PIXELS or pixels))


def _fast(path: Path, data: bytes, kind: str | None) -> UInt8[np.ndarray, "H W 3"]:
    depth = 0 if kind == "JPEG" else cv2.IMREAD_ANYDEPTH
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION | depth
    decoded: np.ndarray | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if decoded is None or decoded.dtype not in (np.uint8, np.uint16):
        raise BrokenFile(f"The image {path} cannot be decoded; {_REPLACE}.")
    return eight_bits(decoded)


def _slow(image: Image.Image) -> UInt8[np.ndarray, "H W 3"]:
    if image.mode == "F":
        raise ValueError("it holds fractions, not 8 or 16 bits; scale its values to 0 to 255 and save them as PNG")
    if not image.mode.startswith("I"):
        return np.array(image.convert("RGB"))
    grey = np.asarray(image)
    if grey.min(initial=0) < 0 or grey.max(initial=0) > np.iinfo(np.uint16).max:
        raise ValueError("its values are not 0 to 65535; scale them to 0 to 255 and save them as PNG")
    return np.repeat(eight_bits(grey.astype(np.uint16))[..., None], 3, axis=2)


def _values(mask: Image.Image) -> UInt8[np.ndarray, "H W"] | UInt16[np.ndarray, "H W"] | None:
    """The values of a mask as displayed; None for a colour picture."""
    values = turn(np.array(mask), orientation(mask))
    if mask.mode in ("1", "L", "P"):
        return values.astype(np.uint8, copy=False)
    if mask.mode.startswith("I"):
        return values.astype(np.uint16) if values.min(initial=0) >= 0 else None
    if mask.mode not in ("LA", "RGB", "RGBA"):
        return None
    colours = values[..., :-1] if mask.mode.endswith("A") else values
    opaque = colours is values or (values[..., -1] == np.iinfo(np.uint8).max).all()
    equal = (colours == colours[..., :1]).all()
    return np.ascontiguousarray(colours[..., 0]) if opaque and equal else None


def _ones(labels: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    # adding 1 wraps 255 to 0, so one maximum shows that there is nothing between 0 and 255
    return labels & 1 if (labels + np.uint8(1)).max(initial=0) <= 1 else labels


def _read(path: Path) -> bytes:
    with reading(path):
        return path.read_bytes()


def _check_size(path: Path, height: int, width: int, most: int | None) -> None:
    if most is not None and height * width > most:
        raise _too_large(path, (height, width), f"at most {most / 1e6:,.1f} megapixels are read here")


def _too_large(path: Path, size: tuple[int, int], why: str) -> DataError:
    height, width = size
    return DataError(
        f"The image {path} is {height:,} x {width:,} (height x width), {height * width / 1e6:,.1f} megapixels, and "
        f"{why}; scale it down, or cut it into tiles."
    )


def _cut_off(path: Path) -> BrokenFile:
    return BrokenFile(f"The image {path} is cut off: its end marker is missing; {_REPLACE}.")

"""Inspect the bytes of an image file: format, header, orientation and completeness.

Pillow reads headers through the class of each format. `Image.open` would refuse large images, by a limit that is global
to the process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from io import BufferedReader, BytesIO
from pathlib import PurePath
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile

from guided_seg.errors import DataError

A = TypeVar("A", bound=np.ndarray)

Bytes = BytesIO | BufferedReader
"""An open file."""

BEGINNING = 512
"""Number of bytes that identify a file format."""

_TAIL = 64
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_JPEG_MARK, _JPEG_SCAN, _JPEG_EXIF_OR_XMP = 0xFF, 0xDA, 0xE1
_JPEG_FRAMES = (0xC0, 0xC1, 0xC2)
"""Start-of-frame markers of sequential and progressive JPEGs; Pillow reads files with others."""
_PNG_START, _PNG_END = b"\x89PNG", b"IEND\xaeB\x60\x82"

_FORMATS = ("PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "PPM", "JPEG2000")
"""Supported formats besides JPEG and HEIC. Others are excluded: PostScript, for one, would start a program."""

_RAW = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".srw")
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_EXPORT = "export it as JPEG or PNG"
_AGAIN = "get it again"

_TURNED_BY_DECODER = ("TIFF", "HEIF")
_HOLDS_ORIENTATION = {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}

_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}
"""How to rotate or mirror stored pixels, by the value of the EXIF tag Orientation."""


def open_header(file: Bytes, path: PurePath) -> Image.Image:
    """Open an image and read its header, but not its pixels.

    Args:
        file: the open file, at its start.
        path: its path, for messages.

    Raises:
        DataError: a camera raw file (Pillow would read its thumbnail), or HEIC without pillow-heif.
        Exception: the error of Pillow if the bytes are not an image; there is no common class.
    """
    if path.suffix.lower() in _RAW:
        raise DataError(f"The image {path} is a camera raw file, which is not read; {_EXPORT}.")
    start = file.read(BEGINNING)
    file.seek(0)
    if start.startswith(_JPEG_START):  # the first one, if the file has several JPEGs (MPO)
        return JpegImageFile(file)
    if start[4:8] == b"ftyp" and start[8:12] in _HEIF and b"avif" not in start[12:64]:
        return _open_heif(file, path)
    for load_plugins in (Image.preinit, Image.init):  # the second needs a tenth of a second
        load_plugins()
        for name in _FORMATS:
            factory, accepts = Image.OPEN.get(name, (None, None))
            if factory is not None and accepts is not None and accepts(start) is True:
                return factory(file, "")
    raise ValueError("unknown format")


def plain_jpeg(data: bytes) -> tuple[int, int] | None:
    """Height and width of a JPEG without EXIF and XMP, and so without rotation; None for any other file.

    Most images of data sets are such files, and Pillow would need a tenth of their decoding time to find out.
    """
    found = None
    if not data.startswith(_JPEG_START):
        return None
    for marker, at in _jpeg_segments(data):
        if marker == _JPEG_SCAN:
            return found
        if marker == _JPEG_EXIF_OR_XMP:
            return None
        if marker in _JPEG_FRAMES:
            found = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
    return None


def size(image: Image.Image) -> tuple[int, int]:
    """Height and width after rotation."""
    return (image.width, image.height) if orientation(image) >= 5 else (image.height, image.width)


def orientation(image: Image.Image) -> int:
    """The orientation of the pixels, 1 to 8 as in EXIF: from the EXIF tag, or else from XMP, as in Pillow."""
    if image.format in _TURNED_BY_DECODER or not _HOLDS_ORIENTATION & image.info.keys():
        return 1
    try:
        # not image.getexif(), which decodes the pixels of a PNG without EXIF
        found = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001  a broken EXIF block raises anything, and the pixels are fine
        return 1
    return found if found in _TURNS else 1


def turn(pixels: A, how: int) -> A:
    """Rotate or mirror pixels ``[H, W, ...]`` by an EXIF orientation; contiguous."""
    return np.ascontiguousarray(_TURNS[how](pixels)) if how in _TURNS else pixels  # type: ignore[return-value]


def eight_bits(pixels: UInt8[np.ndarray, "*shape"] | UInt16[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Convert 16 to 8 bits: the upper 8 of the 8, 10, 12, 14 or 16 bits in use, since many scanners use fewer than 16.

    Example:
        >>> eight_bits(np.array([0, 2048, 4095], np.uint16)).tolist()
        [0, 128, 255]
    """
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    used = max(8, int(pixels.max(initial=0)).bit_length())
    return (pixels >> (used + used % 2 - 8)).astype(np.uint8)


def is_whole(file: Bytes) -> bool:
    """Whether a JPEG, PNG or WebP file is complete; extra bytes after its end are allowed.

    Reads a few bytes of most files. Other formats are left to their decoder. The JPEG decoder silently fills missing
    parts with grey.
    """
    file.seek(0)
    start = file.read(16)
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - _TAIL))
    tail = file.read()
    if start.startswith(_JPEG_START):
        return tail.rstrip(b"\0").endswith(_JPEG_END) or _jpeg_ends_inside(file)
    if start.startswith(_PNG_START):
        return tail.endswith(_PNG_END) or _png_ends_inside(file)
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return length >= int.from_bytes(start[4:8], "little") + 8
    return True


def what_else(data: bytes) -> str | None:
    """What a non-image file is, with advice, to follow "is" in a message; None if unknown.

    Args:
        data: its first bytes; 512 suffice.
    """
    text = data[:BEGINNING].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not data:
        return f"empty; {_AGAIN}"
    for mark, found in _TEXTS:
        if text.startswith(mark):
            return found
    for at, mark, found in _MARKS:
        if data[at : at + len(mark)] == mark:
            return found
    return f"nothing but zero bytes, as a copy that failed leaves behind; {_AGAIN}" if not any(data) else None


_PAGE = f"a web page, as a failed download leaves behind; {_AGAIN}"
_TEXTS = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself; run 'git lfs pull' where it came from"),
    (b"/annex/objects/", "a pointer of git-annex, not the file itself; run 'git annex get' where it came from"),
    (b"<!doctype html", _PAGE),
    (b"<html", _PAGE),
    (b"<svg", f"an SVG drawing; {_EXPORT}"),
    (b"<?xml", f"an XML or SVG file; {_EXPORT}"),
)
_MARKS = (
    (0, b"%PDF", f"a PDF; {_EXPORT}"),
    (0, b"%!PS", f"a PostScript file; {_EXPORT}"),
    (0, b"8BPS", f"a Photoshop file; {_EXPORT}"),
    (0, b"PK\x03\x04", "a ZIP archive; unpack it"),
    (0, b"\x00\x05\x16\x07", "what macOS stores beside a file, not the file itself; remove it"),
    (128, b"DICM", f"a DICOM file; {_EXPORT}"),
    (4, b"ftypqt", "a video"),
    (4, b"ftypisom", "a video"),
    (4, b"ftypmp4", "a video"),
)


def _open_heif(file: Bytes, path: PurePath) -> Image.Image:
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise DataError(
            f"The image {path} is HEIC, which needs one more package: run `pip install pillow-heif` (or install "
            "guided_seg[heic]), or convert the image to JPEG."
        ) from None
    image: Image.Image = HeifImageFile(file)  # type: ignore[no-untyped-call]
    return image


def _jpeg_ends_inside(file: Bytes) -> bool:
    """Whether the end marker follows the image; cameras and editors append their own data."""
    file.seek(0)
    data = file.read()
    *_, (_, scan) = _jpeg_segments(data)
    return _JPEG_END in data[scan:]  # thumbnails in the header have end markers as well


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and offset of each segment in a JPEG's header, ending with the scan in an intact file."""
    at = len(_JPEG_START)
    while at + 4 <= len(data) and data[at] == _JPEG_MARK:
        yield data[at + 1], at
        if data[at + 1] == _JPEG_SCAN:
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    yield 0, at


def _png_ends_inside(file: Bytes) -> bool:
    """Whether the chunks end with a last one; data after it does not belong to the image."""
    file.seek(8)
    while len(header := file.read(8)) == 8 and header[4:].isalpha():
        if header[4:] == b"IEND":
            return len(file.read(4)) == 4
        file.seek(int.from_bytes(header[:4], "big") + 4, os.SEEK_CUR)
    return False

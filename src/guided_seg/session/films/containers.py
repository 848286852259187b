"""Video containers: detect truncated files, and paths that OpenCV cannot open.

A container stores the lengths of its parts. A truncated file ends before one of them does.

The frame count in the header does not help: in some containers it is an estimate (duration times frame rate), in others
it counts frames that an edit list hides. Containers without lengths (MPEG-TS, live Matroska) cannot be checked.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from guided_seg.errors import UserError

_BOXES = (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx", b"uuid", b"meta", b"udta")
_PICTURES = (b"mdat", b"moof")
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def is_cut_off(path: Path) -> bool:
    """Whether the file ends inside a part that holds video data; False if that cannot be determined.

    Args:
        path: an MP4, MOV, AVI, Matroska or WebM file. Other formats give False.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        start = file.read(12)
        file.seek(0)
        return _judge_of(start)(file, size)


def _judge_of(start: bytes) -> Callable[[BinaryIO, int], bool]:
    if start[4:8] in _BOXES:
        return _mp4
    if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
        return _avi
    return _matroska if start[:4] == _EBML else _unknown


def _unknown(file: BinaryIO, size: int) -> bool:  # noqa: ARG001
    return False


def _mp4(file: BinaryIO, size: int) -> bool:
    """MP4 is a sequence of boxes: length (4 bytes), type, and the length in 8 bytes if the first one is 1."""
    at = 0
    while len(head := _read(file, at, 16)) >= 8 and head[4:8] in _BOXES:
        length = int.from_bytes(head[:4], "big")
        length = int.from_bytes(head[8:16], "big") if length == 1 else length
        if length < 8:  # 0: the box extends to the end of the file
            return False
        if at + length > size:
            return head[4:8] in _PICTURES
        at += length
    return False


def _avi(file: BinaryIO, size: int) -> bool:
    """AVI is a sequence of RIFF chunks of about a gigabyte, each with the video data in a list "movi"."""
    at = 0
    while (head := _read(file, at, 12))[:4] == b"RIFF" and len(head) == 12:
        length = int.from_bytes(head[4:8], "little")
        inside, end = at + 12, at + 8 + length
        while inside < min(end, size) and len(chunk := _read(file, inside, 12)) == 12:
            own = int.from_bytes(chunk[4:8], "little")
            if chunk[:4] == b"LIST" and chunk[8:12] == b"movi" and inside + 8 + own > size:
                return own != 0xFFFFFFFF  # a recorder that did not know the length
            inside += 8 + own + own % 2
        at = end + end % 2
    return False


def _matroska(file: BinaryIO, size: int) -> bool:
    """Matroska is a header and one segment with all data; lengths take 1 to 8 bytes."""
    at = 4
    length, width = _ebml_number(_read(file, at, 8))
    at += width + length
    if _read(file, at, 4) != _SEGMENT:
        return False
    length, width = _ebml_number(_read(file, at + 4, 8))
    unknown = (1 << 7 * width) - 1
    return length != unknown and at + 4 + width + length > size


def _ebml_number(data: bytes) -> tuple[int, int]:
    """A variable-length integer and its width in bytes: one more than the leading zero bits of its first byte."""
    width = 9 - data[0].bit_length() if data and data[0] else 1
    return int.from_bytes(data[:width], "big") & ((1 << 7 * width) - 1), width


def _read(file: BinaryIO, at: int, number: int) -> bytes:
    file.seek(at)
    return file.read(number)


def utf8_name(path: str) -> str:
    """The path for OpenCV. Raises `UserError` if it is not UTF-8, which would crash the process in OpenCV."""
    try:
        return path.encode().decode()
    except UnicodeEncodeError:
        known = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        raise UserError(
            f"The path of the video {known} is not UTF-8 text, and OpenCV cannot open it; rename the file or the "
            "folder, or give a link to it."
        ) from None

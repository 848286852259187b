"""When each frame of a video file is shown, as the tables of its container say; nothing is decoded.

MP4 and MOV list every frame: how long each lasts (``stts``), how long after its turn to be decoded it is shown
(``ctts``), and from where on frames are shown at all (``elst``).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float64

MOST = 2**22
"""Most frames: more than a day at 48 a second."""

Span = tuple[int, int]
"""Where the content of a box begins and ends."""


def frame_times(path: Path) -> Float64[np.ndarray, " N"] | None:
    """Seconds from the first frame to each frame; None where the file has no such tables, or they are not plain.

    Args:
        path: a video file. Formats other than MP4 and MOV give None.
    """
    try:
        data = _index(path)
        tracks = [span for kind, span in _boxes(data, (0, len(data))) if kind == b"trak"]
        films = [span for span in tracks if _is_film(data, span)]
        return _times(data, films[0]) if len(films) == 1 else None
    except (struct.error, ValueError, LookupError):
        return None  # damaged


def _index(path: Path) -> bytes:
    """The content of the box ``moov``, which describes the file."""
    with path.open("rb") as file:
        end, at = file.seek(0, os.SEEK_END), 0
        while at + 16 <= end:
            file.seek(at)
            start = file.read(16)
            length, head = _length(start)
            if start[4:8] == b"moov":
                file.seek(at + head)
                return file.read(min(length, end - at) - head)
            at += length
    raise LookupError("no moov")


def _length(head: bytes) -> tuple[int, int]:
    """The length of a box, and that of its own head."""
    length, start = struct.unpack_from(">I", head)[0], 8
    if length == 1:
        length, start = struct.unpack_from(">Q", head, 8)[0], 16
    if length < start:
        raise ValueError("a box to the end of the file, or a damaged one")
    return length, start


def _boxes(data: bytes, inside: Span) -> Iterator[tuple[bytes, Span]]:
    at, end = inside
    while at + 8 <= end:
        length, head = _length(data[at : at + 16])
        yield data[at + 4 : at + 8], (at + head, min(at + length, end))
        at += length


def _find(data: bytes, inside: Span, *path: bytes) -> Span:
    """The box at a path of types."""
    for kind in path:
        inside = next((span for found, span in _boxes(data, inside) if found == kind), (0, 0))
        if inside == (0, 0):
            raise LookupError(kind)
    return inside


def _is_film(data: bytes, track: Span) -> bool:
    at, _ = _find(data, track, b"mdia", b"hdlr")
    return data[at + 8 : at + 12] == b"vide"


def _times(data: bytes, track: Span) -> Float64[np.ndarray, " N"] | None:
    at, _ = _find(data, track, b"mdia", b"mdhd")
    scale = struct.unpack_from(">I", data, at + (20 if data[at] else 12))[0]  # a byte of version comes first
    tables = _find(data, track, b"mdia", b"minf", b"stbl")
    lasts = _spread(data, _find(data, tables, b"stts"), ">u4")
    shown = np.cumsum(lasts) - lasts
    try:
        later = _spread(data, _find(data, tables, b"ctts"), ">i4")
    except LookupError:  # every frame is shown as it is decoded
        later = np.zeros_like(shown)
    begin = _begin(data, track)
    if begin is None or not scale or len(later) != len(shown):
        return None
    times = np.sort(shown + later)
    times = times[times >= begin]
    return (times - times[:1]) / scale


def _spread(data: bytes, table: Span, kind: str) -> np.ndarray:
    """A value for each frame, from a table of how many frames have which value."""
    at, _ = table
    number = struct.unpack_from(">I", data, at + 4)[0]
    counts, values = np.frombuffer(data, ">u4", 2 * number, at + 8)[::2], np.frombuffer(data, kind, 2 * number, at + 8)
    if counts.sum(dtype=np.int64) > MOST:
        raise ValueError("too many frames")
    return np.repeat(values[1::2].astype(np.int64), counts)


def _begin(data: bytes, track: Span) -> int | None:
    """Where the part that is shown begins; None if several parts are shown, or not at their own speed."""
    try:
        at, _ = _find(data, track, b"edts", b"elst")
    except LookupError:
        return -(2**62)  # all of it
    form = ">QqI" if data[at] else ">IiI"
    number = struct.unpack_from(">I", data, at + 4)[0]
    size = struct.calcsize(form)
    entries = [struct.unpack_from(form, data, at + 8 + size * each) for each in range(min(number, 8))]
    parts = [(begin, speed) for _, begin, speed in entries if begin >= 0]  # others are waits before the start
    return parts[0][0] if number <= 8 and len(parts) == 1 and parts[0][1] == 1 << 16 else None

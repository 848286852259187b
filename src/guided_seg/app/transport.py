"""Label maps and grey maps as bytes: a header in JSON, and run lengths or pixels behind it."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from guided_seg.errors import UserError


def frame(header: dict[str, Any], payload: bytes) -> bytes:
    """A message: the length of the header (unsigned 32-bit, little-endian), the header, and the payload."""
    text = json.dumps(header, ensure_ascii=False).encode()
    return struct.pack("<I", len(text)) + text + payload


def runs(labels: UInt8[np.ndarray, "H W"]) -> bytes:
    """The runs of a label map, row by row: k lengths (unsigned 32-bit, little-endian), then k labels (a byte each).

    Example:
        >>> len(runs(np.zeros((480, 854), np.uint8)))
        5
    """
    flat = labels.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=flat.size).astype("<u4")
    return lengths.tobytes() + flat[starts].tobytes()


def mask_of(text: str, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """The mask in base64-encoded run lengths: off, on, off, ..., row by row.

    Args:
        text: base64 of unsigned 32-bit little-endian integers.
        size: height and width of the image.

    Raises:
        UserError: it is not base64, or its runs do not fill the image.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError(f"The mask cannot be read ({error}); choose its file again.") from None
    if len(data) % 4:
        raise UserError(f"The mask holds {len(data)} bytes, which are no run lengths; choose its file again.")
    lengths = np.frombuffer(data, "<u4").astype(np.int64)
    if lengths.sum() != size[0] * size[1]:
        raise UserError(
            f"The mask has {lengths.sum():,} pixels and the image {size[0] * size[1]:,} ({size[0]} x {size[1]}); "
            "choose a mask of the same size."
        )
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(size)


def grey(values: Float[np.ndarray, "h w"]) -> bytes:
    """Values from 0 to 1 as bytes from 0 to 255, row by row."""
    return (255 * np.clip(np.nan_to_num(values), 0, 1) + 0.5).astype(np.uint8).tobytes()

"""Masks as the run lengths of Label Studio's brush."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

RUN_BITS = (3, 4, 8, 16)
"""Numbers of bits that the length of a run may have."""


def brush_rle(mask: Bool[np.ndarray, "H W"]) -> list[int]:
    """A mask in the run-length encoding of Label Studio's brush: the bytes of its RGBA image, 255 where it is true.

    Example:
        >>> brush_rle(np.array([[False, True]]))
        [0, 0, 0, 8, 57, 27, 252, 96, 17, 255, 128]
    """
    flat = mask.ravel()
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), flat.size - 1)
    lengths = np.diff(ends, prepend=-1) * 4
    bits = [f"{flat.size * 4:032b}{8 - 1:05b}", *(f"{number - 1:04b}" for number in RUN_BITS)]
    for end, length in zip(ends.tolist(), lengths.tolist(), strict=True):
        value = "1" * 8 if flat[end] else "0" * 8
        whole, rest = divmod(length - 1, 2**16)
        bits += [f"111{2**16 - 1:016b}{value}"] * whole
        index = next(i for i, number in enumerate(RUN_BITS) if rest < 2**number)
        bits.append(f"1{index:02b}{rest:0{RUN_BITS[index]}b}{value}")
    text = "".join(bits)
    text += "0" * (8 - len(text) % 8)  # the converter of Label Studio adds a whole byte where none is needed
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))

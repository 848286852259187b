"""Masks as run lengths: the same bytes as Label Studio's converter writes, and read back by it."""

from __future__ import annotations

import zlib
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from support.scenes import KINDS, mask, quick, scenes

from guided_seg.tools.brush_runs import brush_rle

GOLDEN = {
    "noise": (1347, 0xD3F5368E),
    "box": (58, 0xE99378F5),
    "empty": (11, 0x32A436D5),
    "full": (11, 0xA180CBA7),
    "one pixel": (15, 0x3E4E0CD0),
    "border": (130, 0x0EC447A6),
}
"""Length and checksum of what label-studio-converter 0.0.59 writes of `a_mask` of each kind."""


def a_mask(kind: str) -> np.ndarray:
    return mask(kind, 31, 47, np.random.default_rng(7))


def checked(runs: list[int]) -> tuple[int, int]:
    return len(runs), zlib.crc32(bytes(runs))


@pytest.mark.parametrize("kind", KINDS)
def test_the_bytes_are_those_that_the_converter_wrote(kind: str) -> None:
    assert checked(brush_rle(a_mask(kind))) == GOLDEN[kind]


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (31, 47), (480, 640), (129, 127), (256, 64), (128, 256)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_converter_writes_the_same_and_reads_it_back(
    converter: ModuleType, kind: str, shape: tuple[int, int]
) -> None:
    made = mask(kind, *shape, np.random.default_rng(3))
    if made.size > 10_000 and kind == "noise":
        made[:, 40:] = False  # the converter takes long for many runs
    runs = brush_rle(made)
    assert runs == converter.mask2rle(made.astype(np.uint8) * 255)
    if made.size < 10_000:
        read = converter.decode_rle(runs).reshape(*shape, 4)
        np.testing.assert_array_equal(read[..., 3] == 255, made)


@quick
@given(scenes())
def test_any_mask_is_read_back(converter: ModuleType, scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    for made in scene:
        read = converter.decode_rle(brush_rle(made)).reshape(*made.shape, 4)
        np.testing.assert_array_equal(read, np.repeat(made[..., None] * 255, 4, axis=2))

"""The writers of support/archives.py as fixtures; those of a layout write into ``tmp_path``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from support import archives


@pytest.fixture
def image() -> Callable[..., Path]:
    return archives.write_image


@pytest.fixture
def mask() -> Callable[..., Path]:
    return archives.write_mask


@pytest.fixture
def squares() -> Callable[..., np.ndarray]:
    return archives.labels


@pytest.fixture
def voc(tmp_path: Path) -> Callable[..., Path]:
    return partial(archives.write_voc, tmp_path)


@pytest.fixture
def sbd(tmp_path: Path) -> Callable[..., Path]:
    return partial(archives.write_sbd, tmp_path / "benchmark_RELEASE/dataset")


@pytest.fixture
def camvid(tmp_path: Path) -> Callable[..., Path]:
    return partial(archives.write_camvid, tmp_path)


@pytest.fixture
def fss(tmp_path: Path) -> Callable[..., Path]:
    return partial(archives.write_fss, tmp_path / "fewshot_data")


@pytest.fixture
def davis(tmp_path: Path) -> Callable[..., Path]:
    return partial(archives.write_davis, tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    return partial(archives.write_folder, tmp_path)


def same(first: object, second: object) -> bool:
    """Whether two episodes, shots, batches or parts of them are equal bit by bit."""
    if is_dataclass(first) and type(first) is type(second):
        return all(same(getattr(first, part.name), getattr(second, part.name)) for part in fields(first))
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


@pytest.fixture
def equal() -> Callable[[object, object], bool]:
    return same

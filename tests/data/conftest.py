"""Small archives on disk in the official layouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

HEIGHT, WIDTH = 40, 60


def save_image(path: Path, height: int = HEIGHT, width: int = WIDTH) -> Path:
    """A smooth picture in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:height, :width]
    picture = np.stack([rows * 4, columns * 4, rows + columns], -1).clip(0, 255).astype(np.uint8)
    assert cv2.imwrite(str(path), picture)
    return path


def save_mask(path: Path, values: np.ndarray, mode: str = "P") -> Path:
    """A label map as Pillow's mode P (with a palette), L, 1 or RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.fromarray(values.astype(np.uint8))
    if mode == "P":
        mask.putpalette([channel for i in range(256) for channel in (i, 255 - i, i * 7 % 256)])
    elif mode == "1":
        mask = Image.fromarray(values > 0)
    elif mode != "L":
        mask = mask.convert(mode)
    mask.save(path)
    return path


def save_mat(path: Path, struct: str, values: np.ndarray, categories: Sequence[int] = ()) -> Path:
    """A label map as SBD's GTcls or GTinst."""
    path.parent.mkdir(parents=True, exist_ok=True)
    column = np.array(categories or sorted(set(np.unique(values)) - {0}), np.uint8)[:, None]
    name = "Categories" if struct == "GTinst" else "CategoriesPresent"
    boundaries = np.empty((2, 1), object)
    boundaries[:, 0] = [np.zeros(2), np.zeros(2)]
    content = {"Boundaries": boundaries, "Segmentation": values.astype(np.uint8), name: column}
    savemat(path, {struct: content}, do_compression=True)
    return path


def boxes(*values: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A label map with a 12 x 12 square of each value, side by side, on background."""
    labels = np.zeros((height, width), np.uint8)
    for i, value in enumerate(values):
        labels[10:22, 14 * i : 14 * i + 12] = value
    return labels


@pytest.fixture
def image() -> Callable[..., Path]:
    return save_image


@pytest.fixture
def mask() -> Callable[..., Path]:
    return save_mask


@pytest.fixture
def squares() -> Callable[..., np.ndarray]:
    return boxes


@pytest.fixture
def voc(tmp_path: Path) -> Callable[..., Path]:
    """Writes a VOC archive: train and val map an image name to the class values in it."""

    def write(train: Mapping[str, tuple[int, ...]], val: Mapping[str, tuple[int, ...]]) -> Path:
        lists = tmp_path / "ImageSets/Segmentation"
        lists.mkdir(parents=True)
        for name, images in (("train", train), ("val", val)):
            (lists / f"{name}.txt").write_text("".join(f"{image}\n" for image in images))
            for stem, values in images.items():
                save_image(tmp_path / "JPEGImages" / f"{stem}.jpg")
                save_mask(tmp_path / "SegmentationClass" / f"{stem}.png", boxes(*values))
        return tmp_path

    return write


@pytest.fixture
def sbd(tmp_path: Path) -> Callable[..., Path]:
    """Writes SBD's folder: train and val map an image name to the class of each object in it."""

    def write(train: Mapping[str, tuple[int, ...]], val: Mapping[str, tuple[int, ...]]) -> Path:
        root = tmp_path / "benchmark_RELEASE/dataset"
        for name, images in (("train", train), ("val", val)):
            for stem, classes in images.items():
                save_image(root / "img" / f"{stem}.jpg")
                save_mat(root / "cls" / f"{stem}.mat", "GTcls", boxes(*classes))
                save_mat(root / "inst" / f"{stem}.mat", "GTinst", boxes(*range(1, len(classes) + 1)), classes)
            (root / f"{name}.txt").write_text("".join(f"{image}\n" for image in images))
        return root

    return write


@pytest.fixture
def camvid(tmp_path: Path) -> Callable[..., Path]:
    """Writes CamVid's folders: a split maps a frame to the values in its label file, 11 around them unless said."""

    def write(splits: Mapping[str, Mapping[str, tuple[int, ...]]], around: int = 11) -> Path:
        for split, frames in splits.items():
            for name, values in frames.items():
                labels = boxes(*(value + 1 for value in values)).astype(int) - 1
                labels[labels < 0] = around
                save_image(tmp_path / split / f"{name}.png")
                save_mask(tmp_path / f"{split}annot" / f"{name}.png", labels, "L")
        return tmp_path

    return write


@pytest.fixture
def fss(tmp_path: Path) -> Callable[..., Path]:
    """Writes FSS-1000's folders: classes of so many images."""

    def write(classes: Sequence[str], images: int = 3) -> Path:
        root = tmp_path / "fewshot_data"
        for name in classes:
            for i in range(1, images + 1):
                save_image(root / name / f"{i}.jpg")
                save_mask(root / name / f"{i}.png", np.where(boxes(1) > 0, 255, 0), "RGB")
        return root

    return write


@pytest.fixture
def davis(tmp_path: Path) -> Callable[..., Path]:
    """Writes a DAVIS archive: a sequence maps to the values in each of its frames."""

    def write(
        train: Mapping[str, list[tuple[int, ...]]],
        val: Mapping[str, list[tuple[int, ...]]],
        resolution: str = "240p",
        mode: str = "P",
    ) -> Path:
        lists = tmp_path / "ImageSets/2016"
        lists.mkdir(parents=True, exist_ok=True)
        for name, sequences in (("train", train), ("val", val)):
            (lists / f"{name}.txt").write_text("".join(f"{sequence}\n" for sequence in sequences))
            for sequence, frames in sequences.items():
                for i, values in enumerate(frames):
                    save_image(tmp_path / "JPEGImages" / resolution / sequence / f"{i:05d}.jpg")
                    save_mask(
                        tmp_path / "Annotations" / resolution / sequence / f"{i:05d}.png",
                        boxes(*values),
                        mode,
                    )
        return tmp_path

    return write


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes images/ and masks/: a name (or ``video/frame``) maps to the values in its mask."""

    def write(items: Mapping[str, tuple[int, ...]], suffix: str = ".jpg", mode: str = "L") -> Path:
        (tmp_path / "images").mkdir()
        (tmp_path / "masks").mkdir()
        for name, values in items.items():
            save_image(tmp_path / "images" / f"{name}{suffix}")
            save_mask(tmp_path / "masks" / f"{name}.png", boxes(*values), mode)
        return tmp_path

    return write


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

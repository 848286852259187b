"""Small valid input for the fuzz to change, and what must hold of what is read from it."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as run_lengths

from guided_seg.data.coco.coco import COCO_CLASSES
from guided_seg.data.files.pairs import FileSource

HEIGHT, WIDTH = 40, 60
NAMES = [str(number) for number in range(6)]
SQUARE = [5, 5, 25, 5, 25, 25, 5, 25]


def picture(seed: int = 0) -> np.ndarray:
    """An image of noise."""
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def labels() -> np.ndarray:
    """A label map of two objects and a void border."""
    found = np.zeros((HEIGHT, WIDTH), np.uint8)
    found[5:25, 5:25], found[5:35, 35:55], found[0] = 1, 2, 255
    return found


def encoded(pixels: np.ndarray, kind: str, mode: str | None = None) -> bytes:
    """The bytes of an image file of a format of Pillow."""
    image, file = Image.fromarray(pixels), io.BytesIO()
    if mode == "P":
        image.putpalette([channel for i in range(256) for channel in (i, 255 - i, i * 7 % 256)])
    elif mode:
        image = image.convert(mode)
    image.save(file, kind)
    return file.getvalue()


IMAGES = {
    **{name: encoded(picture(), name) for name in ("JPEG", "PNG", "WEBP", "BMP")},
    "grey": encoded(picture()[..., 0], "JPEG"),
    "transparent": encoded(picture(), "PNG", "RGBA"),
}
MASKS = {
    "P": encoded(labels(), "PNG", "P"),
    "L": encoded(labels(), "PNG"),
    "1": encoded(labels() == 1, "PNG"),
    "black and white": encoded((labels() == 1).astype(np.uint8) * 255, "PNG"),
    "RGB": encoded(labels(), "PNG", "RGB"),
    "16 bits": encoded(labels().astype(np.uint16), "PNG"),
}
SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "BMP": "bmp", "grey": "jpg", "transparent": "png"}

_packed = run_lengths.encode(np.asfortranarray(labels() == 2))
COCO: dict[str, Any] = {
    "categories": [{"id": 10 * i, "name": name} for i, name in enumerate(COCO_CLASSES, 1)],
    "images": [{"id": i, "file_name": f"{i}.jpg", "height": HEIGHT, "width": WIDTH} for i in range(2)],
    "annotations": [
        {"id": 1, "image_id": 0, "category_id": 10, "iscrowd": 0, "area": 400, "bbox": [5, 5, 20, 20]}
        | {"segmentation": [SQUARE, [35, 5, 55, 5, 55, 35]]},
        {"id": 2, "image_id": 0, "category_id": 20, "iscrowd": 1}
        | {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [100, 700, 1600]}},
        {"id": 3, "image_id": 1, "category_id": 30, "iscrowd": 0}
        | {"segmentation": {"size": [HEIGHT, WIDTH], "counts": _packed["counts"].decode()}},
        {"id": 4, "image_id": 1, "category_id": 10, "segmentation": [SQUARE]},
    ],
}
POLYGONS = "0 0.1 0.1 0.4 0.1 0.4 0.6 0.1 0.6\n3 0.6 0.1 0.9 0.1 0.9 0.9\n"


def write(root: Path, files: dict[str, bytes]) -> Path:
    """These files in a folder, and no others."""
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def folder(names: Iterable[str] = NAMES) -> dict[str, bytes]:
    """The files of your own data."""
    return {f"images/{name}.jpg": IMAGES["JPEG"] for name in names} | {
        f"masks/{name}.png": MASKS["P"] for name in names
    }


def check_source(source: FileSource) -> None:
    """All that a source has can be loaded, and fits together."""
    for key in source.pairs:
        sample = source.load(key)
        assert sample.image.dtype == sample.labels.dtype == np.uint8
        assert sample.image.shape == (*sample.labels.shape, 3)
    for target in source.targets():
        assert (source.load(target.key).labels == target.value).any()

"""Tiny data sets in the official layouts: one writer per layout, and fixed small trees made with them.

A writer takes the root and a mapping from names to the label values shown in each image.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from scipy.io import savemat

HEIGHT, WIDTH = 40, 60

Values = Sequence[int]
Images = Mapping[str, Values]
Videos = Mapping[str, Sequence[Values]]


def labels(*values: int) -> np.ndarray:
    """Draw a 12 x 12 square of each value, side by side, on background: (HEIGHT, WIDTH), uint8."""
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number, value in enumerate(values):
        drawn[10:22, 14 * number : 14 * number + 12] = value
    return drawn


def smooth(height: int, width: int) -> np.ndarray:
    """Draw a picture of colours that change slowly: (height, width, 3), uint8."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 4, columns * 4, rows + columns], -1).clip(0, 255).astype(np.uint8)


def write_image(path: Path, height: int = HEIGHT, width: int = WIDTH, picture: np.ndarray | None = None) -> Path:
    """Write ``picture``, or a smooth one of the given size, in the format of the suffix.

    A smooth one has a corner whose colour depends on its name and folder, as the images of a data set differ.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if picture is None:
        picture = smooth(height, width)
        picture[-8:, -8:] = list(hashlib.sha256(f"{path.parent.name}/{path.name}".encode()).digest()[:3])
    assert cv2.imwrite(str(path), picture)
    return path


def write_mask(path: Path, values: np.ndarray, mode: str = "P") -> Path:
    """Write a label map in Pillow's mode P (with a palette), L, 1 or RGB.

    The file is not compressed, so its size does not depend on its pixels.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.fromarray(values > 0 if mode == "1" else values.astype(np.uint8))
    if mode == "P":
        mask.putpalette([channel for i in range(256) for channel in (i, 255 - i, i * 7 % 256)])
    mask.convert(mode).save(path, compress_level=0)
    return path


def write_mat(path: Path, struct: str, values: np.ndarray, categories: Values = ()) -> Path:
    """Write a label map as SBD's struct GTcls or GTinst."""
    path.parent.mkdir(parents=True, exist_ok=True)
    column = np.array(categories or sorted(set(np.unique(values)) - {0}), np.uint8)[:, None]
    name = "Categories" if struct == "GTinst" else "CategoriesPresent"
    boundaries = np.empty((2, 1), object)
    boundaries[:, 0] = [np.zeros(2), np.zeros(2)]
    content = {"Boundaries": boundaries, "Segmentation": values.astype(np.uint8), name: column}
    savemat(path, {struct: content}, do_compression=True)
    return path


def write_lines(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def write_pair(image: Path, mask: Path, values: Values, mode: str = "P", seed: int | None = None) -> None:
    """Write an image and its mask.

    Without a seed, the image is smooth and the mask shows a square of each value. With one, the image is 48 x 64 pixels
    of noise with a bright square of 16 x 16, which has the first value in the mask and can be learnt.
    """
    if seed is None:
        write_image(image)
        write_mask(mask, labels(*values), mode)
        return
    rng = np.random.default_rng(seed)
    row, column = rng.integers(0, 32), rng.integers(0, 48)
    picture, drawn = rng.integers(0, 120, (48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8)
    picture[row : row + 16, column : column + 16] += 120
    drawn[row : row + 16, column : column + 16] = values[0]
    write_image(image, picture=picture)
    write_mask(mask, drawn, mode)


# ---- one writer per layout ----


def write_folder(root: Path, items: Images, suffix: str = ".jpg", mode: str = "L", noise: bool = False) -> Path:
    """Write images/ and masks/: a name, or ``video/frame``, maps to the values in its mask."""
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for number, (name, values) in enumerate(items.items()):
        image, mask = root / "images" / f"{name}{suffix}", root / "masks" / f"{name}.png"
        write_pair(image, mask, values, mode, number if noise else None)
    return root


def write_voc(root: Path, train: Images, val: Images, objects: bool = False) -> Path:
    """Write PASCAL VOC, with masks of objects if asked for: an image's name maps to the class of each object."""
    for split, images in (("train", train), ("val", val)):
        write_lines(root / "ImageSets/Segmentation" / f"{split}.txt", *images)
        for name, values in images.items():
            write_pair(root / "JPEGImages" / f"{name}.jpg", root / "SegmentationClass" / f"{name}.png", values)
            if objects:
                write_mask(root / "SegmentationObject" / f"{name}.png", labels(*range(1, len(values) + 1)))
    return root


def write_sbd(root: Path, train: Images, val: Images) -> Path:
    """Write SBD: an image's name maps to the class of each object in it."""
    for split, images in (("train", train), ("val", val)):
        write_lines(root / f"{split}.txt", *images)
        for name, classes in images.items():
            write_image(root / "img" / f"{name}.jpg")
            write_mat(root / "cls" / f"{name}.mat", "GTcls", labels(*classes))
            write_mat(root / "inst" / f"{name}.mat", "GTinst", labels(*range(1, len(classes) + 1)), classes)
    return root


def write_davis(
    root: Path,
    train: Videos,
    val: Videos,
    resolution: str = "240p",
    mode: str = "P",
    year: str = "2016",
    noise: bool = False,
) -> Path:
    """Write DAVIS: a sequence maps to the values in each of its frames."""
    for split, sequences in (("train", train), ("val", val)):
        write_lines(root / "ImageSets" / year / f"{split}.txt", *sequences)
        for place, (sequence, frames) in enumerate(sequences.items()):
            for number, values in enumerate(frames):
                name = f"{resolution}/{sequence}/{number:05d}"
                image, mask = root / f"JPEGImages/{name}.jpg", root / f"Annotations/{name}.png"
                seed = number + 1000 * place + 100_000 * (split == "val")
                write_pair(image, mask, values, mode, seed if noise else None)
    return root


def write_camvid(root: Path, splits: Mapping[str, Images], around: int = 11) -> Path:
    """Write CamVid: a frame maps to the values in its mask, which has the value ``around`` elsewhere."""
    for split, frames in splits.items():
        for name, values in frames.items():
            drawn = labels(*(value + 1 for value in values)).astype(int) - 1
            write_image(root / split / f"{name}.png")
            write_mask(root / f"{split}annot" / f"{name}.png", np.where(drawn < 0, around, drawn), "L")
    return root


def write_fss(root: Path, classes: Sequence[str], images: int = 3) -> Path:
    """Write FSS-1000: a folder for each class, with that many images and their masks."""
    for name in classes:
        for number in range(1, images + 1):
            write_pair(root / name / f"{number}.jpg", root / name / f"{number}.png", (255,), "RGB")
    return root


def write_coco(
    root: Path, parts: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]], categories: Mapping[int, str]
) -> Path:
    """Write COCO: in a part, such as train2017, an image's name maps to its annotations without their numbers."""
    for part, images in parts.items():
        content: dict[str, Any] = {"images": [], "annotations": []}
        content["categories"] = [{"id": number, "name": name} for number, name in categories.items()]
        (root / part).mkdir(parents=True)
        for number, (name, shapes) in enumerate(images.items()):
            path = write_image(root / part / f"{name}.jpg")
            content["images"].append({"id": number, "file_name": path.name, "height": HEIGHT, "width": WIDTH})
            for shape in shapes:
                numbers = {"id": len(content["annotations"]), "image_id": number}
                content["annotations"].append(numbers | dict(shape))
        write_lines(root / "annotations" / f"instances_{part}.json", json.dumps(content))
    return root


def write_polygons(root: Path, images: Mapping[str, Sequence[tuple[int, Sequence[float]]] | None]) -> Path:
    """Write YOLO's images/ and labels/: a name maps to pairs of a class, from 1, and its outline x, y, x, y, ...

    Coordinates are pixels. None stands for an image without a label file.
    """
    (root / "labels").mkdir(parents=True)
    for name, shapes in images.items():
        write_image(root / "images" / f"{name}.jpg")
        if shapes is not None:
            lines = [
                " ".join([str(value - 1), *(f"{p / (WIDTH, HEIGHT)[i % 2]:.6f}" for i, p in enumerate(outline))])
                for value, outline in shapes
            ]
            write_lines(root / "labels" / f"{name}.txt", *lines)
    return root


# ---- fixed small trees ----


def noise_folder(root: Path, names: Sequence[str], colour: int = 255) -> Path:
    """Your own data that can be learnt: an image of noise with a bright square for each name."""
    return write_folder(root, dict.fromkeys(names, (colour,)), noise=True)


def noise_davis(root: Path, frames: int = 4) -> Path:
    """DAVIS that can be learnt: three sequences to train on (the last of them for validation) and one to test."""
    sequence = [(255,)] * frames
    return write_davis(root, dict.fromkeys("abc", sequence), {"d": sequence}, mode="L", noise=True)


def voc_tree(root: Path) -> Path:
    """PASCAL VOC 2012: a cat (8) and a dog (12) to train on, and both in each image of val."""
    train = {"2007_000001": (8,), "2007_000002": (8,), "2007_000003": (12,), "2007_000004": (12,)}
    val = {"2008_000001": (8, 12), "2008_000002": (8, 12)}
    for name in train | val:
        write_lines(root / "Annotations" / f"{name}.xml", "<annotation/>")
    return write_voc(root, train, val, objects=True)


def davis_tree(root: Path, year: str = "2016") -> Path:
    """DAVIS at 480p: two sequences to train on and one to test, of two frames each."""
    sequence = [(1, 2)] * 2
    return write_davis(root, {"bear": sequence, "camel": sequence}, {"dog": sequence}, "480p", year=year)


def sbd_tree(root: Path) -> Path:
    """SBD: an image with a cat for each of train and val."""
    return write_sbd(root, {"2008_000002": (8,)}, {"2008_000003": (8,)})


def coco_tree(root: Path) -> Path:
    """COCO 2017: one image with a polygon for each of train and val."""
    polygon = {"category_id": 17, "segmentation": [[5, 5, 25, 5, 25, 25]]}
    return write_coco(
        root, {"train2017": {"000000000009": [polygon]}, "val2017": {"000000000139": [polygon]}}, {17: "cat"}
    )


def camvid_tree(root: Path) -> Path:
    """CamVid as SegNet's tutorial has it, with a list for each split whose paths start at /SegNet."""
    name = "0001TP_006690"
    for split in ("train", "val", "test"):
        pair = (f"/SegNet/CamVid/{folder}/{name}.png" for folder in (split, f"{split}annot"))
        write_lines(root / f"{split}.txt", " ".join(pair))
    return write_camvid(root, {split: {name: (1, 2)} for split in ("train", "val", "test")})


def fss_tree(root: Path) -> Path:
    """FSS-1000: four classes of two images."""
    return write_fss(root, ("bus", "fish", "swan", "abacus"), images=2)


# ---- archives and files ----


def pack(tree: Path, archive: Path, inside: str = "") -> Path:
    """Pack the files of ``tree`` into the folder ``inside`` of a .zip, .tar or .tgz."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    paths = sorted(path for path in tree.rglob("*") if path.is_file())
    files = {Path(inside, path.relative_to(tree)).as_posix(): path for path in paths}
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, path in files.items():
                packed.write(path, name)
    else:
        with tarfile.open(archive, "w:gz" if archive.suffix == ".tgz" else "w") as packed_tar:
            for name, path in files.items():
                packed_tar.add(path, name)
    return archive


def spoil_jpeg(path: Path) -> None:
    """Make a JPEG impossible to decode, but keep its header and its end marker."""
    content = bytearray(path.read_bytes())
    table = content.index(b"\xff\xc4") + 5
    content[table : table + 16] = b"\xff" * 16
    path.write_bytes(content)


def md5(path: Path) -> str:
    return f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}"


def everything(folder: Path) -> dict[str, bytes | None]:
    """Read everything in a folder: files with their bytes, folders with None."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }

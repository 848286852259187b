"""Find COCO's images and annotations: the official layout, and exports of annotation tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

from guided_seg.data.coco.coco_json import Id, Instances, read_instances
from guided_seg.data.coco.outlines import Annotated, read_polygons
from guided_seg.data.files.pairs import IMAGE_SUFFIXES, by_stem, visible
from guided_seg.data.files.verify import open_root, read_names
from guided_seg.data.source import Split
from guided_seg.data.sources.classes import hashed
from guided_seg.data.sources.folder import listed_items
from guided_seg.episode import IGNORE
from guided_seg.errors import DataError
from guided_seg.files.text import as_stored, is_there, read_yaml, same_form, shown

LAYOUT = (
    "annotations/instances_train2017.json with train2017/ and val2017/, or images/ with labels/, or an export of "
    "COCO's JSON as docs/data.md shows it, such as train/_annotations.coco.json beside its images"
)
HASHED_SPLITS = {"test": (0.0, 0.2), "val": (0.2, 0.3), "train": (0.3, 1.0)}
"""Without lists, the range of `hashed` names for each split."""

FOLDERS: Mapping[Split, Sequence[str]] = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
"""Names of the split folders in various tools."""
ONE_FILE = (
    *(
        "_annotations.coco.json",
        "annotations/instances_default.json",
        "result.json",
        "dataset.json",
        "annotations.json",
    ),
)
"""One file for all images: Roboflow, CVAT, Label Studio and labelme2coco."""
CLASS_FILES = ("data.yaml", "dataset.yaml", "classes.txt", "labels/classes.txt")


class Item(NamedTuple):
    """An image, the file with its instances, and a function to read them."""

    image: Path
    mask: Path
    read: Callable[[Path], Annotated]


class Items(NamedTuple):
    """The annotated images of a split.

    Attributes:
        items: items by name: the file name without its suffix, or with it if two names would be equal.
        classes: names of classes; the first has value 1. Empty for COCO's.
        image_ids: the id of each image in the JSON file; empty without one.
        category_ids: the id of each class in the JSON file.
    """

    items: dict[str, Item]
    classes: tuple[str, ...] = ()
    image_ids: Mapping[str, Id] = {}
    category_ids: Mapping[str, Id] = {}


def find_items(root: Path, split: Split, year: str, names: Sequence[str], wanted: Callable[[str], bool]) -> Items:
    """Find the items of a split in any supported layout.

    Args:
        root: the data root.
        split: the split.
        year: year in the names of the official layout.
        names: COCO's classes.
        wanted: whether an image of the official layout is in the split, given its file name.

    Raises:
        DataError: a folder or a file is missing, or a file cannot be used.
    """
    if parts := dict(_json_parts(root)):
        path, *folders = _part(root, split, parts)
        found = _items(split, folders, path, read_instances(path, None, lambda _: True))
    elif whole := next((root / name for name in ONE_FILE if (root / name).is_file()), None):
        found = _items(split, _image_folders(root), whole, read_instances(whole, None, lambda _: True))
        chosen = _chosen(root, list(found.items), split, whole)
        found = found._replace(items={name: found.items[name] for name in chosen})
    elif (root / "annotations").is_dir():
        part = f"{'val' if split == 'test' else 'train'}{year}"
        path = root / "annotations" / f"instances_{part}.json"
        open_root(root, LAYOUT, (part,))
        found = _items(split, [root / part], path, read_instances(path, names, wanted))._replace(classes=())
    else:
        found = _polygons(root, split, names)
    return found


def _json_parts(root: Path) -> Iterator[tuple[Split, tuple[Path, ...]]]:
    """Yield the JSON file and the possible image folders of each split: Roboflow's and CVAT's layout."""
    for split, names in FOLDERS.items():
        for name in names:
            beside, apart = root / name / ONE_FILE[0], root / "annotations" / f"instances_{name}.json"
            if beside.is_file():
                yield split, (beside, beside.parent)
            elif apart.is_file():
                yield split, (apart, root / "images" / name, *_image_folders(root))


def _image_folders(root: Path) -> list[Path]:
    return [root / "images", root / "images" / "default", root]


def _part(root: Path, split: Split, parts: Mapping[Split, tuple[Path, ...]]) -> tuple[Path, ...]:
    if split not in parts:
        there = {name: " in ".join(str(path.relative_to(root)) for path in found[:1]) for name, found in parts.items()}
        raise DataError(
            f"The data root {root} has no annotations of {split}, only of {', '.join(map(' ('.join, there.items()))}); "
            f"make a folder {FOLDERS[split][0]}/ like the others and move a part of the images with their annotations "
            "there, or export again with this split."
        )
    return parts[split]


def _chosen(root: Path, names: Sequence[str], split: Split, where: Path) -> Sequence[str]:
    """The names on the list of a split, or without lists a share of all."""
    listed = listed_items(root, names, split, where)
    least, most = HASHED_SPLITS[split]
    return [name for name in names if least <= hashed(name) < most] if listed is None else listed


def _items(split: Split, folders: Sequence[Path], path: Path, found: Instances) -> Items:
    """The items of a JSON file, with their image files."""
    beside = {file.name for file in visible(folders[0])} if folders[0].is_dir() else set()
    files: dict[Id, tuple[Path, str]] = {}
    missing = []
    for number, annotated in found.images.items():
        name = annotated.file
        place = (folders[0] / name, name) if name in beside else _find(folders, name)
        if place is None:
            missing.append(name)
        else:
            files[number] = place
    if missing:
        raise DataError(
            f"The folder {folders[0]} lacks {len(missing)} of {len(found.images)} images of {path.name} for {split}, "
            f"such as {shown(missing[0])[1:-1]}; put the files there, with or without the folders in this name, or "
            "remove them from the file."
        )
    names = _names(files, path)
    items = {
        names[number]: Item(file, path, partial(_known, found.images[number])) for number, (file, _) in files.items()
    }
    return Items(items, found.names, {name: number for number, name in names.items()}, found.categories)


def _find(folders: Sequence[Path], name: str) -> tuple[Path, str] | None:
    """Find the file for a name in a JSON file. Returns its path, and its name relative to its folder.

    Tools write Windows separators, absolute paths of another computer, or parts of a URL.
    """
    plain = name.replace("\\", "/")
    address = unquote(plain.partition("?")[0])
    below = [each.lstrip("/") for each in (name, plain, address)]
    for each in dict.fromkeys([*below, PurePosixPath(plain).name, PurePosixPath(address).name]):
        for folder in folders:
            if each and is_there(file := as_stored(folder / each)) and file.is_file():
                return file, each
    return None


def _names(files: Mapping[Id, tuple[Path, str]], path: Path) -> dict[Id, str]:
    """A unique name for each image: its file name, without the suffix if possible."""
    seen: dict[Path, Id] = {}
    for number, (file, _) in files.items():
        if file in seen:
            raise DataError(
                f"The images {seen[file]!r} and {number!r} of {path} are both found in the file {file}; put the images "
                "into folders as their file_name says, or keep one of them."
            )
        seen[file] = number
    whole = {number: same_form(name) for number, (_, name) in files.items()}
    short = {number: name.removesuffix(PurePosixPath(name).suffix) for number, name in whole.items()}
    return short if len(set(short.values())) == len(short) else whole


def _known(annotated: Annotated, _: Path) -> Annotated:
    return annotated


def _polygons(root: Path, split: Split, names: Sequence[str]) -> Items:
    """The items of polygon label files, in folders per split or together."""
    classes = _class_names(root)
    parts = {
        part: (images, labels)
        for part, folders in FOLDERS.items()
        for name in folders
        for images, labels in (
            (root / name / "images", root / name / "labels"),
            (root / "images" / name, root / "labels" / name),
        )
        if images.is_dir() and labels.is_dir()
    }
    if parts:
        folders = _part(root, split, parts)
    else:
        open_root(root, LAYOUT, ("images", "labels"))
        folders = (root / "images", root / "labels")
    images, labels = (
        by_stem(folder, kinds) for folder, kinds in zip(folders, (IMAGE_SUFFIXES, (".txt",)), strict=True)
    )
    if root / CLASS_FILES[-1] in labels.values():
        labels.pop("classes")
    chosen = sorted(labels) if parts else _chosen(root, sorted({*images, *labels}), split, root / "images")
    read = len(classes or names)
    items = {
        name: Item(image, labels[name], partial(read_polygons, image, read))
        for name in chosen
        if name in labels
        for image in (images.get(name, folders[0] / f"{name}.jpg"),)
    }
    return Items(items, classes)


def _class_names(root: Path) -> tuple[str, ...]:
    """The class names in a file next to the labels; empty without one."""
    path = next((root / name for name in CLASS_FILES if (root / name).is_file()), None)
    if path is None:
        return ()
    if path.suffix == ".txt":
        return tuple(read_names(path))
    content = read_yaml(path, "file of class names", DataError)
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and list(names) == list(range(len(names))):
        names = list(names.values())
    if not isinstance(names, list) or not names or len(names) >= IGNORE or not all(isinstance(n, str) for n in names):
        raise DataError(
            f"The file {path} has names: {shown(str(names))[:60]}; expected a list of up to {IGNORE - 1} texts, or "
            "numbers from 0 with texts."
        )
    if len(set(names)) < len(names):
        raise DataError(f"The file {path} has two classes of one name; give each its own name.")
    return tuple(names)

"""Read instances from JSON in COCO's format. Every value is checked, and named in the message if it is wrong."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

from guided_seg.data.coco.outlines import Annotated, Instance, checked_number
from guided_seg.data.coco.run_lengths import (
    BadOutline,
    Size,
    area,
    check_box,
    check_size,
    check_within,
    nothing,
    of_segmentation,
)
from guided_seg.episode import IGNORE
from guided_seg.errors import DataError
from guided_seg.files.text import is_there, read_json, shown

log = logging.getLogger(__name__)

WHAT = "COCO's JSON of instances"
Id = Hashable


class Instances(NamedTuple):
    """The content of a JSON file.

    Attributes:
        names: the classes; the first has value 1.
        images: the requested images with annotations, by id.
        categories: the id of each class in the file.
    """

    names: tuple[str, ...]
    images: dict[Id, Annotated]
    categories: dict[str, Id]


def read_instances(path: Path, names: Sequence[str] | None, wanted: Callable[[str], bool]) -> Instances:
    """Read the annotated images of a JSON file.

    Parts with fewer than three points have no area and are skipped beside others. An annotation without an outline
    remains as an instance without pixels. A warning counts these, and annotations whose image is not in the file.

    Args:
        path: the file.
        names: the known classes; None for those of the file, in the order of their ids.
        wanted: whether to read an image, given its file name.

    Raises:
        DataError: the file is missing or not COCO's JSON, or a value in it is invalid; the message names the
            annotation, the image or the category.
    """
    if not is_there(path):
        raise DataError(f"The file {path} is missing; unpack COCO's annotations there.")
    content = read_json(path, WHAT, DataError)
    try:
        parts = [content[name] for name in ("categories", "images", "annotations")]
    except (KeyError, TypeError, IndexError) as error:
        raise DataError(
            f"The file {path} is not {WHAT} ({type(error).__name__}: {error}); expected an object with the lists "
            "images, annotations and categories, so export it as COCO instances."
        ) from error
    for name, part in zip(("categories", "images", "annotations"), parts, strict=True):
        if not isinstance(part, list) or not all(isinstance(entry, dict) for entry in part):
            raise DataError(f"The file {path} is not {WHAT}: its {name} is not a list of objects; export it again.")
    categories, images, annotations = parts
    known = _Categories.read(path, categories, names)
    reader = _Reader(path, known.values, _images(path, images, wanted))
    for entry in annotations:
        reader.add(entry)
    return Instances(known.names, reader.finish(len(annotations)), known.ids)


class _Categories(NamedTuple):
    names: tuple[str, ...]
    values: dict[Id, int]
    ids: dict[str, Id]

    @classmethod
    def read(cls, path: Path, entries: Sequence[Mapping[str, Any]], names: Sequence[str] | None) -> _Categories:
        found = {}
        for entry in entries:
            number, name = _id(path, "categories", entry), entry.get("name")
            if number in found or not isinstance(name, str) or not name.strip():
                fault = "comes twice" if number in found else f"has the name {name!r}; expected text"
                raise DataError(
                    f"The category {number!r} of {path} {fault}; export the file again, or correct it there."
                )
            found[number] = name
        if names is None:
            names = tuple(dict.fromkeys(found.values()))
        if len(names) >= IGNORE:
            raise DataError(f"The file {path} has {len(names)} categories, but a label map can hold {IGNORE - 1}.")
        if stray := next((name for name in found.values() if name not in names), None):
            raise DataError(
                f"The file {path} has the category {shown(stray)}, which is none of COCO's {len(names)} classes; for "
                "classes of your own, name the file train/_annotations.coco.json and put its images beside it "
                "(likewise valid/ and test/)."
            )
        values = {number: names.index(name) + 1 for number, name in found.items()}
        return cls(tuple(names), values, {name: number for number, name in reversed(found.items())})


class _Image(NamedTuple):
    file: str
    size: Size | None
    """None if the image is not requested."""
    part: str


def _images(path: Path, entries: Sequence[Mapping[str, Any]], wanted: Callable[[str], bool]) -> dict[Id, _Image]:
    found: dict[Id, _Image] = {}
    files: dict[str, Id] = {}
    for entry in entries:
        number, file = _id(path, "images", entry), entry.get("file_name")
        if not isinstance(file, str) or not file.strip() or not _can_be_a_path(file):
            raise DataError(
                f"The image {number!r} of {path} has the file_name {file!r:.60}; expected the name of a file."
            )
        if number in found:
            raise DataError(
                f"Two images of {path} have the id {number!r}, {shown(found[number].file)} and {shown(file)}, so their "
                "annotations cannot be told apart; give each image its own id (merge exports with a tool that does)."
            )
        if file in files:
            raise DataError(
                f"The images {files[file]!r} and {number!r} of {path} are both the file {shown(file)}; keep one "
                "of them, with all annotations."
            )
        files[file] = number
        try:
            size = check_size((entry.get("height"), entry.get("width"))) if wanted(file) else None
        except BadOutline as fault:
            raise DataError(f"The image {shown(file)} of {path} {fault}; correct it there.") from fault
        found[number] = _Image(file, size, str(entry.get("set", "")))
    return found


@dataclass
class _Reader:
    """Collects the instances per image."""

    path: Path
    values: Mapping[Id, int]
    images: Mapping[Id, _Image]
    found: dict[Id, list[Instance]] = field(default_factory=dict)
    outlined: bool = False
    empty: list[str] = field(default_factory=list)
    homeless: list[str] = field(default_factory=list)

    def add(self, entry: Mapping[str, Any]) -> None:
        number = entry.get("image_id")
        image = self.images.get(number) if isinstance(number, Hashable) else None
        if image is None:
            self.homeless.append(f"annotation {entry.get('id')!r} of image {number!r}")
        elif image.size is not None:
            self.found.setdefault(number, []).append(self._instance(entry, image.file, image.size))

    def _instance(self, entry: Mapping[str, Any], file: str, size: Size) -> Instance:
        try:
            check_box(entry.get("bbox"), size)
            runs, value = of_segmentation(entry.get("segmentation"), size), self._value(entry.get("category_id"))
            if runs is not None and not any(area([runs])):
                check_within(entry["segmentation"], size)
            if (crowd := entry.get("iscrowd") or 0) not in (0, 1):
                raise BadOutline(f"has iscrowd={crowd!r}; expected 0 or 1")
        except BadOutline as fault:
            raise DataError(
                f"Annotation {entry.get('id')!r} of {self.path}, in the image {shown(file)}, {fault}; correct it in "
                "the annotation tool and export again, or remove it from the file."
            ) from fault
        if runs is None:
            self.empty.append(f"annotation {entry.get('id')!r} of {shown(file)}")
        else:
            self.outlined = True
        return Instance(value, nothing(size) if runs is None else runs, bool(crowd))

    def _value(self, category: Any) -> int:
        if not isinstance(category, Hashable) or category not in self.values:
            raise BadOutline(f"has the category {category!r:.40}, which is not among the file's categories")
        return self.values[category]

    def finish(self, annotations: int) -> dict[Id, Annotated]:
        if self.empty and not self.outlined:
            raise DataError(
                f"None of {len(self.empty)} annotations of {self.path} has an outline (segmentation), perhaps because "
                "they are boxes; export polygons or masks, from a project for instance segmentation."
            )
        if self.homeless and len(self.homeless) == annotations:
            raise DataError(
                f"No annotation of {self.path} belongs to an image of the file (the first is {self.homeless[0]}); "
                "image_id must be the id of an image, and a number if that is one."
            )
        for faults, what in ((self.empty, "have no area"), (self.homeless, "belong to no image of the file")):
            if faults:
                log.warning(
                    "%s: %d annotations %s and show nothing, such as %s.", self.path, len(faults), what, faults[0]
                )
        order = sorted(self.found, key=lambda number: (isinstance(number, str), number))
        images = ((number, self.images[number], self.found[number]) for number in order)
        return {
            number: Annotated(image.file, image.size, checked_number(instances, self.path, image.file), image.part)
            for number, image, instances in images
            if image.size is not None
        }


def _id(path: Path, what: str, entry: Mapping[str, Any]) -> Id:
    number: Any = entry.get("id")
    if not (isinstance(number, str) or (type(number) in (int, float) and number == number // 1)):
        raise DataError(f"One of the {what} of {path} has the id {number!r:.40}; expected a number.")
    return cast("Id", number)


def _can_be_a_path(file: str) -> bool:
    return "\0" not in file and file == file.encode("utf-8", "ignore").decode()

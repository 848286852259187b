"""Parser of session files. Every entry is checked, since a file may be damaged, edited by hand or untrusted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from reprlib import repr as short
from typing import Any, Literal, TypeVar, get_args

KWay = Literal["native", "one_vs_rest"]
"""How several labels are segmented: all at once, or one-vs-rest."""

T = TypeVar("T")

_LACKING = object()


class Malformed(ValueError):
    """The content is not that of a session; the message says why."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The location of a file: relative to the folder of the session (``near``), and absolute (``whole``)."""

    near: str
    whole: str


@dataclass(frozen=True, slots=True)
class SavedModel:
    """The checkpoint of the network, its SHA-256, and how the network segments several labels."""

    checkpoint: Reference
    sha256: str
    reading: KWay


@dataclass(frozen=True, slots=True)
class SavedImage:
    """An image and its annotation.

    Attributes:
        name: id of the image.
        checksum: CRC-32 of its pixels.
        source: a file, a video and frame number, or the archive entry that stores the pixels.
        mask: archive entry of its label map, or None.
        dots: (row, column, label number) of each dot.
    """

    name: str
    checksum: int
    source: Reference | tuple[str, int] | str
    mask: str | None
    dots: list[tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a session file."""

    model: SavedModel | None
    labels: list[str]
    videos: list[tuple[str, Reference]]
    images: list[SavedImage]


def table_of(data: bytes) -> dict[str, Any]:
    """Parse ``session.json``.

    Raises:
        Malformed: it is not a JSON object.
        ValueError: it is not JSON.
    """
    try:
        return _is(dict, json.loads(data), "session.json")
    except RecursionError:
        raise Malformed("session.json is nested too deeply") from None


def parse(table: dict[str, Any]) -> Content:
    """The content of a table from `table_of`. Raises `Malformed` if the layout is wrong."""
    return Content(
        _model(table.get("model")),
        [_is(str, label, "a label") for label in _take(table, "labels", list)],
        [_video(entry) for entry in _take(table, "videos", list)],
        [_image(entry) for entry in _take(table, "images", list)],
    )


def _model(entry: object) -> SavedModel | None:
    if entry is None:
        return None
    table = _is(dict, entry, "model")
    reading = _take(table, "reading", str)
    if reading not in get_args(KWay):
        raise Malformed(f"reading is {short(reading)}")
    chosen: KWay = "native" if reading == "native" else "one_vs_rest"
    return SavedModel(_reference(_take(table, "checkpoint", list)), _take(table, "sha256", str), chosen)


def _video(entry: object) -> tuple[str, Reference]:
    name, reference = _row(entry, 2, "a video")
    return _is(str, name, "the id of a video"), _reference(reference)


def _image(entry: object) -> SavedImage:
    table = _is(dict, entry, "an image")
    dots = [_dot(dot) for dot in _take(table, "dots", list)]
    mask = _take(table, "mask", str) if "mask" in table else None
    return SavedImage(_take(table, "name", str), _take(table, "checksum", int), _source(table), mask, dots)


def _source(table: dict[str, Any]) -> Reference | tuple[str, int] | str:
    if "frame" in table:
        video, index = _row(table["frame"], 2, "a frame")
        return _is(str, video, "the video of a frame"), _is(int, index, "the number of a frame")
    return _reference(table["file"]) if "file" in table else _take(table, "stored", str)


def _dot(entry: object) -> tuple[int, int, int]:
    row, column, label = (_is(int, number, "a dot's number") for number in _row(entry, 3, "a dot"))
    return row, column, label


def _reference(entry: object) -> Reference:
    near, whole = (_is(str, path, "a path") for path in _row(entry, 2, "the place of a file"))
    if "\0" in near + whole:
        raise Malformed(f"a path is {short(near)}")
    return Reference(near, whole)


def _row(entry: object, length: int, what: str) -> list[Any]:
    row = _is(list, entry, what)
    if len(row) != length:
        raise Malformed(f"{what} has {len(row)} entries instead of {length}")
    return row


def _take(table: dict[str, Any], key: str, kind: type[T]) -> T:
    if (value := table.get(key, _LACKING)) is _LACKING:
        raise Malformed(f"{key} is missing")
    return _is(kind, value, key)


def _is(kind: type[T], value: object, what: str) -> T:
    if type(value) is not kind:  # strict: True is not an int here
        raise Malformed(f"{what} is {short(value)}")
    return value

"""Frozen episodes: the episodes of an evaluation in one small file, equal on every machine and for every model.

A file has image keys, label values and dots, but no pixels. Dots are in pixels of the original image size, so they are
valid at any size that a protocol uses. The file stores the size and a checksum of the labels of each image, to detect
other data, and a checksum of itself, to detect changes.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from reprlib import repr as _short
from typing import Any, NamedTuple, cast

from guided_seg.data.source import MODES, Mode, Sample
from guided_seg.episode import IGNORE
from guided_seg.errors import DataError
from guided_seg.files.writing import whole_file

FORMAT = 1
"""The version of the file format."""

MOST_TEXT = 2**28
"""Most bytes that a file unpacks to. The largest of ours has 5 MB."""

LEFT_OUT = "left_out"
"""The entry of the rule with the number of episodes of each mode that had an unreadable file; absent if none had."""


class Mark(NamedTuple):
    """Identifies an image: height, width and a checksum of its label map."""

    height: int
    width: int
    labels: int


@dataclass(frozen=True, slots=True)
class FrozenView:
    """An image of an episode.

    Attributes:
        key: the key for `guided_seg.data.source.Source.load`.
        values: the values of the positive labels 1, 2, ... in this order.
        dots: rows of (row, column, label) at the original image size. The first P of each label are the P dots. None
            until they are drawn.
    """

    key: Hashable
    values: tuple[int, ...]
    dots: tuple[tuple[int, int, int], ...] | None = ()


@dataclass(frozen=True, slots=True)
class FrozenEpisode:
    """A frozen episode: query and support; see `guided_seg.data.source.Task`.

    Attributes:
        mode: interactive, semantic or video.
        seed: random seed of its draw.
        query: the image to segment.
        support: the annotated images, the first S x ``ways`` of them for S shots.
        groups: the class or object of each positive label.
        ways: number of support images per shot.
        last: whether it is the last frame of its video, which DAVIS does not score.
        number: its number among the draws of its mode and seed, which determines its dots; 0 if read from a file.
    """

    mode: Mode
    seed: int
    query: FrozenView
    support: tuple[FrozenView, ...]
    groups: tuple[str, ...]
    ways: int = 1
    last: bool = False
    number: int = field(default=0, compare=False)

    def shows_query(self, shots: int) -> bool:
        """Whether the first ``shots`` shots of a semantic or video episode contain the query."""
        shown = self.support[: shots * self.ways]
        return self.mode != "interactive" and self.query.key in (view.key for view in shown)


@dataclass(frozen=True)
class FrozenEpisodes:
    """The episodes of an evaluation.

    Attributes:
        source: name of the data.
        split: split of the data.
        rule: how the episodes were selected, as plain values.
        images: each image of the episodes; empty until they are loaded.
        episodes: the episodes, in order.
    """

    source: str
    split: str
    rule: Mapping[str, Any]
    images: Mapping[Hashable, Mark]
    episodes: tuple[FrozenEpisode, ...]

    @property
    def left_out(self) -> dict[str, int]:
        """The number of episodes of each mode that had an unreadable file when they were frozen."""
        found = self.rule.get(LEFT_OUT)
        return {mode: n for mode, n in found.items() if type(n) is int} if isinstance(found, dict) else {}

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the file's content, as hexadecimal digits."""
        return _digest(self._content())

    def _content(self) -> dict[str, Any]:
        number = {key: i for i, key in enumerate(self.images)}
        return {
            "format": FORMAT,
            "source": self.source,
            "split": self.split,
            "rule": dict(self.rule),
            "images": [[key, *mark] for key, mark in self.images.items()],
            "episodes": [_pack(episode, number) for episode in self.episodes],
        }

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the file atomically; equal episodes give equal bytes."""
        content = self._content()
        text = _canonical(content | {"checksum": _digest(content)})
        with whole_file(path) as partial:
            partial.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
        return Path(path)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> FrozenEpisodes:
        """Read the episodes of a file.

        Raises:
            DataError: the file is missing, damaged, changed, of another version, or has invalid episodes.
        """
        content = _open(Path(path))
        expected = content.pop("checksum", None)
        if content.get("format") != FORMAT:
            raise DataError(
                f"{path} has the format {content.get('format')} of frozen episodes, but this version of guided_seg "
                f"reads {FORMAT}; freeze them again."
            )
        if _digest(content) != expected:
            raise DataError(f"{path} is not as it was written: its checksum differs; get it again from its origin.")
        try:
            return cls(*_unpack_all(content))
        except _Impossible as fault:
            raise DataError(f"{path} cannot be used: {fault}; freeze the episodes again.") from fault


def mark_of(sample: Sample) -> Mark:
    """The mark of a sample's image."""
    height, width = sample.labels.shape
    return Mark(height, width, zlib.crc32(sample.labels.tobytes()))


def _open(path: Path) -> dict[str, Any]:
    """Read a file of frozen episodes. Unpacking stops at the most that such a file may hold."""
    try:
        with gzip.open(path) as file:
            text = file.read(MOST_TEXT + 1)
        content = json.loads(text) if len(text) <= MOST_TEXT else None
    except FileNotFoundError:
        raise DataError(
            f"There are no frozen episodes {path}; `python -m guided_seg.episodes freeze` makes them."
        ) from None
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise DataError(f"{path} cannot be read as frozen episodes ({error}); get it again from its origin.") from error
    if not isinstance(content, dict):
        raise DataError(
            f"{path} holds no frozen episodes; give a file that `python -m guided_seg.episodes freeze` wrote."
        )
    return content


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def _pack(episode: FrozenEpisode, number: Mapping[Hashable, int]) -> list[Any]:
    # without marks, images have no number
    views = [[number.get(view.key, view.key), view.values, view.dots] for view in (episode.query, *episode.support)]
    return [MODES.index(episode.mode), episode.seed, episode.groups, episode.ways, int(episode.last), views]


class _Impossible(ValueError):
    """An invalid value in an episode; the message says where and what."""


def _unpack_all(content: Mapping[str, Any]) -> tuple[str, str, dict[str, Any], dict[Hashable, Mark], tuple[Any, ...]]:
    """Unpack and check the fields of `FrozenEpisodes`. The checksum does not protect against wrong writers."""
    kinds = {"source": str, "split": str, "rule": dict, "images": list, "episodes": list}
    for name, kind in kinds.items():
        if not isinstance(content.get(name), kind):
            raise _Impossible(f"its {name} is {_short(content.get(name))}")
    images = dict(_unpack_image(number, entry) for number, entry in enumerate(content["images"]))
    if len(images) < len(content["images"]):
        raise _Impossible("it names an image twice")
    known = list(images.items())
    episodes = tuple(_unpack(f"episode {number}", entry, known) for number, entry in enumerate(content["episodes"]))
    return content["source"], content["split"], content["rule"], images, episodes


def _unpack_image(number: int, entry: Any) -> tuple[Hashable, Mark]:
    match entry:
        case [key, height, width, labels] if _whole(height, 1) and _whole(width, 1) and _whole(labels, 0, 2**32):
            return _key(key), Mark(height, width, labels)
    raise _Impossible(f"image {number} is {_short(entry)}, not a key, height, width and checksum")


def _unpack(where: str, entry: Any, images: Sequence[tuple[Hashable, Mark]]) -> FrozenEpisode:
    match entry:
        case [mode, seed, [*groups], ways, last, [query, *support]]:
            pass
        case _:
            raise _Impossible(f"{where} is {_short(entry)}, not a mode, seed, groups, ways, last and views")
    if not _whole(mode, 0, len(MODES)) or not _whole(seed, 0) or not _whole(ways, 1) or last not in (0, 1):
        raise _Impossible(f"{where} has mode, seed, ways and last {_short([mode, seed, ways, last])}")
    if not all(isinstance(group, str) for group in groups):
        raise _Impossible(f"{where} has the groups {_short(groups)}")
    views = [_unpack_view(where, view, len(groups), images) for view in (query, *support)]
    keys = {view.key for view in views}
    if not support or (MODES[mode] == "interactive" and len(keys) > 1):
        raise _Impossible(f"{where} is {MODES[mode]} and shows {len(support)} images, of {len(keys)} in all")
    return FrozenEpisode(MODES[mode], seed, views[0], tuple(views[1:]), tuple(groups), ways, bool(last))


def _unpack_view(where: str, view: Any, number: int, images: Sequence[tuple[Hashable, Mark]]) -> FrozenView:
    """Unpack a view. It must have one value per group of the episode, and all dots inside its image."""
    match view:
        case [image, [*values], [*dots]] if _whole(image, 0, len(images)):
            key, mark = images[image]
        case _:
            raise _Impossible(f"{where} has the view {_short(view)}; there are {len(images)} images")
    # a file has millions of values and dots, so compare in place
    whole = all(type(value) is int and 0 <= value < IGNORE for value in values)
    if not whole or len(set(values)) != number or len(values) != number:
        raise _Impossible(f"{where} has the label values {_short(values)} for {number} groups")
    for dot in dots:
        match dot:
            case [row, column, label] if (
                type(row) is type(column) is type(label) is int
                and 0 <= row < mark.height
                and 0 <= column < mark.width
                and 0 <= label <= number
            ):
                pass
            case _:
                raise _Impossible(
                    f"{where} has the dot {_short(dot)} on an image of {mark.height} x {mark.width}, with labels up to "
                    f"{number}"
                )
    return FrozenView(key, tuple(values), tuple((row, column, label) for row, column, label in dots))


def _whole(value: Any, least: int, end: float = float("inf")) -> bool:
    return type(value) is int and least <= value < end


def _key(value: Any) -> Hashable:
    """Convert the key of an image from JSON, which has no tuples."""
    if isinstance(value, list):
        return tuple(map(_key, value))
    if type(value) not in (str, int):
        raise _Impossible(f"an image has the key {_short(value)}")
    return cast("Hashable", value)

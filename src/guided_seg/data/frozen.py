"""Frozen episodes: the questions of an evaluation in one small file, the same on every machine and for every model.

A file names images, label values and dots, and holds no pixels. Dots are in pixels of the image at its own size, so
they survive any size at which a protocol shows it. Of each image the file keeps its size and a checksum of its labels,
by which other data is recognised; and a checksum of itself, by which a change is.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from guided_seg.data.source import MODES, DataError, Mode, Sample
from guided_seg.writing import whole_file

FORMAT = 1
"""The version of the file's layout."""


class Mark(NamedTuple):
    """By what an image is recognised: its height and width, and a checksum of its label map."""

    height: int
    width: int
    labels: int


@dataclass(frozen=True, slots=True)
class FrozenView:
    """An image of an episode.

    Attributes:
        key: what `guided_seg.data.source.Source.load` takes.
        values: the label values that are positive 1, 2, ... in this order.
        dots: rows of (row, column, label) at the image's own size. The first P of each label are the P dots.
    """

    key: Hashable
    values: tuple[int, ...]
    dots: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class FrozenEpisode:
    """A question: who is segmented, shown by whom; see `guided_seg.data.source.Task`.

    Attributes:
        mode: interactive, semantic or video.
        seed: of the draw that it belongs to.
        query: the image to segment.
        support: the annotated images, the first S x ``ways`` of them for S shots.
        groups: the class or object of each positive label.
        ways: how many images of the support make one shot.
        last: it is the last frame of its video, which DAVIS does not score.
    """

    mode: Mode
    seed: int
    query: FrozenView
    support: tuple[FrozenView, ...]
    groups: tuple[str, ...]
    ways: int = 1
    last: bool = False


@dataclass(frozen=True)
class FrozenEpisodes:
    """The questions of an evaluation.

    Attributes:
        source: the name of the data.
        split: of the data.
        rule: how the episodes were chosen, as plain values.
        images: each image that an episode names.
        episodes: the questions, in order.
    """

    source: str
    split: str
    rule: Mapping[str, Any]
    images: Mapping[Hashable, Mark]
    episodes: tuple[FrozenEpisode, ...]

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of all that the file says, as hexadecimal digits."""
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
        """Write the file whole or not at all; the same episodes are the same bytes."""
        content = self._content()
        text = _canonical(content | {"checksum": _digest(content)})
        with whole_file(path) as partial:
            partial.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
        return Path(path)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> FrozenEpisodes:
        """The episodes of a file.

        Raises:
            DataError: it is missing, damaged, changed, or of another version.
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
        images = {_key(key): Mark(*mark) for key, *mark in content["images"]}
        keys = list(images)
        episodes = tuple(_unpack(entry, keys) for entry in content["episodes"])
        return cls(content["source"], content["split"], content["rule"], images, episodes)


def mark_of(sample: Sample) -> Mark:
    """By what the image of a sample is recognised."""
    height, width = sample.labels.shape
    return Mark(height, width, zlib.crc32(sample.labels.tobytes()))


def _open(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(gzip.decompress(path.read_bytes()))
    except FileNotFoundError:
        raise DataError(f"There are no frozen episodes {path}; `python -m guided_seg.episodes` makes them.") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} cannot be read as frozen episodes ({error}); get it again from its origin.") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no frozen episodes; give a file that `python -m guided_seg.episodes` wrote.")
    return content


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def _pack(episode: FrozenEpisode, number: Mapping[Hashable, int]) -> list[Any]:
    views = [[number[view.key], view.values, view.dots] for view in (episode.query, *episode.support)]
    return [MODES.index(episode.mode), episode.seed, episode.groups, episode.ways, int(episode.last), views]


def _unpack(entry: list[Any], keys: list[Hashable]) -> FrozenEpisode:
    mode, seed, groups, ways, last, views = entry
    query, *support = (
        FrozenView(keys[number], tuple(values), tuple((row, column, label) for row, column, label in dots))
        for number, values, dots in views
    )
    return FrozenEpisode(MODES[mode], seed, query, tuple(support), tuple(groups), ways, bool(last))


def _key(value: Any) -> Hashable:
    """JSON has no tuples."""
    return tuple(_key(part) for part in value) if isinstance(value, list) else value

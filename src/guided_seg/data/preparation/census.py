"""What an archive holds: its images, classes, instances and videos, and the files that cannot be used."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypedDict

import numpy as np

from guided_seg.data.files.faults import leaving_out_broken
from guided_seg.data.files.pairs import FileSource
from guided_seg.data.files.verify import survey
from guided_seg.data.indexed import IndexedSource
from guided_seg.data.source import SPLITS, Source, Split, Target
from guided_seg.data.sources.tables import Counts
from guided_seg.episode import IGNORE

MakeSource = Callable[..., Source]
"""A source but for its split: what ``data.source`` of a config is."""

EVERYTHING: Mapping[str, Any] = {
    "held_out": (),
    "without": (),
    "test_classes": "all",
    "test_images": None,
    "min_pixels": 1,
    "oracle": False,
    "cache_mb": 0.0,
    "balance": 0.0,
}
"""The settings of a source with which nothing is left out; they say how data is used, not what there is."""


class Count(TypedDict):
    """How often a class or object is seen: label maps that show it, and its pixels in all of them."""

    number: int
    pixels: int


class VideoCount(TypedDict):
    """An object of a video: frames from its first, those that show it, and its pixels in them."""

    frames: int
    visible: int
    pixels: int


class SplitCounts(TypedDict):
    """One split: its images, the images of each class, the instances of each group, the objects of each video.

    A class of one image is no semantic task, and not among the classes; its regions are among the instances.
    """

    images: int
    classes: dict[str, Count]
    instances: dict[str, Count]
    videos: dict[str, VideoCount]


class Census(TypedDict):
    """All splits; how many images have which size, as ``height x width``; and a sentence for each broken file."""

    splits: dict[str, SplitCounts]
    sizes: dict[str, int]
    broken: list[str]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one key shows: its image, the size of it, and the pixels of each label."""

    image: str
    size: str
    pixels: Counts


def take_census(make: MakeSource, workers: int = 2) -> Census:
    """Decode every image and label map of every split and count; broken ones are listed.

    Args:
        make: the source but for its split.
        workers: threads that decode.

    Raises:
        DataError: the archive as such cannot be used: a folder or list is missing, or a split is empty.
    """
    seen: dict[Any, _Seen] = {}
    splits: dict[str, SplitCounts] = {}
    with leaving_out_broken(workers) as broken:
        for split in SPLITS:
            source = open_whole(make, split)
            keys = [key for key in _keys(source) if key not in seen and key not in broken]
            seen |= survey(keys, partial(_look, source), f"Reading {split}")
            splits[split] = _count(source, seen)
    sizes = Counter({one.image: one.size for one in seen.values()}.values())
    # one file may be behind several keys
    return Census(splits=splits, sizes=dict(sizes.most_common()), broken=list(dict.fromkeys(broken.values())))


def open_whole(make: MakeSource, split: Split) -> IndexedSource:
    """The source of a split with nothing left out.

    Raises:
        TypeError: it is not made of files.
    """
    accepted = inspect.signature(make).parameters
    source = make(split=split, **{name: value for name, value in EVERYTHING.items() if name in accepted})
    if not isinstance(source, IndexedSource):
        raise TypeError(f"{type(source).__name__} is no IndexedSource; only these can be counted.")
    return source


def _keys(source: IndexedSource) -> list[Any]:
    """Every label map of the split, whether or not a task shows it."""
    listed = source.pairs if isinstance(source, FileSource) else ()
    tables = (*source.classes.values(), *source.videos.values(), [target for _, target in source.objects])
    return list(dict.fromkeys([*listed, *(target.key for table in tables for target in table)]))


def _look(source: IndexedSource, key: str) -> _Seen:
    pair = source.pairs.get(key) if isinstance(source, FileSource) else None
    if pair is not None:
        pair.check_both_exist()
    sample = source.load(key)
    pixels = np.bincount(sample.labels.ravel(), minlength=IGNORE + 1)[:IGNORE]
    return _Seen(
        image=str(pair.image if pair else key),
        size=" x ".join(map(str, sample.labels.shape)),
        pixels={int(value): int(pixels[value]) for value in np.flatnonzero(pixels)},
    )


def _count(source: IndexedSource, seen: Mapping[Any, _Seen]) -> SplitCounts:
    instances: dict[str, list[Target]] = {}
    for group, target in source.objects:
        instances.setdefault(group, []).append(target)
    return SplitCounts(
        images=len({seen[key].image for key in _keys(source) if key in seen}),
        classes={name: _total(targets, seen) for name, targets in source.classes.items()},
        instances={group: _total(targets, seen) for group, targets in instances.items()},
        videos={
            group: VideoCount(
                frames=len(targets),
                visible=sum(target.visible for target in targets),
                pixels=_total(targets, seen)["pixels"],
            )
            for group, targets in source.videos.items()
        },
    )


def _total(targets: Iterable[Target], seen: Mapping[Any, _Seen]) -> Count:
    pixels = [seen[target.key].pixels.get(target.value, 0) for target in targets if target.key in seen]
    return Count(number=len(pixels), pixels=sum(pixels))

"""Decode every file of a data set once, to count its content and list broken files."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from inspect import signature
from pathlib import Path
from typing import NamedTuple

from guided_seg.data.files.faults import leaving_out_broken
from guided_seg.data.files.pairs import FileSource, read_pair
from guided_seg.data.files.verify import survey
from guided_seg.data.source import SPLITS

_EVERYTHING = {
    "held_out": (),
    "without": (),
    "test_classes": "all",
    "test_images": None,
    "complete": None,
    "min_pixels": 1,
    "oracle": False,
}
"""Settings with which sources exclude nothing."""


class Found(NamedTuple):
    """The content of a split, without broken files.

    Attributes:
        images: number of images.
        classes: number of classes with at least two images.
        videos: number of objects with at least two frames.
        instances: number of objects in single images.
    """

    images: int
    classes: int
    videos: int
    instances: int


def read_all(make: Callable[..., FileSource], workers: int = 2) -> tuple[dict[str, Found], list[str]]:
    """Count the content of each split without exclusions, and list a sentence for each unusable file.

    Args:
        make: factory of the source of a split.
        workers: threads that decode.

    Raises:
        DataError: the data set as a whole is unusable: a folder or list is missing, or a split is empty.
    """
    decoded: set[Hashable] = set()
    found: dict[str, Found] = {}
    everything = {name: value for name, value in _EVERYTHING.items() if name in signature(make).parameters}
    with leaving_out_broken(workers) as broken:
        for split in SPLITS:
            source = make(split=split, **everything)
            new = [key for key in source.pairs if key not in decoded and key not in broken]
            decoded |= survey(new, partial(_decode, source), f"Reading {split}").keys()
            found[split] = Found(
                images=len({pair.image for key, pair in source.pairs.items() if key in decoded}),
                classes=len(source.classes),
                videos=len(source.videos),
                instances=sum(target.key in decoded for _, target in source.objects),
            )
    return found, list(dict.fromkeys(broken.values()))  # several keys may share a file


def broken_below(root: Path, sentences: Iterable[str]) -> list[str]:
    """Format a list of broken files, with paths relative to ``root``."""
    return [f"broken: {sentence.replace(f'{root}{os.sep}', '')}" for sentence in dict.fromkeys(sentences)]


def _decode(source: FileSource, key: str) -> None:
    source.pairs[key].check_both_exist()
    read_pair(source.pairs[key])

"""Tables of tasks for an `IndexedSource`, from counts of label pixels."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from guided_seg.data.source import Split, Target
from guided_seg.data.sources.classes import open_keys, open_values

Counts = dict[int, int]
"""Label value -> number of its pixels, without void."""

MIN_PIXELS = 100
"""A region with fewer pixels, in it or around it, is too small for dots."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of an `IndexedSource`: interactive, semantic and video tasks."""

    objects: Sequence[tuple[str, Target]] = ()
    classes: Mapping[str, Sequence[Target]] = field(default_factory=dict)
    videos: Mapping[str, Sequence[Target]] = field(default_factory=dict)


def is_task(counts: Counts, value: int, min_pixels: int) -> bool:
    """Whether a label has enough pixels, and enough others around it, to be a task.

    Example:
        >>> is_task({0: 900, 1: 100}, 1, 100), is_task({1: 1000}, 1, 100)
        (True, False)
    """
    pixels = counts.get(value, 0)
    return pixels >= min_pixels and sum(counts.values()) - pixels >= min_pixels


def class_table(
    counts: Mapping[str, Counts], keys: Iterable[str], names: Mapping[int, str], min_pixels: int
) -> dict[str, list[Target]]:
    """The images of each class in ``names``, in the order of ``keys``."""
    keys = list(keys)
    return {
        name: [Target(key, value) for key in keys if is_task(counts[key], value, min_pixels)]
        for value, name in names.items()
    }


def open_table(
    split: Split,
    counts: Mapping[str, Counts],
    names: Mapping[int, str],
    held_out: Collection[int],
    min_pixels: int,
    mixed: str = "drop",
) -> dict[str, list[Target]]:
    """The images of each class that the split may segment (`open_values`) among those it may show (`open_keys`)."""
    shown = {value: names[value] for value in open_values(split, names, held_out)}
    return class_table(counts, open_keys(split, counts, held_out, mixed), shown, min_pixels)


def video_table(
    counts: Mapping[str, Counts], videos: Mapping[str, Sequence[str]], min_pixels: int
) -> dict[str, list[Target]]:
    """The frames of each object of each video, from its first appearance to the end of the video.

    The metric needs every frame, so frames without the object are included, marked as not visible. The group is the
    name of the video, followed by the label value if the video has several objects.
    """
    table = {}
    for video, keys in videos.items():
        values = sorted({value for key in keys for value in counts[key]} - {0})
        for value in values:
            shown = [counts[key].get(value, 0) >= min_pixels for key in keys]
            if any(shown):
                start = shown.index(True)
                frames = zip(keys[start:], shown[start:], strict=True)
                group = video if len(values) == 1 else f"{video}/{value}"
                table[group] = [Target(key, value, visible) for key, visible in frames]
    return table


def object_list(table: Mapping[str, Sequence[Target]], first_only: bool = False) -> list[tuple[str, Target]]:
    """Every visible target of a table as an interactive task; ``first_only``: one per group."""
    shown = {group: [target for target in targets if target.visible] for group, targets in table.items()}
    return [(group, target) for group, found in shown.items() for target in found[: 1 if first_only else None]]

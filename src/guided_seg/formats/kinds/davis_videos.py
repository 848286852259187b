"""DAVIS's layout: a folder of frames and a folder of palette masks for each video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from guided_seg.formats.painting import write_lines, write_lists, write_photo
from guided_seg.formats.segmented import Format, Segmented
from guided_seg.report.prediction_files import label_colours, write_voc

_RESOLUTION = "480p"
"""The name that tools look for, whatever the size; frames keep theirs."""


def _write(folder: Path, images: Iterable[Segmented], labels: Sequence[str]) -> Iterator[Path]:
    videos: dict[str, None] = {}
    for each in images:
        yield write_photo(folder / "JPEGImages" / _RESOLUTION / f"{each.name}.jpg", each.pixels)
        yield write_voc(folder / "Annotations" / _RESOLUTION, each.name, each.labels, label_colours())
        videos[each.name.partition("/")[0]] = None
    yield from write_lists(folder / "ImageSets" / "2017", list(videos))
    yield write_lines(folder / "classes.txt", labels[1:])


FORMAT = Format("davis", "The folders of DAVIS: every frame of the videos with its palette mask.", _write, of="videos")

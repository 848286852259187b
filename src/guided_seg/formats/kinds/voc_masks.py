"""PASCAL VOC's layout: JPEGImages/, SegmentationClass/ and ImageSets/."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from guided_seg.data.sources.voc import CLASSES, IMAGES, LISTS
from guided_seg.formats.painting import copy_photo, write_lines, write_lists
from guided_seg.formats.segmented import Format, Segmented
from guided_seg.report.prediction_files import colour_map, write_voc


def _write(folder: Path, images: Iterable[Segmented], labels: Sequence[str]) -> Iterator[Path]:
    names = []
    for each in images:
        yield copy_photo(folder / IMAGES, each, always_jpg=True)
        yield write_voc(folder / CLASSES, each.name, each.labels)
        names.append(each.name)
    yield from write_lists(folder / LISTS, names)
    yield write_lines(folder / LISTS / "trainval.txt", names)
    yield write_lines(folder / "labelmap.txt", _label_map(labels))


def _label_map(labels: Sequence[str]) -> Iterator[str]:
    """The list of names and colours that annotation tools import; a colon separates its columns."""
    yield "# label:color_rgb:parts:actions"
    for label, colour in zip(["background", *labels[1:]], colour_map().tolist(), strict=False):
        yield f"{label.replace(':', ' ')}:{','.join(map(str, colour))}::"


FORMAT = Format(
    "voc", "The folders of PASCAL VOC: photos, palette masks of classes, and lists to train on.", _write, listed=True
)

"""Masks as they are: palette PNGs whose values are the labels, with an overlay to look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from guided_seg.formats.painting import overlay, write_lines, write_photo
from guided_seg.formats.segmented import Format, Segmented
from guided_seg.report.prediction_files import label_colours, write_voc


def _write(folder: Path, images: Iterable[Segmented], labels: Sequence[str]) -> Iterator[Path]:
    for each in images:
        yield write_voc(folder / "masks", each.name, each.labels, label_colours())
        yield write_photo(folder / "overlays" / f"{each.name}.jpg", overlay(each.pixels, each.labels))
    yield write_lines(folder / "classes.txt", labels[1:])


FORMAT = Format(
    "masks",
    "PNGs whose values are the numbers of the labels, in the colours of the page, and overlays to look at.",
    _write,
)

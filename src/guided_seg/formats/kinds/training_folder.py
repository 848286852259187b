"""Images and masks as ``data=folder`` reads them, to train a network on what was segmented."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from guided_seg.formats.painting import copy_photo, write_lines
from guided_seg.formats.segmented import Format, Segmented
from guided_seg.report.prediction_files import write_voc
from guided_seg.session.store import Labels


def _write(folder: Path, images: Iterable[Segmented], labels: Sequence[str]) -> Iterator[Path]:
    for each in images:
        yield copy_photo(folder / "images", each)
        yield write_voc(folder / "masks", each.name, each.labels)
    yield write_lines(folder / "classes.txt", labels[1:])


def _refuses(labels: Labels) -> str:
    """Why training cannot use a mask: `guided_seg.data.files.verify.check_labelled` refuses its data set."""
    if labels.min() < labels.max():
        return ""
    return "All of it is one label, but training needs an object and something around it; add dots to it."


FORMAT = Format(
    "folder",
    "Images and masks to train on with data=folder; images with a single label are left out.",
    _write,
    refuses=_refuses,
)

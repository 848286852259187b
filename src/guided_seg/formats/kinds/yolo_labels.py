"""YOLO's segmentation labels: a text file for each image, with a polygon for each label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import yaml

from guided_seg.files.writing import whole_file
from guided_seg.formats.painting import copy_photo, write_lines
from guided_seg.formats.rings import joined, rings
from guided_seg.formats.segmented import Format, Segmented, present
from guided_seg.session.store import Labels


def _write(folder: Path, images: Iterable[Segmented], labels: Sequence[str]) -> Iterator[Path]:
    for each in images:
        yield copy_photo(folder / "images", each)
        yield write_lines(folder / "labels" / f"{each.name}.txt", lines(each.labels))
    # the format asks for both; which images validate is for the user to say
    content = {"train": "images", "val": "images", "names": dict(enumerate(labels[1:]))}
    with whole_file(folder / "data.yaml") as partial:
        partial.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    yield folder / "data.yaml"


def lines(labels: Labels) -> Iterator[str]:
    """A line ``class x1 y1 x2 y2 ...`` for each label but the negative, with x and y as shares of width and height.

    Parts and holes of a label are joined by lines that lead to them and back, see `joined`.
    """
    size = labels.shape[::-1]
    for number in present(labels):
        shares = joined(rings(labels == number)) / size
        yield " ".join([str(number - 1), *(f"{share:.7g}" for share in shares.ravel())])


FORMAT = Format("yolo", "Images with text files of polygons, and the data.yaml to train YOLO-seg on them.", _write)

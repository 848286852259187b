"""COCO's JSON of instances: an object for each label of an image, as polygons, or as run lengths if it has holes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from guided_seg.data.coco.run_lengths import decode, of_polygons
from guided_seg.files.writing import write_json
from guided_seg.formats.painting import copy_photo
from guided_seg.formats.rings import rings
from guided_seg.formats.segmented import Format, Segmented, present
from guided_seg.report.prediction_files import coco_result


def _write(folder: Path, images: Iterable[Segmented], labels: Sequence[str]) -> Iterator[Path]:
    files: list[Mapping[str, Any]] = []
    objects: list[Mapping[str, Any]] = []
    for number, each in enumerate(images, 1):
        path = copy_photo(folder / "images", each)
        yield path
        height, width = each.labels.shape
        files.append({"id": number, "file_name": path.name, "height": height, "width": width})
        for label in present(each.labels):
            content = instance(each.labels == label)
            objects.append({"id": len(objects) + 1, "image_id": number, "category_id": label, **content})
    categories = [{"id": label, "name": name, "supercategory": ""} for label, name in enumerate(labels) if label]
    whole = {"images": files, "annotations": objects, "categories": categories}
    yield write_json(folder / "annotations" / "instances_default.json", whole, indent=None)


def instance(mask: Bool[np.ndarray, "H W"]) -> dict[str, Any]:
    """The segmentation, area and box of an annotation: polygons, or run lengths where polygons would lose pixels.

    Args:
        mask: the object, with at least one pixel.
    """
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "segmentation": _polygons(mask) or coco_result(0, 0, mask)["segmentation"],
        "area": int(mask.sum()),
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "iscrowd": 0,
    }


def _polygons(mask: Bool[np.ndarray, "H W"]) -> list[list[int]] | None:
    """The outlines as ``[x1, y1, x2, y2, ...]`` each; None if they do not give back the mask."""
    found = rings(mask)
    if any(ring.hole for ring in found):
        return None
    polygons = [ring.corners.ravel().tolist() for ring in found]
    runs = of_polygons(polygons, mask.shape)
    return polygons if runs is not None and np.array_equal(decode(runs), mask) else None


FORMAT = Format(
    "coco",
    "Images and a JSON of instances as COCO has it: polygons, or run lengths for objects with holes.",
    _write,
)

"""Write predicted label maps in the standard submission format of each data set."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from guided_seg.data.coco.coco import COCO_CLASSES, Coco
from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisode
from guided_seg.data.images import read_labels
from guided_seg.data.source import Source
from guided_seg.errors import UserError
from guided_seg.protocols.protocol import Keep, Labels
from guided_seg.report.prediction_files import CocoResult, coco_result, write_coco, write_voc

_GAPS = frozenset((12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
COCO_IDS = tuple(number for number in range(1, 91) if number not in _GAPS)
"""COCO's ids of its eighty classes, in order; ten of the ids 1 to 90 are unused."""

_KINDS = ("SegmentationClass/", "SegmentationClassAug/", "SegmentationObject/", "class/", "object/", "cls/", "inst/")
"""Prefixes of image keys in sources with two label maps per image."""


def keeper(folder: Path, source: Source) -> Callable[[str], Keep]:
    """Make a function that returns, for each protocol, a writer of label maps to ``folder/PROTOCOL/SETTING``.

    COCO: one line per label of each episode, which `gather` converts to results. Other data: ``IMAGE.png``, or
    ``SEQUENCE/FRAME.png`` for videos, a palette PNG with the values of the data's own masks. Episodes of one image
    share a file, and the first one to label a pixel wins. The first frame of a video has its given mask, if dense.

    Args:
        folder: the folder of all protocols.
        source: the data.

    Raises:
        UserError: an image of COCO has no numeric id.
    """
    return partial(_coco, folder, *_ids(source)) if isinstance(source, Coco) else partial(_masks, folder)


def _ids(source: Coco) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The ids of images and classes in COCO's results: those of the JSON file, else numbers."""
    annotated = source.annotated
    if annotated.image_ids:
        return annotated.image_ids, annotated.category_ids
    if strange := next((name for name in annotated.items if not name.isdecimal()), None):
        raise UserError(
            f"COCO's results name images by numbers, but the image {strange} has none and no JSON file gives it one; "
            "give the annotations as COCO's JSON, or set save_predictions=false."
        )
    classes = annotated.classes
    ids = dict(enumerate(classes, 1)).items() if classes else zip(COCO_IDS, COCO_CLASSES, strict=True)
    return {name: int(name) for name in annotated.items}, {name: number for number, name in ids}


def _masks(folder: Path, protocol: str) -> Keep:
    def keep(item: EvaluationEpisode, setting: str, labels: Labels) -> None:
        out = folder / protocol / setting
        frozen = item.frozen
        if frozen.mode == "video" and setting.endswith("dense"):
            given = item.dense.support[0].mask
            assert given is not None
            _unite(out, str(frozen.support[0].key), _valued(given.numpy(), frozen.support[0].values))
        _unite(out, str(frozen.query.key), _valued(labels, frozen.query.values))

    return keep


def _unite(out: Path, key: str, labels: Labels) -> None:
    name = _name(key)
    path = out / f"{name}.png"
    if path.is_file():
        before = read_labels(path)
        labels = np.where(before > 0, before, labels)
    write_voc(out, name, labels)


def _valued(labels: Labels, values: tuple[int, ...]) -> Labels:
    """Map labels 1, 2, ... to the data's own values, and void to background, as submissions contain no void."""
    table = np.zeros(256, np.uint8)
    table[1 : len(values) + 1] = values
    return table[labels]


def _name(key: str) -> str:
    kind = next((kind for kind in _KINDS if key.startswith(kind)), "")
    return re.sub(r"[^\w./-]+", "_", key.removeprefix(kind))


def _coco(folder: Path, images: Mapping[str, Any], categories: Mapping[str, Any], protocol: str) -> Keep:
    def keep(item: EvaluationEpisode, setting: str, labels: Labels) -> None:
        out = folder / protocol / f"{setting}.jsonl"
        out.parent.mkdir(parents=True, exist_ok=True)
        image = images[str(item.frozen.query.key).removeprefix("class/").removeprefix("object/")]
        with out.open("a", encoding="utf-8") as file:
            file.write("\n")  # ends a line that was cut off when a process was stopped
            for label, group in enumerate(item.frozen.groups, 1):
                result = coco_result(image, categories[group], labels == label)
                file.write(json.dumps([item.number, label, result]) + "\n")

    return keep


def gather(folder: Path) -> list[Path]:
    """Convert the lines of each protocol and setting to COCO results, one per episode and label, in order."""
    made = []
    for path in sorted(folder.glob("*/*.jsonl")):
        lines = path.read_bytes().decode("utf-8", "replace").splitlines()
        found = dict(entry for line in lines if (entry := _entry(line)))
        made.append(write_coco(path.with_suffix(".json"), [found[key] for key in sorted(found)]))
        path.unlink()
    return made


def _entry(line: str) -> tuple[tuple[int, int], CocoResult] | None:
    """Episode, label and result of a line. None if it is cut off; a resumed evaluation has segmented it again."""
    try:
        match json.loads(line):
            case [int(number), int(label), dict(result)]:
                return (number, label), cast("CocoResult", result)
    except (ValueError, RecursionError):
        pass
    return None


def check_fresh(folder: Path, going_on: bool) -> None:
    """Raise `UserError` if ``folder`` has predictions of another evaluation than the one to resume."""
    if not going_on and folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} holds predictions of another evaluation; remove it, or choose another output_dir.")

"""Saved predictions: what is written is what others read."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from guided_seg.data.images import read_labels
from guided_seg.report.prediction_files import coco_result, colour_map, write_coco, write_voc

SIZES = [(1, 1), (1, 9), (7, 1), (33, 47), (48, 64)]

Write = Callable[[Path, np.ndarray], Path]
WRITERS: dict[str, Write] = {
    "bear/00007.png": lambda out, labels: write_voc(out, "bear/00007", labels),
    "2007_000033.png": lambda out, labels: write_voc(out, "2007_000033", labels),
}


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(("name", "write"), WRITERS.items(), ids=["davis", "voc"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("values", [[0], [1], [0, 1], [0, 1, 21, 255], range(256)], ids=str)
def test_label_maps_come_back_from_where_others_look(
    name: str, write: Write, size: tuple[int, int], values: list[int], tmp_path: Path
) -> None:
    labels = np.random.default_rng(0).choice(np.array(values, np.uint8), size)
    path = write(tmp_path / "out", labels)
    assert path == tmp_path / "out" / name
    assert files(tmp_path / "out") == [name]
    assert np.array_equal(read_labels(path), labels)
    with Image.open(path) as picture:
        assert (picture.mode, picture.format) == ("P", "PNG")
        assert np.array_equal(np.asarray(picture.convert("RGB")), colour_map()[labels])


@pytest.mark.parametrize("write", WRITERS.values(), ids=["davis", "voc"])
def test_a_label_map_that_is_a_view_is_written_as_it_looks(write: Write, tmp_path: Path) -> None:
    labels = np.arange(240, dtype=np.uint8).reshape(12, 20)
    for view in (labels.T, labels[::-1], labels[1:, ::3]):
        assert np.array_equal(read_labels(write(tmp_path, view)), view)


def test_the_colours_are_those_of_voc() -> None:
    # background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, dog, person, tvmonitor, void
    known = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        3: (128, 128, 0),
        4: (0, 0, 128),
        5: (128, 0, 128),
        6: (0, 128, 128),
        7: (128, 128, 128),
        8: (64, 0, 0),
        12: (64, 0, 128),
        15: (192, 128, 128),
        20: (0, 64, 128),
        255: (224, 224, 192),
    }
    assert {value: tuple(colour_map()[value].tolist()) for value in known} == known
    assert len({tuple(colour) for colour in colour_map().tolist()}) == 256


# pycocotools hands numpy an array in the old way
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("kind", ["noise", "empty", "full", "one pixel"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_coco_masks_come_back(kind: str, size: tuple[int, int], tmp_path: Path) -> None:
    mask = np.full(size, kind == "full")
    mask.flat[-1] |= kind == "one pixel"
    mask |= np.random.default_rng(0).random(size) < (0.3 if kind == "noise" else 0)
    path = write_coco(tmp_path / "out/results.json", iter([coco_result(139, 62, mask, 0.25), coco_result(7, 1, mask)]))
    assert files(tmp_path) == ["out/results.json"]
    first, second = json.loads(path.read_text())
    assert (first["image_id"], first["category_id"], first["score"]) == (139, 62, 0.25)
    assert (second["image_id"], second["category_id"], second["score"]) == (7, 1, 1.0)
    for entry in (first, second):
        assert entry["segmentation"]["size"] == list(size)
        assert np.array_equal(rle.decode(entry["segmentation"]), mask)


def test_no_results_are_an_empty_list(tmp_path: Path) -> None:
    assert json.loads(write_coco(tmp_path / "results.json", []).read_text()) == []


def fails(*_: object) -> None:
    raise OSError("No space left on device")


@pytest.mark.parametrize(
    "write",
    [
        *(partial(write, labels=np.ones((4, 5), np.uint8)) for write in WRITERS.values()),
        lambda out: write_coco(out / "results.json", []),
    ],
    ids=["davis", "voc", "coco"],
)
def test_what_was_there_stays_when_writing_fails(
    write: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write(tmp_path).read_bytes()
    names = files(tmp_path)
    monkeypatch.setattr("pathlib.Path.replace", fails)  # the last step, when all is written beside it
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path)
    assert files(tmp_path) == names
    assert (tmp_path / names[0]).read_bytes() == before

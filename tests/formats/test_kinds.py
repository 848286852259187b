"""Every format gives back the label maps that were written, read by the project's own readers and by pycocotools."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools.coco import COCO

from guided_seg.data.coco.coco import Coco
from guided_seg.data.coco.coco_json import read_instances
from guided_seg.data.coco.outlines import read_polygons
from guided_seg.data.images import mask_mode, read_image, read_labels
from guided_seg.data.sources.davis import Davis
from guided_seg.data.sources.folder import Folder
from guided_seg.data.sources.voc import Voc
from guided_seg.formats import FORMATS
from guided_seg.formats.segmented import Segmented
from guided_seg.session.pictures import open_video

NAMES = ("negative", *(f"label {number}" for number in range(1, 255)))


def photo(labels: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*labels.shape, 3), np.uint8)


def save(kind: str, folder: Path, maps: Mapping[str, np.ndarray], labels: int = 255) -> list[Path]:
    images = [Segmented(name, name, photo(each), each) for name, each in maps.items()]
    written = list(FORMATS[kind].write(folder, iter(images), NAMES[:labels]))
    assert {path for path in folder.rglob("*") if path.is_file()} == set(written)
    return written


def blocks(*rows: str) -> np.ndarray:
    return np.array([[int(sign) for sign in row] for row in rows], np.uint8)


RING = blocks("00000", "01110", "01010", "01110", "00000")
TOUCHING = blocks("101", "010", "101")
NESTED = blocks("1111111", "1000001", "1022201", "1020201", "1022201", "1000001", "1111111")
EVERY = np.arange(255, dtype=np.uint8).reshape(15, 17)
EMPTY, FULL = np.zeros((4, 7), np.uint8), np.ones((1, 1), np.uint8)
BORDER = blocks("1002", "0000", "3004")

label_maps = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 4)).flatmap(
    lambda size: arrays(np.uint8, size[:2], elements=st.integers(0, size[2]))
)


def with_examples(test: Callable[[np.ndarray], None]) -> Callable[[], None]:
    for each in (RING, TOUCHING, NESTED, EVERY, EMPTY, FULL, BORDER):
        test = example(each)(test)
    return given(label_maps)(test)


@with_examples
def test_coco_loses_no_pixel(labels: np.ndarray) -> None:
    with TemporaryDirectory() as made:
        folder = Path(made)
        path = save("coco", folder, {"it": labels})[-1]
        found = read_instances(path, None, lambda _: True).images if labels.any() else {}
        painted = found[1].paint(by_class=True) if found else np.zeros_like(labels)
        by_pycoco = np.zeros_like(labels)
        coco = COCO(str(path))
        for entry in coco.loadAnns(coco.getAnnIds()):
            mask = coco.annToMask(entry)
            assert not by_pycoco[mask > 0].any()
            by_pycoco[mask > 0] = entry["category_id"]
            rows, columns = np.nonzero(mask)
            width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
            assert (entry["area"], entry["bbox"]) == (len(rows), [columns.min(), rows.min(), width, height])
            assert entry["iscrowd"] == 0
    np.testing.assert_array_equal(painted, labels)
    np.testing.assert_array_equal(by_pycoco, labels)


@with_examples
def test_polygons_of_yolo_lose_no_pixel(labels: np.ndarray) -> None:
    with TemporaryDirectory() as made:
        folder = Path(made)
        save("yolo", folder, {"it": labels})
        found = read_polygons(folder / "images" / "it.jpg", 254, folder / "labels" / "it.txt")
        np.testing.assert_array_equal(found.paint(by_class=True), labels)
        lines = (folder / "labels" / "it.txt").read_text().splitlines()
        assert [int(line.split()[0]) + 1 for line in lines] == [value for value in np.unique(labels) if value]


@with_examples
def test_indexed_masks_lose_no_pixel(labels: np.ndarray) -> None:
    with TemporaryDirectory() as made:
        for kind, inside in (("masks", "masks"), ("folder", "masks"), ("voc", "SegmentationClass")):
            save(kind, Path(made) / kind, {"it": labels})
            path = Path(made) / kind / inside / "it.png"
            np.testing.assert_array_equal(read_labels(path), labels)
            assert mask_mode(path) == "P"


@with_examples
def test_cutouts_show_the_objects_and_nothing_else(labels: np.ndarray) -> None:
    with TemporaryDirectory() as made:
        written = save("cutouts", Path(made), {"it": labels})
        seen = np.zeros_like(labels)
        for path in written:
            with Image.open(path) as picture:
                pixels = np.asarray(picture)
            inside = pixels[..., 3] == 255
            assert (pixels[inside, :3] == photo(labels)[inside]).all()
            assert not pixels[~inside].any()
            seen[inside] = int(path.stem.removeprefix("label_"))
        np.testing.assert_array_equal(seen, labels)
        assert len(written) == len(set(np.unique(labels)) - {0})


def test_holes_are_run_lengths_and_the_rest_polygons(tmp_path: Path) -> None:
    entries = json.loads(save("coco", tmp_path, {"it": NESTED, "other": TOUCHING})[-1].read_text())["annotations"]
    assert [type(entry["segmentation"]) for entry in entries] == [dict, dict, list]
    assert [len(polygon) for polygon in entries[2]["segmentation"]] == [8] * 5  # parts touch at corners only


@pytest.fixture
def objects() -> dict[str, np.ndarray]:
    """Six images with up to three labels, one with none of the first."""
    found = {}
    for number in range(6):
        labels = np.zeros((30 + number, 41), np.uint8)
        labels[2:12, number : number + 9] = 1
        labels[15:, 20:] = 2 + number % 2
        labels[20:24, 25:30] = 0
        found[f"image_{number}"] = labels
    return found


def test_folders_are_read_as_data(objects: dict[str, np.ndarray], tmp_path: Path) -> None:
    save("folder", tmp_path, objects, labels=4)
    source = Folder(tmp_path, "test", whole=True, min_pixels=1)
    assert sorted(source.pairs) == sorted(objects)
    for name, labels in objects.items():
        np.testing.assert_array_equal(source.load(name).labels, labels)
        assert source.load(name).image.shape == (*labels.shape, 3)
    assert source.modes == ("interactive", "semantic")
    for split in ("train", "val", "test"):
        assert Folder(tmp_path, split, min_pixels=1).modes


@pytest.mark.parametrize("kind", ["coco", "yolo"])
def test_coco_and_yolo_are_read_as_data(kind: str, objects: dict[str, np.ndarray], tmp_path: Path) -> None:
    save(kind, tmp_path, objects, labels=4)
    (tmp_path / "train.txt").write_text("\n".join(objects))
    source = Coco(tmp_path, "train", min_pixels=1)
    for name, labels in objects.items():
        np.testing.assert_array_equal(source.load(f"class/{name}").labels, labels)
    assert set(source.annotated.classes) == {"label 1", "label 2", "label 3"}


def test_voc_is_read_as_data(objects: dict[str, np.ndarray], tmp_path: Path) -> None:
    save("voc", tmp_path, objects, labels=4)
    seen: dict[str, np.ndarray] = {}
    for split in ("train", "val"):
        source = Voc(tmp_path, split, min_pixels=1)
        seen |= {key.partition("/")[2]: source.load(key).labels for key in source.pairs}
    assert seen.keys() == objects.keys()
    for name, labels in objects.items():
        np.testing.assert_array_equal(seen[name], labels)
    assert (tmp_path / "labelmap.txt").read_text().splitlines()[1:3] == ["background:0,0,0::", "label 1:128,0,0::"]


def test_davis_is_read_as_data(objects: dict[str, np.ndarray], tmp_path: Path) -> None:
    frames = {f"{video}/{number:05d}": labels for video in "ab" for number, labels in enumerate(objects.values())}
    save("davis", tmp_path, frames, labels=4)
    source = Davis(tmp_path, "test", year=2017, min_pixels=1)
    assert list(source.pairs) == [name for name in frames if name.startswith("a/")]
    for name in source.pairs:
        np.testing.assert_array_equal(source.load(name).labels, frames[name])
    assert (tmp_path / "ImageSets/2017/train.txt").read_text() == "b\n"


def test_films_have_all_frames_at_their_rate(objects: dict[str, np.ndarray], tmp_path: Path) -> None:
    frames = [
        Segmented("it", f"{video}/{number}", photo(labels), labels, 12.5)
        for video in ("first", "second")
        for number, labels in enumerate(objects.values())
    ]
    first, second = FORMATS["video"].write(tmp_path, iter(frames), NAMES)
    assert (first, second) == (tmp_path / "first.mp4", tmp_path / "second.mp4")
    video = open_video(first)
    assert video.rate == pytest.approx(12.5)
    found = [pixels for _, pixels in video.frames(0)]
    assert [pixels.shape for pixels in found] == [(30, 42, 3)] * 6  # odd sides are filled up, other sizes scaled


def test_overlays_tint_objects_only(tmp_path: Path) -> None:
    labels = np.zeros((32, 32), np.uint8)
    labels[8:24, 8:24] = 1
    grey = np.full((32, 32, 3), 200, np.uint8)
    list(FORMATS["masks"].write(tmp_path, [Segmented("it", "it", grey, labels)], NAMES))
    found = read_image(tmp_path / "overlays" / "it.jpg").astype(int)
    assert np.abs(found[:4] - 200).max() < 12
    np.testing.assert_allclose(found[12:20, 12:20].mean((0, 1)), [128, 184, 228], atol=6)


@pytest.mark.parametrize("labels", [RING, FULL, blocks("11011", "11111", "10101", "11111", "01110")], ids=str)
def test_opencv_fills_the_same_pixels(labels: np.ndarray, tmp_path: Path) -> None:
    """Trainers of YOLO truncate the points and fill them by OpenCV, which also paints the outline."""
    save("yolo", tmp_path, {"it": labels})
    shares = np.array((tmp_path / "labels" / "it.txt").read_text().split()[1:], float).reshape(-1, 2)
    points = (shares * labels.shape[::-1]).astype(np.int32)
    np.testing.assert_array_equal(cv2.fillPoly(np.zeros_like(labels), [points], 1), labels)

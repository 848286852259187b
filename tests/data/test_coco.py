from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.archives import HEIGHT, WIDTH, write_coco, write_polygons

from guided_seg.data.coco.coco import COCO_CLASSES, Coco
from guided_seg.data.indexed import IndexedSource
from guided_seg.data.sources.classes import hashed
from guided_seg.data.sources.splits import fold_classes
from guided_seg.errors import BrokenFile, DataError

PERSON, BICYCLE, CAR = 1, 2, 3
Box = tuple[int, int, int, int]  # top, left, bottom, right
LEFT, RIGHT, INNER = (5, 5, 25, 25), (5, 35, 25, 55), (10, 10, 20, 20)


def _outline(box: Box) -> list[float]:
    top, left, bottom, right = box
    return [left, top, right, top, right, bottom, left, bottom]


def _counts(box: Box) -> list[int]:
    """Run lengths, column by column, starting with background."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[box[0] : box[2], box[1] : box[3]] = True
    flat = np.concatenate([[False], mask.ravel(order="F"), [True]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff([0, *edges]).tolist()


Things = Sequence[tuple[int, Any]]


def _annotation(value: int, shape: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {"category_id": 10 * value, "iscrowd": 0}
    if isinstance(shape, dict):
        return entry | {"segmentation": {"counts": _counts(shape["crowd"]), "size": [HEIGHT, WIDTH]}, "iscrowd": 1}
    parts = shape if isinstance(shape, list) else [shape]
    return entry | {"segmentation": [_outline(part) for part in parts]}


@pytest.fixture
def official(tmp_path: Path) -> Callable[..., Path]:
    """Writes the official layout: a part maps an image's name to its instances, (class value, box)."""

    def write(parts: Mapping[str, Mapping[str, Things]], year: int = 2017) -> Path:
        annotated = {
            f"{part}{year}": {name: [_annotation(*thing) for thing in things] for name, things in images.items()}
            for part, images in parts.items()
        }
        return write_coco(tmp_path, annotated, {10 * i: name for i, name in enumerate(COCO_CLASSES, 1)})

    return write


@pytest.fixture
def polygons(tmp_path: Path) -> Callable[..., Path]:
    """Writes images/ and labels/: a name maps to its instances, or to None for no label file."""

    def write(images: Mapping[str, Things | None]) -> Path:
        shapes = {
            name: None if things is None else [(value, _outline(box)) for value, box in things]
            for name, things in images.items()
        }
        return write_polygons(tmp_path, shapes)

    return write


def _objects(source: IndexedSource) -> list[tuple[str, str, int]]:
    return [(group, str(target.key), target.value) for group, target in source.objects]


def _classes(source: IndexedSource) -> dict[str, list[str]]:
    return {name: [str(target.key) for target in targets] for name, targets in source.classes.items()}


def _map(*painted: tuple[int, Box]) -> np.ndarray:
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for value, (top, left, bottom, right) in painted:
        labels[top:bottom, left:right] = value
    return labels


TRAIN = {f"t{i}": [(PERSON, LEFT), (CAR, RIGHT)] for i in range(3)} | {"bike": [(BICYCLE, LEFT)], "empty": []}
VAL = {"v1": [(PERSON, LEFT), (BICYCLE, RIGHT)], "v2": [(BICYCLE, LEFT)], "v3": [(CAR, LEFT), (CAR, RIGHT)]}


@pytest.fixture
def all_train(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that start with w go to val, and no other, so that the tests need not know the hashes."""
    monkeypatch.setattr("guided_seg.data.coco.coco.hashed", lambda name: 0.01 if name.startswith("w") else 0.9)


@pytest.mark.usefixtures("all_train")
class TestOfficial:
    def test_tables(self, official: Callable[..., Path]) -> None:
        root = official({"train": TRAIN | {"w1": [(CAR, LEFT)]}, "val": VAL})
        train, test = Coco(root, "train"), Coco(root, "test")
        assert train.modes == ("interactive", "semantic")
        assert _classes(train) == {
            "person": [f"class/t{i}" for i in range(3)],
            "car": [f"class/t{i}" for i in range(3)],
        }
        assert _objects(train)[:2] == [("person", "object/t0", 1), ("car", "object/t0", 2)]
        assert ("bicycle", "object/bike", 1) in _objects(train)
        assert _objects(test) == [
            *(("person", "object/v1", 1), ("bicycle", "object/v1", 2), ("bicycle", "object/v2", 1)),
            *(("car", "object/v3", 1), ("car", "object/v3", 2)),
        ]
        assert {key for _, key, _ in _objects(Coco(root, "val"))} == {"object/w1"}

    def test_held_out_classes(self, official: Callable[..., Path]) -> None:
        root = official({"train": TRAIN, "val": VAL})
        assert _objects(Coco(root, "train", ["person", "car"])) == [("bicycle", "object/bike", 1)]
        # a fold of COCO-20i: bicycle is number 1, the first of fold 1
        assert set(_classes(Coco(root, "train", 1))) == {"person", "car"}
        assert "object/bike" not in {key for _, key, _ in _objects(Coco(root, "train", 1))}
        assert _classes(Coco(root, "test", 1)) == {"bicycle": ["class/v1", "class/v2"]}
        assert _objects(Coco(root, "train", 1, oracle=True)) == _objects(Coco(root, "train"))

    def test_held_out_objects_as_background(self, official: Callable[..., Path]) -> None:
        root = official({"train": TRAIN, "val": VAL})
        source = Coco(root, "train", ["car"], mixed_images="background")
        assert {group for group, _, _ in _objects(source)} == {"person", "bicycle"}
        assert len(source.classes["person"]) == 3

    def test_label_maps(self, official: Callable[..., Path]) -> None:
        things = [(PERSON, INNER), (CAR, LEFT), (BICYCLE, RIGHT)]
        root = official({"train": {"a": things}, "val": VAL})
        source = Coco(root, "train")
        # the person is smaller than the car around it, so it is on top, though it comes first
        assert (source.load("object/a").labels == _map((2, LEFT), (1, INNER), (3, RIGHT))).all()
        assert (source.load("class/a").labels == _map((CAR, LEFT), (PERSON, INNER), (BICYCLE, RIGHT))).all()
        assert source.load("class/a").image.shape == (HEIGHT, WIDTH, 3)

    def test_an_instance_of_several_parts_and_two_of_one_class(self, official: Callable[..., Path]) -> None:
        root = official({"train": {"a": [(CAR, [LEFT, RIGHT]), (CAR, INNER)], "b": [(CAR, LEFT)]}, "val": VAL})
        source = Coco(root, "train")
        assert (source.load("object/a").labels == _map((1, LEFT), (1, RIGHT), (2, INNER))).all()
        assert (source.load("class/a").labels == _map((CAR, LEFT), (CAR, RIGHT))).all()

    def test_a_crowd_is_void_under_the_others(self, official: Callable[..., Path]) -> None:
        root = official({"train": {"a": [(CAR, {"crowd": LEFT}), (CAR, INNER)], "b": [(CAR, RIGHT)]}, "val": VAL})
        source = Coco(root, "train")
        assert (source.load("object/a").labels == _map((255, LEFT), (2, INNER))).all()
        assert _objects(source) == [("car", "object/a", 2), ("car", "object/b", 1)]

    @pytest.mark.parametrize("hidden", [{"crowd": LEFT}, (12, 12, 18, 18)])
    def test_a_held_out_class_that_no_pixel_shows_still_bars_its_image(
        self, official: Callable[..., Path], hidden: Any
    ) -> None:
        cover = (CAR, INNER if isinstance(hidden, dict) else (12, 12, 18, 18))
        root = official({"train": {"a": [(PERSON, hidden), cover], "b": [(CAR, LEFT)]}, "val": VAL})
        source = Coco(root, "train", ["person"], min_pixels=10)
        assert _objects(source) == [("car", "object/b", 1)]

    def test_small_instances_are_no_tasks(self, official: Callable[..., Path]) -> None:
        root = official({"train": {"a": [(CAR, LEFT), (CAR, (30, 30, 35, 35))]}, "val": VAL})
        assert len(_objects(Coco(root, "train", min_pixels=26))) == 1
        assert len(_objects(Coco(root, "train", min_pixels=25))) == 2

    def test_year(self, official: Callable[..., Path]) -> None:
        root = official({"train": TRAIN, "val": VAL}, year=2014)
        assert len(_objects(Coco(root, "train", year=2014))) == 7
        with pytest.raises(DataError, match=r"has no folder train2017; expected annotations/instances_train2017\.json"):
            Coco(root, "train")

    def test_an_image_that_is_missing(self, official: Callable[..., Path]) -> None:
        root = official({"train": TRAIN, "val": VAL})
        (root / "val2017/v2.jpg").unlink()
        with pytest.raises(
            DataError, match=r"val2017 lacks 1 of 3 images of instances_val2017\.json for test, such as v2"
        ):
            Coco(root, "test")
        Coco(root, "train")

    def test_an_image_that_is_cut_off_or_of_another_size(
        self, official: Callable[..., Path], image: Callable[..., Path]
    ) -> None:
        root = official({"train": TRAIN, "val": VAL})
        path = image(root / "train2017/t1.jpg", 30, 60)
        with pytest.raises(
            DataError, match=r"t1\.jpg is 30 x 60 .* but its mask .*instances_train2017\.json is 40 x 60"
        ):
            Coco(root, "train")
        path.write_bytes(image(path, HEIGHT, WIDTH).read_bytes()[:-30])
        with pytest.raises(BrokenFile, match=r"t1\.jpg is cut off"):
            Coco(root, "train")

    @pytest.mark.parametrize(
        ("edit", "message"),
        [
            (lambda text: text[: len(text) // 2], r"instances_val2017\.json is not COCO's JSON of instances \(JSONDec"),
            (lambda _: "[]", r"is not COCO's JSON of instances \(TypeError"),
            (lambda text: text.replace("categories", "kinds"), r"is not COCO's JSON of instances \(KeyError: 'categ"),
            (lambda text: text.replace('"person"', '"human"'), "has the category 'human', which is none of COCO's 80"),
        ],
    )
    def test_annotations_that_cannot_be_used(
        self, official: Callable[..., Path], edit: Callable[[str], str], message: str
    ) -> None:
        root = official({"train": TRAIN, "val": VAL})
        path = root / "annotations/instances_val2017.json"
        path.write_text(edit(path.read_text()))
        with pytest.raises(DataError, match=message):
            Coco(root, "test")
        path.unlink()
        with pytest.raises(DataError, match=r"instances_val2017\.json is missing; unpack COCO's annotations there"):
            Coco(root, "test")

    def test_more_instances_than_a_label_map_tells_apart(self, official: Callable[..., Path]) -> None:
        root = official({"train": TRAIN, "val": {"crowded": [(CAR, LEFT)] * 255}})
        with pytest.raises(DataError, match=r"An image of .*json has 255 instances, but a label map can hold 254"):
            Coco(root, "test")


class TestSetsOfImages:
    """Of data merged from several sets, where some have the objects of a few classes marked."""

    @pytest.fixture
    def root(self, official: Callable[..., Path], all_train: None) -> Path:
        both = [(PERSON, LEFT), (CAR, RIGHT)]
        root = official({"train": dict.fromkeys("abcd", both) | {"e": [(PERSON, LEFT)]}, "val": VAL})
        for part in ("train2017", "val2017"):
            path = root / f"annotations/instances_{part}.json"
            content = json.loads(path.read_text())
            for image in content["images"]:
                image["set"] = "whole" if image["file_name"][0] in "abv" else "people"
            path.write_text(json.dumps(content))
        return root

    def test_an_unmarked_object_is_no_evidence(self, root: Path) -> None:
        every, sound = Coco(root, "train"), Coco(root, "train", complete=["whole"])
        assert _classes(every)["person"] == [f"class/{name}" for name in "abcde"]
        assert _classes(sound) == {"person": ["class/a", "class/b"], "car": ["class/a", "class/b"]}
        rng = np.random.default_rng(0)
        tasks = [sound.sample("semantic", 2, rng, 2) for _ in range(50)]
        shown = {str(view.key) for task in tasks for view in (task.query, *task.support)}
        assert shown == {"class/a", "class/b"}

    def test_a_marked_object_is_told_from_the_rest(self, root: Path) -> None:
        sound = Coco(root, "train", complete=["whole"])
        assert _objects(sound) == _objects(Coco(root, "train"))
        labels = sound.load("object/e").labels
        assert (labels == _map((1, LEFT))).all()

    def test_the_test_is_of_these_images_too(self, root: Path) -> None:
        assert _classes(Coco(root, "test", complete=["whole"])) == {"bicycle": ["class/v1", "class/v2"]}
        assert _classes(Coco(root, "test", complete=["people"])) == {}

    @pytest.mark.parametrize(
        ("complete", "message"),
        [
            (["hwole"], r"data\.complete names the set 'hwole', but the training images have only people, whole; give"),
            (["whole", "x"], r"names the set 'x', but the training images have only people, whole"),
        ],
    )
    def test_an_unknown_set(self, root: Path, complete: list[str], message: str) -> None:
        with pytest.raises(DataError, match=message):
            Coco(root, "train", complete=complete)

    def test_images_without_sets(self, polygons: Callable[..., Path]) -> None:
        root = polygons({"a": [(CAR, LEFT)], "b": [(CAR, LEFT)]})
        (root / "train.txt").write_text("a\nb\n")
        assert _classes(Coco(root, "train")) == {"car": ["class/a", "class/b"]}
        with pytest.raises(DataError, match=r"names the set 'whole', but the training images have no `set` at all"):
            Coco(root, "train", complete=["whole"])


class TestPolygons:
    def test_splits_by_hash_do_not_move(self, polygons: Callable[..., Path]) -> None:
        names = [f"{i:012d}" for i in range(60)]
        root = polygons({name: [(CAR, LEFT)] for name in names})
        parts = {
            split: {key.split("/")[1] for _, key, _ in _objects(Coco(root, split))}
            for split in ("train", "val", "test")
        }
        assert set.union(*parts.values()) == set(names)
        assert sum(map(len, parts.values())) == len(names)
        assert parts["test"] == {name for name in names if hashed(name) < 0.2}
        assert parts["val"] == {name for name in names if 0.2 <= hashed(name) < 0.3}
        for name in names[:30]:
            (root / f"images/{name}.jpg").unlink()
            (root / f"labels/{name}.txt").unlink()
        kept = {key.split("/")[1] for _, key, _ in _objects(Coco(root, "train"))}
        assert kept == parts["train"] & set(names[30:])

    def test_fewer_images_of_the_test_are_always_the_same(self, polygons: Callable[..., Path]) -> None:
        root = polygons({f"{i}": [(CAR, LEFT)] for i in range(60)})
        every = [key.removeprefix("object/") for _, key, _ in _objects(Coco(root, "test"))]
        few = [key.removeprefix("object/") for _, key, _ in _objects(Coco(root, "test", test_images=5))]
        least = sorted(every, key=hashed)[:5]
        assert few == [name for name in every if name in least]
        for split in ("train", "val"):
            assert _objects(Coco(root, split, test_images=5)) == _objects(Coco(root, split))

    def test_lists_come_first(self, polygons: Callable[..., Path]) -> None:
        root = polygons({name: [(CAR, LEFT)] for name in "abc"} | {"none": None})
        (root / "train.txt").write_text("b\nnone\n")
        assert _objects(Coco(root, "train")) == [("car", "object/b", 1)]
        with pytest.raises(DataError, match=r"The list .*test\.txt is missing"):
            Coco(root, "test")
        (root / "test.txt").write_text("d\n")
        with pytest.raises(DataError, match="names 'd', which is not in"):
            Coco(root, "test")

    @pytest.fixture
    def root(self, polygons: Callable[..., Path]) -> Path:
        root = polygons(
            {
                "a": [(PERSON, INNER), (CAR, LEFT)],
                "b": [(CAR, RIGHT)],
                "c": [(BICYCLE, LEFT)],
                "none": None,
                "empty": [],
            }
        )
        (root / "train.txt").write_text("a\nb\nc\nnone\nempty\n")
        return root

    def test_the_test_may_ask_for_all_classes_though_some_are_held_out(self, root: Path) -> None:
        held: dict[str, Any] = {"held_out": ["car"], "test_classes": "all"}
        assert _objects(Coco(root, "train", **held)) == _objects(Coco(root, "train", ["car"]))
        (root / "train.txt").rename(root / "test.txt")
        assert _objects(Coco(root, "test", **held)) == _objects(Coco(root, "test"))
        with pytest.raises(DataError, match=r"There is no data\.test_classes 'every'; choose from held_out, all"):
            Coco(root, "test", test_classes="every")

    def test_label_maps(self, root: Path) -> None:
        source = Coco(root, "train")
        assert (source.load("object/a").labels == _map((2, LEFT), (1, INNER))).all()
        assert (source.load("class/a").labels == _map((CAR, LEFT), (PERSON, INNER))).all()
        assert _classes(source) == {"car": ["class/a", "class/b"]}

    def test_held_out(self, root: Path) -> None:
        assert {group for group, _, _ in _objects(Coco(root, "train", ["person"]))} == {"car", "bicycle"}
        assert "object/a" not in {key for _, key, _ in _objects(Coco(root, "train", ["person"]))}
        (root / "train.txt").rename(root / "test.txt")
        assert _objects(Coco(root, "test", 0)) == [("person", "object/a", 1)]
        with pytest.raises(DataError, match="There is no fold 4 of COCO-20i"):
            Coco(root, "test", 4)
        assert all(name in COCO_CLASSES for fold in range(4) for name in fold_classes("coco20i", fold))

    @pytest.mark.parametrize(
        "line",
        [
            *("80 0 0 1 0 1 1", "-1 0 0 1 0 1 1", "x 0 0 1 0 1 1", "0.5 0 0 1 0 1 1"),
            *("0 0 0 1 0", "0 0 0 1 0 1", "0", "0 0 0 1 0 1 1.2", "0 0 0 1 0 -0.1 1", "0 0 0 1 0 1 nan"),
        ],
    )
    def test_a_line_that_is_no_polygon(self, root: Path, line: str) -> None:
        path = root / "labels/b.txt"
        path.write_text(f"{path.read_text()}{line}\n")
        with pytest.raises(
            BrokenFile, match=r"Line 2 of .*labels/b\.txt is '.*expected a class from 0 to 79 and three or"
        ):
            Coco(root, "train")

    def test_files_that_are_missing_or_broken(self, root: Path, image: Callable[..., Path]) -> None:
        source = Coco(root, "train")
        (root / "labels/b.txt").unlink()
        with pytest.raises(BrokenFile, match=r"labels/b\.txt does not exist"):
            source.load("class/b")
        (root / "labels/b.txt").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(BrokenFile, match=r"labels/b\.txt is not text"):
            Coco(root, "train")
        (root / "train.txt").unlink()
        for name in "abcdefghij":
            (root / f"labels/{name}.txt").write_text("0 0 0 1 0 1 1\n")
        with pytest.raises(DataError, match=r"The mask .\.txt has no image .*images/.\.jpg; add the image"):
            Coco(root, "train")

    @pytest.mark.parametrize("folder", ["images", "labels"])
    def test_a_missing_folder(self, root: Path, folder: str) -> None:
        (root / folder).rename(root / "other")
        with pytest.raises(DataError, match=rf"has no folder {folder}; expected annotations/instances_train2017\.json"):
            Coco(root, "train")

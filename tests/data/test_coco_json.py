"""COCO's JSON as people have it: a wrong value is named with its file and annotation, and nothing vanishes silently."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guided_seg.data.coco.coco import COCO_CLASSES, Coco
from guided_seg.data.coco.coco_json import Instances, read_instances
from guided_seg.errors import DataError

HEIGHT, WIDTH = 40, 60
LEFT, RIGHT = [5, 5, 25, 5, 25, 25, 5, 25], [30, 5, 50, 5, 50, 25, 30, 25]
CONTENT: dict[str, Any] = {
    "info": None,
    "images": [{"id": i, "file_name": f"{i}.jpg", "height": HEIGHT, "width": WIDTH} for i in range(3)],
    "annotations": [
        {"id": 10 + i, "image_id": i, "category_id": 7, "segmentation": [LEFT], "iscrowd": 0, "area": 400}
        for i in range(3)
    ],
    "categories": [{"id": 7, "name": "leaf", "supercategory": None}, {"id": 9, "name": "stem"}],
}

Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "instances.json"


def read(path: Path, edit: Edit = lambda _: None) -> Instances:
    content = deepcopy(CONTENT)
    edit(content)
    path.write_text(json.dumps(content))
    return read_instances(path, None, lambda _: True)


def set_to(part: str, index: int, **values: Any) -> Edit:
    return lambda content: content[part][index].update(values)


def drop(part: str, index: int, name: str) -> Edit:
    return lambda content: content[part][index].pop(name)


def add(part: str, like: int, **values: Any) -> Edit:
    return lambda content: content[part].append({**content[part][like], **values})


@pytest.mark.parametrize(
    "edit",
    [
        lambda _: None,
        set_to("images", 1, height=40.0, width=60.0),
        drop("annotations", 1, "iscrowd"),
        drop("annotations", 1, "area"),
        set_to("annotations", 1, iscrowd=False),
        set_to("annotations", 1, iscrowd=None),
        set_to("annotations", 1, id=10),
        set_to("annotations", 1, image_id=1.0),
        set_to("annotations", 1, bbox=[None, "x"]),
        set_to("annotations", 1, segmentation=LEFT),
        add("images", 0, id=99, file_name="nothing_on_it.jpg"),
        add("images", 0, id="text", file_name="other.jpg"),
    ],
)
def test_what_tools_write_is_read(path: Path, edit: Edit) -> None:
    found = read(path, edit)
    assert found.names == ("leaf", "stem")
    assert found.categories == {"leaf": 7, "stem": 9}
    assert list(found.images) == [0, 1, 2]
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[5:25, 5:25] = 1
    assert all((image.paint(by_class=False) == expected).all() for image in found.images.values())


def test_categories_of_one_name_are_one_class(path: Path) -> None:
    found = read(path, lambda content: content["categories"].insert(0, {"id": 0, "name": "leaf"}))
    assert found.names == ("leaf", "stem")
    assert {image.instances[0].value for image in found.images.values()} == {1}


RLE = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}
NAN = float("nan")


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        *(
            (set_to("annotations", 1, segmentation=segmentation), "Annotation 11 of .*, in the image '1.jpg', " + fault)
            for segmentation, fault in (
                ([[NAN, 5, 9, 5, 9, 9]], "has a point at x = nan"),
                ([[5, 1e8, 9, 5, 9, 9]], "has a point at y = 100000000.0, but y goes from 0 to 40"),
                (
                    {**RLE, "size": [WIDTH, HEIGHT]},
                    "has run lengths of an image of 60 x 40 .* not the reverse; correct",
                ),
                ({**RLE, "counts": "!!zz"}, "has the run lengths '!!zz', which are not in COCO's code; correct it in"),
                ([{**RLE, "counts": [7]}], "has run lengths of 7 pixels in all, but its image has 2,400"),
                ("mask.png", "has the segmentation 'mask.png'; expected polygons or run lengths"),
                (
                    [[5, 5, 25, 25]],
                    "has a polygon of 2 points; three or more enclose an area, and four numbers are a b",
                ),
                (
                    [[70, 5, 80, 5, 80, 9]],
                    "lies outside the image of 40 x 60 .*: x goes from 70 to 80 and y from 5 to 9;",
                ),
                ([5, -9, 9, -9, 9, -1], "lies outside the image of .* y from -9 to -1; correct it in"),
            )
        ),
        *(
            (set_to("annotations", 1, bbox=box), r"Annotation 11 of .* has the box .*, which lies outside the image of")
            for box in ([61, 5, 20, 20], [5, -30, 20, 20])
        ),
        (set_to("annotations", 1, bbox=[50, 30, 20, 20]), None),
        (set_to("annotations", 1, bbox=[0, 0, 0, 0]), None),
        (set_to("annotations", 1, segmentation=[[5, 5, 9, 5, 7, 5]]), None),  # no area, but inside
        (set_to("annotations", 1, segmentation=[[70, 5, 80, 5, 80, 9], LEFT]), None),
        (set_to("annotations", 1, category_id=8), "Annotation 11 .* has the category 8, which is not among the file's"),
        (set_to("annotations", 1, category_id=[7]), r"Annotation 11 .* has the category \[7\]"),
        (drop("annotations", 1, "category_id"), "Annotation 11 .* has the category None"),
        (set_to("annotations", 1, iscrowd="no"), "Annotation 11 .* has iscrowd='no'; expected 0 or 1"),
        (drop("annotations", 1, "id"), None),
        *(
            (set_to("images", 1, height=height), "The image '1.jpg' of .* has the height and width")
            for height in (0, -40, 40.5, "40", None, NAN, True)
        ),
        (drop("images", 1, "width"), "The image '1.jpg' of .* has the height and width"),
        (set_to("images", 1, width=10**9, height=10**9), "The image '1.jpg' of .* has the height 1,000,000,000 and"),
        (set_to("images", 1, id=0), "Two images of .* have the id 0, '0.jpg' and '1.jpg', so their annotations cannot"),
        (
            set_to("images", 1, file_name="0.jpg"),
            "The images 0 and 1 of .* are both the file '0.jpg'; keep one of them",
        ),
        *(
            (set_to("images", 1, file_name=name), "The image 1 of .* has the file_name .*; expected the name of a file")
            for name in (None, 7, "", " ", ["a"], "a\0b", "\ud800")
        ),
        *(
            (set_to("images", 1, id=number), "One of the images of .* has the id")
            for number in (None, [1], {}, True, 1.5, NAN)
        ),
        (set_to("categories", 1, id=7), "The category 7 of .* comes twice"),
        (set_to("categories", 1, name=None), "The category 9 of .* has the name None; expected text"),
        *(
            (
                lambda content, name=name, value=value: content.update({name: value}),
                f"its {name} is not a list of objects",
            )
            for name in ("images", "annotations", "categories")
            for value in ({}, None, "x", [1], [None])
        ),
        *(
            (lambda content, name=name: content.pop(name), f"is not COCO's JSON of instances .KeyError: '{name}'")
            for name in ("images", "annotations", "categories")
        ),
        (
            lambda content: content.update(categories=[{"id": i, "name": f"{i}"} for i in range(255)]),
            "has 255 categories, but a label map can hold 254",
        ),
    ],
)
def test_a_value_that_cannot_be_used_is_named(path: Path, edit: Edit, expected: str | None) -> None:
    if expected is None:  # a value that nothing needs
        read(path, edit)
        return
    with pytest.raises(DataError, match=expected) as caught:
        read(path, edit)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("segmentation", [None, [], [[]]])
def test_an_annotation_without_an_outline_keeps_its_place_and_is_told(
    path: Path, segmentation: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = read(path, add("annotations", 0, id=20, segmentation=segmentation))
    assert "1 annotations have no area and show nothing, such as annotation 20 of '0.jpg'" in caplog.text
    assert len(found.images[0].instances) == 2
    assert set(np.unique(found.images[0].paint(by_class=False))) == {0, 1}


def test_boxes_alone_are_refused(path: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        for entry in content["annotations"]:
            entry.update(segmentation=[], bbox=[5, 5, 20, 20])

    with pytest.raises(
        DataError, match=r"None of 3 annotations of .* has an outline .* boxes; export polygons or masks"
    ):
        read(path, edit)


def test_annotations_of_images_that_are_not_in_the_file_are_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = read(path, add("annotations", 0, id=20, image_id=99))
    assert (
        "1 annotations belong to no image of the file and show nothing, such as annotation 20 of image 99"
        in caplog.text
    )
    assert list(found.images) == [0, 1, 2]

    def as_text(content: dict[str, Any]) -> None:
        for entry in content["annotations"]:
            entry["image_id"] = str(entry["image_id"])

    with pytest.raises(DataError, match=r"No annotation of .* belongs to an image .* and a number if that is one"):
        read(path, as_text)


@pytest.mark.parametrize("image_id", [[1], {}, None])
def test_an_image_id_of_another_type_is_no_image(path: Path, image_id: Any) -> None:
    assert list(read(path, set_to("annotations", 1, image_id=image_id)).images) == [0, 2]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_is_no_part_of_the_file(path: Path, mark: bytes) -> None:
    path.write_bytes(mark + json.dumps(CONTENT).encode())
    assert len(read_instances(path, None, lambda _: True).images) == 3


class TestLayouts:
    """Where tools put things."""

    @pytest.fixture
    def write(self, tmp_path: Path, image: Callable[..., Path]) -> Callable[..., Path]:
        """Writes a JSON file, and images where it says."""

        def write(file: str, images: str = "", edit: Edit = lambda _: None, names: int = 3) -> Path:
            content = deepcopy(CONTENT)
            del content["images"][names:], content["annotations"][names:]
            edit(content)
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text(json.dumps(content))
            for i in range(names):
                image(tmp_path / images / f"{i}.jpg", HEIGHT, WIDTH)
            return tmp_path

        return write

    def test_a_folder_of_each_split_as_roboflow_exports_it(self, write: Callable[..., Path]) -> None:
        for split, names in (("train", 3), ("valid", 2), ("test", 1)):
            root = write(f"{split}/_annotations.coco.json", split, names=names)
        found = {split: Coco(root, split, min_pixels=1) for split in ("train", "val", "test")}
        assert {split: len(source.objects) for split, source in found.items()} == {"train": 3, "val": 2, "test": 1}
        assert found["train"].objects[0][0] == "leaf"
        assert (found["train"].load("class/0").labels == 1).sum() == 400
        with pytest.raises(
            DataError, match=r"held_out=1 is a fold of COCO's 80 classes, .* give names, from leaf, stem"
        ):
            Coco(root, "train", 1)
        assert Coco(root, "test", ["leaf"], min_pixels=1).objects
        (root / "valid").rename(root / "validate")
        with pytest.raises(
            DataError, match=r"has no annotations of val, only of train .*, test .*; make a folder val/"
        ):
            Coco(root, "val")

    def test_a_file_of_each_split_as_cvat_exports_it(self, write: Callable[..., Path]) -> None:
        for name in ("train", "val", "test"):
            root = write(f"annotations/instances_{name}.json", f"images/{name}")
        assert all(len(Coco(root, split, min_pixels=1).objects) == 3 for split in ("train", "val", "test"))

    @pytest.mark.parametrize(
        ("file", "images"),
        [
            ("annotations/instances_default.json", "images/default"),
            ("annotations/instances_default.json", "images"),
            ("result.json", "images"),
            ("annotations.json", ""),
            ("_annotations.coco.json", ""),
        ],
    )
    def test_one_file_for_all_images(self, write: Callable[..., Path], file: str, images: str) -> None:
        root = write(file, images)
        for split, name in (("train", "0"), ("val", "1"), ("test", "2")):
            (root / f"{split}.txt").write_text(f"{name}\n")
            source = Coco(root, split, min_pixels=1)
            assert [str(target.key) for _, target in source.objects] == [f"object/{name}"]
        (root / "test.txt").write_text("2.jpg\n")
        with pytest.raises(
            DataError, match=r"names '2\.jpg', which is not in .*; write '2', as lists have names without"
        ):
            Coco(root, "test")

    @pytest.mark.parametrize(
        "name",
        [
            *("{}.jpg", "images/{}.jpg", r"images\{}.jpg", r"C:\Users\me\{}.jpg", "/home/me/data/{}.jpg"),
            *("%7B{}%7D.jpg", "/data/upload/1/{}.jpg", "http://host/data/{}.jpg?d=1", "../../images/{}.jpg"),
        ],
    )
    def test_images_are_found_by_the_names_that_tools_write(
        self, write: Callable[..., Path], name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("guided_seg.data.coco.coco_layouts.hashed", lambda _: 0.9)

        def edit(content: dict[str, Any]) -> None:
            for entry in content["images"]:
                entry["file_name"] = name.format(entry["id"])

        root = write("result.json", "images", edit)
        if "%" in name:
            for i in range(3):
                (root / f"images/{i}.jpg").rename(root / f"images/{{{i}}}.jpg")
        assert len(Coco(root, "train", min_pixels=1).objects) == 3

    def test_an_image_in_folders_and_two_of_one_stem_are_all_there(
        self, write: Callable[..., Path], image: Callable[..., Path]
    ) -> None:
        def edit(content: dict[str, Any]) -> None:
            for entry, name in zip(content["images"], ("0.jpg", "0.png", "a/0.jpg"), strict=True):
                entry["file_name"] = name

        root = write("train/_annotations.coco.json", "train", edit)
        for name in ("0.png", "a/0.jpg"):
            image(root / "train" / name, HEIGHT, WIDTH)
        keys = [str(target.key) for _, target in Coco(root, "train", min_pixels=1).objects]
        assert keys == ["object/0.jpg", "object/0.png", "object/a/0.jpg"]

    def test_two_images_found_in_one_file_are_refused(self, write: Callable[..., Path]) -> None:
        def edit(content: dict[str, Any]) -> None:
            content["images"][1]["file_name"] = "b/0.jpg"

        root = write("train/_annotations.coco.json", "train", edit)
        with pytest.raises(DataError, match=r"The images 0 and 1 of .* are both found in the file .*train/0\.jpg"):
            Coco(root, "train")

    @pytest.mark.parametrize("name", ["x" * 3000, "9.jpg", "."])
    def test_an_image_that_is_not_there_is_named(self, write: Callable[..., Path], name: str) -> None:
        root = write("train/_annotations.coco.json", "train", set_to("images", 1, file_name=name))
        with pytest.raises(
            DataError, match=r"train lacks 1 of 3 images of _annotations\.coco\.json for train, such as"
        ):
            Coco(root, "train")

    def test_a_size_that_is_not_the_image_s_is_refused_before_it_is_painted(self, write: Callable[..., Path]) -> None:
        root = write("train/_annotations.coco.json", "train", set_to("images", 1, height=30_000, width=30_000))
        with pytest.raises(DataError, match=r"1\.jpg is 40 x 60 .* but its mask .* is 30000 x 30000"):
            Coco(root, "train")

    def test_classes_of_your_own_in_the_official_layout(self, write: Callable[..., Path]) -> None:
        root = write("annotations/instances_train2017.json", "train2017")
        with pytest.raises(DataError, match=r"'leaf', which is none of COCO's 80 .* train/_annotations\.coco\.json"):
            Coco(root, "train")

    def test_images_of_no_split(self, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("guided_seg.data.coco.coco_layouts.hashed", lambda _: 0.9)
        root = write("result.json", "images")
        with pytest.raises(
            DataError, match=r"No annotated image of .* is in the split val; .* Add images, or put those of each"
        ):
            Coco(root, "val")


class TestPolygonLayouts:
    @pytest.fixture
    def write(self, tmp_path: Path, image: Callable[..., Path]) -> Callable[..., Path]:
        def write(images: str, labels: str, line: str = "1 .1 .1 .5 .1 .5 .6 .1 .6\n") -> Path:
            for i in range(2):
                image(tmp_path / images / f"{i}.jpg", HEIGHT, WIDTH)
                (tmp_path / labels).mkdir(parents=True, exist_ok=True)
                (tmp_path / labels / f"{i}.txt").write_text(line)
            return tmp_path

        return write

    @pytest.mark.parametrize(
        ("images", "labels"), [("train/images", "train/labels"), ("images/train", "labels/train"), ("images", "labels")]
    )
    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("data.yaml", "nc: 2\nnames: ['leaf', 'stem']\ntrain: ../train/images\n"),
            ("data.yaml", "\ufeffnames:\n  0: leaf\n  1: stem\n"),
            ("classes.txt", "leaf\r\nstem\r\n\r\n"),
            ("labels/classes.txt", "leaf\nstem"),
        ],
    )
    def test_classes_of_your_own(
        self,
        write: Callable[..., Path],
        images: str,
        labels: str,
        file: str,
        content: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("guided_seg.data.coco.coco_layouts.hashed", lambda _: 0.9)
        root = write(images, labels)
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_text(content, encoding="utf-8")
        assert Coco(root, "train", min_pixels=1).objects[0][0] == "stem"

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("names: leaf", "has names: 'leaf'; expected a list of up to 254 texts"),
            ("names: [leaf, 2]", "has names:"),
            ("names: {1: leaf, 2: stem}", "has names:"),
            ("names: [leaf, leaf]", "has two classes of one name"),
            ("names: []", "has names:"),
            ("[]", "has names: 'None'"),
            ("names: [leaf", "is not YAML"),
        ],
    )
    def test_names_that_cannot_be_used(self, write: Callable[..., Path], content: str, expected: str) -> None:
        root = write("train/images", "train/labels")
        (root / "data.yaml").write_text(content)
        with pytest.raises(DataError, match=expected):
            Coco(root, "train")

    def test_boxes_are_named_as_such(self, write: Callable[..., Path]) -> None:
        root = write("train/images", "train/labels", "0 .5 .5 .2 .2\n")
        with pytest.raises(DataError, match="Four numbers are a box; export polygons"):
            Coco(root, "train")

    @pytest.mark.parametrize("line", ["1.0 .1 .1 .5 .1 .5 .6", "1 -.005 .1 .5 .1 1.004 1.0001"])
    def test_rounded_numbers_are_read(self, write: Callable[..., Path], line: str) -> None:
        assert Coco(write("train/images", "train/labels", line), "train", min_pixels=1).objects[0][0] == COCO_CLASSES[1]

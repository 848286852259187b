"""Reading every file of a data set: what it counts, and which broken files it lists."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from support.archives import davis_tree, labels, spoil_jpeg, voc_tree, write_folder, write_mask

from guided_seg.data.preparation.reading import Found, broken_below, read_all
from guided_seg.data.sources.davis import Davis
from guided_seg.data.sources.folder import Folder
from guided_seg.data.sources.voc import Voc
from guided_seg.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six images of a user; each split has some of them."""
    return write_folder(tmp_path / "root", {str(number): (1, 2) for number in range(6)}, mode="P")


def test_classes_and_instances_of_voc(tmp_path: Path) -> None:
    found, broken = read_all(partial(Voc, voc_tree(tmp_path)))
    assert found["train"] == Found(images=4, classes=2, videos=0, instances=4)
    assert found["val"] == Found(images=2, classes=2, videos=0, instances=4)
    assert broken == []


def test_how_the_data_is_used_does_not_matter(tmp_path: Path) -> None:
    root = voc_tree(tmp_path)
    used = partial(Voc, root, held_out=["cat"], min_pixels=500, oracle=True, balance=1.0)
    assert read_all(used) == read_all(partial(Voc, root))


def test_objects_of_videos(tmp_path: Path) -> None:
    found = read_all(partial(Davis, davis_tree(tmp_path)))[0]
    assert found["test"] == Found(images=2, classes=0, videos=2, instances=2)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def shrink(path: Path) -> None:
    Image.open(path).resize((30, 20)).save(path)


def colour(path: Path) -> None:
    Image.open(path).convert("RGB").save(path)


def scratch(path: Path) -> None:
    """Bytes in the middle that no decoder understands, with the end marker as it was."""
    content = path.read_bytes()
    path.write_bytes(content[:20] + bytes(20) + content[40:])


@pytest.mark.parametrize(
    ("file", "harm", "sentence"),
    [
        ("images/2.jpg", cut, "The image images/2.jpg is cut off"),
        (
            "images/2.jpg",
            shrink,
            "The image images/2.jpg is 20 x 30 (height x width) but its mask masks/2.png is 40 x 60",
        ),
        ("images/2.jpg", spoil_jpeg, "The image images/2.jpg cannot be decoded"),
        ("masks/2.png", cut, "The mask masks/2.png cannot be decoded"),
        ("masks/2.png", colour, "The mask masks/2.png is a picture of type RGB"),
        ("masks/2.png", scratch, "The mask masks/2.png cannot be decoded"),
    ],
)
def test_broken_files_are_listed(root: Path, file: str, harm: Callable[[Path], None], sentence: str) -> None:
    harm(root / file)
    with pytest.raises(DataError):
        Folder(root, "train").load("2")
    found, broken = read_all(partial(Folder, root))
    (line,) = broken_below(root, broken)
    assert line.startswith(f"broken: {sentence}")
    assert str(root) not in line
    assert {split: there.images for split, there in found.items()} == {"train": 2, "val": 1, "test": 2}


def test_a_listed_file_that_is_missing_is_broken(tmp_path: Path) -> None:
    root = voc_tree(tmp_path)
    (root / "JPEGImages/2007_000001.jpg").unlink()
    (root / "SegmentationObject/2007_000002.png").unlink()
    found, (image, mask) = read_all(partial(Voc, root))
    assert image.startswith("The mask 2007_000001.png has no image")
    assert mask.startswith("The image 2007_000002.jpg has no mask")
    assert found["train"].images == 3


def test_masks_that_mean_nothing_are_listed(tmp_path: Path) -> None:
    root = voc_tree(tmp_path)
    write_mask(root / "SegmentationClass/2007_000001.png", labels(21))
    write_mask(root / "SegmentationClass/2007_000003.png", labels())
    unknown, empty = read_all(partial(Voc, root))[1]
    assert "2007_000001.png holds the value 21" in unknown
    assert "2007_000003.png holds only the label 0" in empty


def test_a_video_with_a_broken_frame(tmp_path: Path) -> None:
    root = davis_tree(tmp_path)
    cut(root / "Annotations/480p/dog/00000.png")
    found, (sentence,) = read_all(partial(Davis, root))
    assert "dog/00000.png cannot be decoded" in sentence
    assert found["test"].images == 1


def test_elsewhere_the_first_fault_still_ends_all(root: Path) -> None:
    cut(root / "masks/2.png")
    read_all(partial(Folder, root))
    with pytest.raises(DataError, match="cannot be decoded"):
        Folder(root, "train")

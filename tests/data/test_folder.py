from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guided_seg.data.indexed import IndexedSource
from guided_seg.data.sources.folder import Folder
from guided_seg.errors import DataError

TEN = {f"{i}": (1, 2) for i in range(1, 11)}


def _items(source: IndexedSource) -> list[str]:
    return list(dict.fromkeys(target.key for _, target in source.objects))


def test_every_fifth_item_is_test_and_the_next_is_val(folder: Callable[..., Path]) -> None:
    root = folder(TEN)
    assert _items(Folder(root, "test")) == ["1", "6"]
    assert _items(Folder(root, "val")) == ["2", "7"]
    assert _items(Folder(root, "train")) == ["3", "4", "5", "8", "9", "10"]


def test_images_may_be_left_out_of_training_and_model_selection(folder: Callable[..., Path]) -> None:
    root, without = folder(TEN), ["1", "2", "4"]
    assert _items(Folder(root, "test", without=without)) == ["1", "6"]
    assert _items(Folder(root, "val", without=without)) == ["7"]
    assert _items(Folder(root, "train", without=without)) == ["3", "5", "8", "9", "10"]
    with pytest.raises(DataError, match=r"There is no image or video \(data\.without\) '11'; did you mean '1'"):
        Folder(root, "train", without=["11"])


def test_each_value_is_a_class_and_an_object(folder: Callable[..., Path], squares: Callable[..., np.ndarray]) -> None:
    source = Folder(folder(TEN), "train")
    assert source.modes == ("interactive", "semantic")
    assert {name: len(targets) for name, targets in source.classes.items()} == {"1": 6, "2": 6}
    assert source.count("interactive") == 12
    assert (source.load("3").labels == squares(1, 2)).all()


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".webp", ".bmp", ".JPG"])
def test_image_formats(folder: Callable[..., Path], suffix: str) -> None:
    assert Folder(folder(TEN, suffix), "train").load("10").image.shape == (40, 60, 3)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_black_and_white_masks(folder: Callable[..., Path], squares: Callable[..., np.ndarray], mode: str) -> None:
    source = Folder(folder({str(i): (255,) for i in range(5)}, mode=mode), "train")
    assert [target.value for _, target in source.objects] == [1, 1, 1]
    assert (source.load("4").labels == squares(1)).all()


def test_other_files_are_passed_over(folder: Callable[..., Path]) -> None:
    root = folder(TEN)
    for name in ("images/.DS_Store", "images/notes.txt", "masks/.hidden.png"):
        (root / name).write_text("nothing")
    assert len(_items(Folder(root, "train"))) == 6


def test_split_by_lists(folder: Callable[..., Path]) -> None:
    root = folder(TEN)
    (root / "train.txt").write_text("4\n2\n")
    (root / "test.txt").write_text("9\n")
    assert _items(Folder(root, "train")) == ["4", "2"]
    assert _items(Folder(root, "test")) == ["9"]
    with pytest.raises(DataError, match=r"The list .*val\.txt is missing"):
        Folder(root, "val")
    (root / "val.txt").write_text("11\n")
    with pytest.raises(DataError, match=r"The list .*val\.txt names '11', which is not in .*images"):
        Folder(root, "val")


@pytest.mark.parametrize("other", ["val", "test"])
def test_lists_that_share_a_name_with_train(folder: Callable[..., Path], other: str) -> None:
    root = folder(TEN)
    (root / "train.txt").write_text("4\n2\n")
    (root / f"{other}.txt").write_text("9\n2\n")
    with pytest.raises(
        DataError, match="'2' is on the list of train and on that of val or test, 1 in all; what is tested"
    ):
        Folder(root, "train")


def test_classes_by_name(folder: Callable[..., Path]) -> None:
    root = folder(TEN | {"3": (1,), "6": (1,)})
    (root / "classes.txt").write_text("cat\ncow\n")
    assert list(Folder(root, "train").classes) == ["cat", "cow"]
    held = Folder(root, "train", ["cow"])
    assert _items(held) == ["3"]
    assert [group for group, _ in held.objects] == ["cat"]
    test = Folder(root, "test", ["cow"])
    assert [(group, target.key, target.value) for group, target in test.objects] == [("cow", "1", 2)]


def test_classes_by_number(folder: Callable[..., Path]) -> None:
    root = folder(TEN | {"3": (1,)})
    assert _items(Folder(root, "train", [2])) == _items(Folder(root, "train", 2)) == ["3"]
    assert {group for group, _ in Folder(root, "test", "2").objects} == {"2"}


def test_few_items(folder: Callable[..., Path]) -> None:
    root = folder({"a": (1,), "b": (1,)})
    message = r"holds 2 items, but train, val and test need at least 5; .*data\.whole=true"
    with pytest.raises(DataError, match=message):
        Folder(root, "test")
    assert _items(Folder(root, "test", whole=True)) == ["a", "b"]


@pytest.fixture
def videos(folder: Callable[..., Path]) -> Path:
    return folder({f"v{video}/{frame}": (1, 3) for video in range(5) for frame in (1, 2, 10)})


def test_videos(videos: Path) -> None:
    source = Folder(videos, "test")
    assert source.modes == ("interactive", "video")
    assert {name: [target.key for target in targets] for name, targets in source.videos.items()} == {
        "v0/1": ["v0/1", "v0/2", "v0/10"],
        "v0/3": ["v0/1", "v0/2", "v0/10"],
    }
    assert len(source.objects) == 6
    assert {key.split("/")[0] for key in _items(Folder(videos, "train"))} == {"v2", "v3", "v4"}
    assert source.load("v0/10").image.shape == (40, 60, 3)


def test_list_of_videos(videos: Path) -> None:
    (videos / "train.txt").write_text("v1\n")
    assert list(Folder(videos, "train").videos) == ["v1/1", "v1/3"]


def test_videos_have_no_classes_to_hold_out(videos: Path) -> None:
    with pytest.raises(DataError, match="Videos have objects, not classes, so held_out must be empty"):
        Folder(videos, "train", ["cow"])


def test_video_of_one_label_only(videos: Path, mask: Callable[..., Path], squares: Callable[..., np.ndarray]) -> None:
    for frame in (1, 2, 10):
        mask(videos / f"masks/v0/{frame}.png", squares(), "L")
    with pytest.raises(DataError, match=r"masks/v0 holds only the label 0"):
        Folder(videos, "test")


def test_video_without_masks(videos: Path) -> None:
    shutil.rmtree(videos / "masks/v3")
    with pytest.raises(DataError, match=r"The folder .*masks/v3 is missing; images and masks lie in folders of equal"):
        Folder(videos, "train")


def test_images_and_videos_together(videos: Path, image: Callable[..., Path]) -> None:
    image(videos / "images/single.jpg")
    with pytest.raises(DataError, match="holds image files and folders; keep either"):
        Folder(videos, "train")


def test_missing_and_empty_root(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist; set data\.root to a folder that holds images/"):
        Folder(tmp_path / "nowhere", "train")
    with pytest.raises(DataError, match="has no folder images; expected images/ and masks/"):
        Folder(tmp_path, "train")
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(DataError, match=r"images holds no images; expected \.jpg"):
        Folder(tmp_path, "train")


def test_image_without_mask_and_mask_without_image(folder: Callable[..., Path]) -> None:
    root = folder(TEN)
    (root / "masks/7.png").unlink()
    with pytest.raises(DataError, match=r"The image 7\.jpg has no mask .*masks/7\.png; add the mask"):
        Folder(root, "train")
    (root / "images/7.jpg").unlink()
    (root / "images/5.jpg").unlink()
    with pytest.raises(DataError, match=r"The mask 5\.png has no image .*images/5\.jpg; add the image"):
        Folder(root, "train")


def test_two_images_of_one_stem(folder: Callable[..., Path], image: Callable[..., Path]) -> None:
    root = folder(TEN)
    image(root / "images/5.png")
    with pytest.raises(DataError, match=r"Both 5\.jpg and 5\.png lie in .*images; keep one"):
        Folder(root, "train")


@pytest.mark.parametrize(
    ("values", "mode", "message"),
    [
        ((), "L", r"3\.png holds only the label 0; a task needs something"),
        ((1,), "RGB", r"3\.png is a picture of type RGB, not a label map; give each colour a value"),
        ((255,), "P", r"3\.png holds only the label 0"),
    ],
)
def test_masks_that_cannot_be_used(
    folder: Callable[..., Path],
    mask: Callable[..., Path],
    squares: Callable[..., np.ndarray],
    values: tuple[int, ...],
    mode: str,
    message: str,
) -> None:
    root = folder(TEN)
    path = mask(root / "masks/3.png", squares(*values), mode)
    if mode == "RGB":
        Image.fromarray(np.stack([squares(*values), squares(), squares()], -1)).save(path)
    with pytest.raises(DataError, match=message):
        Folder(root, "train")


def test_sizes_that_differ_and_broken_jpeg(folder: Callable[..., Path], image: Callable[..., Path]) -> None:
    root = folder(TEN)
    path = image(root / "images/3.jpg", 41, 60)
    with pytest.raises(DataError, match=r"3\.jpg is 41 x 60 .* but its mask"):
        Folder(root, "train")
    path.write_bytes(path.read_bytes()[:-9])
    image(root / "images/4.jpg").write_bytes(b"\xff\xd8 no image")
    with pytest.raises(DataError, match=r"3\.jpg"):
        Folder(root, "train")
    image(path)
    with pytest.raises(DataError, match=r"4\.jpg is not an image"):
        Folder(root, "train")


def test_unknown_class_value_and_split(folder: Callable[..., Path]) -> None:
    root = folder(TEN)
    (root / "classes.txt").write_text("cat\n")
    with pytest.raises(DataError, match=r"holds the value 2, but the values are 0 \(background\), 1 to 1"):
        Folder(root, "train")
    (root / "classes.txt").write_text("cat\ncow\n")
    with pytest.raises(DataError, match="There is no class 'cowe'; did you mean 'cow'"):
        Folder(root, "train", ["cowe"])
    with pytest.raises(DataError, match="There is no split 'training'; did you mean 'train'"):
        Folder(root, "training")

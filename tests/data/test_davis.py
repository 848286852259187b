from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from support.restricted import dense_episodes

from guided_seg.data.indexed import IndexedSource
from guided_seg.data.sources.davis import Davis
from guided_seg.errors import DataError

TRAIN = {f"train{i}": [(1,), (1,), (1,)] for i in range(6)}
VAL = {"bear": [(1,), (1,), (), (1,)], "two": [(1,), (1, 2), (2,)], "late": [(), (1,), (1,)]}


@pytest.fixture
def root(davis: Callable[..., Path]) -> Path:
    return davis(TRAIN, VAL)


def _frames(source: IndexedSource) -> dict[str, list[str]]:
    return {group: [target.key for target in targets] for group, targets in source.videos.items()}


def test_splits(root: Path) -> None:
    assert list(Davis(root, "train").videos) == [f"train{i}" for i in range(5)]
    assert list(Davis(root, "val").videos) == ["train5"]
    test = Davis(root, "test")
    assert {key.split("/")[0] for keys in _frames(test).values() for key in keys} == set(VAL)


def test_sequences_can_be_left_out_of_training(root: Path) -> None:
    assert list(Davis(root, "train", without=["train1", "train3"]).videos) == ["train0", "train2", "train4"]
    assert list(Davis(root, "val", without=["train1"]).videos) == ["train5"]
    assert _frames(Davis(root, "test", without=["train1"])) == _frames(Davis(root, "test"))
    with pytest.raises(DataError, match=r"no sequence of train \(data\.without\) 'trian1'; did you mean 'train1'"):
        Davis(root, "train", without=["trian1"])


def test_each_value_is_an_object_from_its_first_frame_to_the_end(root: Path) -> None:
    source = Davis(root, "test")
    assert source.modes == ("interactive", "video")
    assert _frames(source) == {
        "bear": ["bear/00000", "bear/00001", "bear/00002", "bear/00003"],
        "two/1": ["two/00000", "two/00001", "two/00002"],
        "two/2": ["two/00001", "two/00002"],
        "late": ["late/00001", "late/00002"],
    }
    assert [target.visible for target in source.videos["bear"]] == [True, True, False, True]
    assert {target.value for target in source.videos["two/2"]} == {2}


def test_frames_without_the_object_are_queries_but_never_support(root: Path) -> None:
    source = Davis(root, "test")
    rng = np.random.default_rng(0)
    tasks = [source.sample("video", 3, rng) for _ in range(100)]
    tasks += [source.fixed("video", i, 4, rng) for i in range(source.count("video"))]
    assert source.count("video") == 3 + 2 + 1 + 1
    assert "bear/00002" in {task.query.key for task in tasks}
    assert not {"bear/00002", "two/00000"} & {
        view.key for task in tasks if task.group in ("bear", "two/2") for view in task.support
    }
    assert all(task.support for task in tasks)


def test_sampled_support_is_never_the_query(root: Path) -> None:
    source = Davis(root, "train")
    rng = np.random.default_rng(0)
    for _ in range(50):
        task = source.sample("video", 2, rng)
        assert task.query.key not in [view.key for view in task.support]
        assert len(task.support) == 2


def test_interactive_test_is_the_first_frame_of_each_object(root: Path) -> None:
    keys = [(group, target.key) for group, target in Davis(root, "test").objects]
    assert keys == [
        ("bear", "bear/00000"),
        ("two/1", "two/00000"),
        ("two/2", "two/00001"),
        ("late", "late/00001"),
    ]
    assert len(Davis(root, "train").objects) == 15


def test_there_are_no_classes(root: Path) -> None:
    with pytest.raises(DataError, match=r"'davis' has no tasks for mode=semantic; it supports interactive, video"):
        Davis(root, "train").require("semantic")


@pytest.mark.parametrize(("mode", "value"), [("1", 1), ("L", 255), ("L", 1), ("P", 1)])
def test_mask_encodings(davis: Callable[..., Path], squares: Callable[..., np.ndarray], mode: str, value: int) -> None:
    root = davis({"a": [(value,)] * 2, "b": [(value,)] * 2}, {"c": [(value,)] * 2}, mode=mode)
    sample = Davis(root, "test").load("c/00001")
    assert sample.image.shape == (40, 60, 3)
    assert (sample.labels == squares(1)).all()


def test_resolution(davis: Callable[..., Path]) -> None:
    for resolution in ("1080p", "480p", "Full-Resolution"):
        root = davis(TRAIN, VAL, resolution)
    assert "480p" in str(Davis(root, "test")._pairs["bear/00000"].image)
    assert "1080p" in str(Davis(root, "test", resolution="1080p")._pairs["bear/00000"].mask)
    with pytest.raises(DataError, match=r"no resolution in .* '480'; did you mean '480p'.*480p, 1080p, Full-Res"):
        Davis(root, "test", resolution="480")


def test_lists_of_the_first_release(davis: Callable[..., Path]) -> None:
    root = davis(TRAIN, VAL, "480p")
    shutil.move(root / "ImageSets/2016", root / "ImageSets/480p")
    for name, sequences in (("train", TRAIN), ("val", VAL)):
        lines = [
            f"/JPEGImages/480p/{sequence}/{i:05d}.jpg /Annotations/480p/{sequence}/{i:05d}.png \n"
            for sequence, frames in sequences.items()
            for i in range(len(frames))
        ]
        (root / f"ImageSets/480p/{name}.txt").write_text("".join(lines))
    assert list(Davis(root, "test").videos) == ["bear", "two/1", "two/2", "late"]
    assert len(Davis(root, "train").videos) == 5


def test_year(root: Path) -> None:
    shutil.copytree(root / "ImageSets/2016", root / "ImageSets/2017")
    (root / "ImageSets/2017/val.txt").write_text("bear\n")
    assert list(Davis(root, "test", year=2017).videos) == ["bear"]
    with pytest.raises(DataError, match=r"There is no year in .* '2018'; did you mean '201"):
        Davis(root, "test", year="2018")


@pytest.mark.parametrize("folder", ["JPEGImages", "Annotations"])
def test_missing_folder(root: Path, folder: str) -> None:
    shutil.rmtree(root / folder)
    with pytest.raises(DataError, match=rf"has no folder {folder}; expected JPEGImages/480p/SEQUENCE/"):
        Davis(root, "train")


class TestShippedLists:
    """A root without ImageSets/."""

    @pytest.fixture
    def root(self, davis: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
        shipped = {"davis2016_train": list(TRAIN), "davis2016_val": ["late"], "davis2017_val": ["late", "two"]}
        monkeypatch.setattr("guided_seg.data.sources.davis.read_split", shipped.__getitem__)
        root = davis(TRAIN, VAL)
        shutil.rmtree(root / "ImageSets")
        return root

    def test_they_are_used(self, root: Path) -> None:
        assert list(Davis(root, "val").videos) == ["train5"]
        assert list(Davis(root, "test").videos) == ["late"]
        assert list(Davis(root, "test", year=2017).videos) == ["late", "two/1", "two/2"]

    def test_the_root_must_be_whole(self, root: Path) -> None:
        with pytest.raises(DataError, match="There is no year of DAVIS '2018'; did you mean '201"):
            Davis(root, "test", year=2018)
        shutil.rmtree(root / "JPEGImages/240p/two")
        message = (
            r"no folder ImageSets, so all of DAVIS 2017 was expected, but 1 of 2 sequences are missing, such as two"
        )
        with pytest.raises(DataError, match=message):
            Davis(root, "test", year=2017)


def test_lists_that_share_a_sequence(root: Path) -> None:
    (root / "ImageSets/2016/val.txt").write_text("bear\ntrain3\n")
    for split in ("train", "val"):
        with pytest.raises(DataError, match="'train3' is on the list of train and on that of val or test"):
            Davis(root, split)
    (root / "ImageSets/2016/train.txt").unlink()
    assert set(Davis(root, "test").videos) == {"bear", "train3"}


class TestYear2017:
    """Indexed masks: a sequence of three objects, one of which leaves and one of which comes later."""

    FRAMES: ClassVar = {"three": [(1, 2), (1, 2, 3), (1, 0, 3), (1, 2, 3)], "one": [(1,), (1,)]}

    @pytest.fixture
    def root(self, davis: Callable[..., Path]) -> Path:
        root = davis({f"train{i}": [(1, 2)] * 3 for i in range(6)}, self.FRAMES, "480p")
        (root / "ImageSets/2016").rename(root / "ImageSets/2017")
        return root

    def test_each_object_is_a_group(self, root: Path) -> None:
        source = Davis(root, "test", year=2017)
        lengths = {group: len(targets) for group, targets in source.videos.items()}
        assert lengths == {"three/1": 4, "three/2": 4, "three/3": 3, "one": 2}
        assert [target.visible for target in source.videos["three/2"]] == [True, True, False, True]
        assert source.count("video") == 3 + 3 + 2 + 1

    def test_objects_of_one_sequence_are_asked_for_together(
        self, root: Path, squares: Callable[..., np.ndarray]
    ) -> None:
        source = Davis(root, "test", year=2017)
        assert source.most("video") == 2  # the third comes later, so no frame shows it first with the others
        tasks = dense_episodes(source, "video", 1, None, objects=3)
        found = {task.meta["group"] for task in tasks}
        assert found == {"three/1 + three/2", "three/3", "one"}
        together = [task for task in tasks if len(task.meta["groups"]) == 2]
        assert len(together) == 3
        episode = together[-1]
        assert episode.meta["groups"] == ("three/1", "three/2")
        assert episode.num_labels == 3
        expected = squares(1, 2, 0)
        assert (episode.target.numpy() == expected).all()
        assert (episode.support[0].mask.numpy() == expected).all()

    def test_single_makes_them_one(self, root: Path, squares: Callable[..., np.ndarray]) -> None:
        source = Davis(root, "test", year=2017, single=True)
        assert list(source.videos) == ["three", "one"]
        assert source.most("video") == 1
        assert (source.load("three/00001").labels == squares(1, 1, 1)).all()
        assert [target.key for _, target in source.objects] == ["three/00000", "one/00000"]

    def test_single_leaves_void_and_black_and_white_as_they_are(
        self, root: Path, mask: Callable[..., Path], squares: Callable[..., np.ndarray]
    ) -> None:
        mask(root / "Annotations/480p/one/00000.png", squares(3, 255))
        mask(root / "Annotations/480p/one/00001.png", squares(255), "L")
        source = Davis(root, "test", year=2017, single=True)
        assert (source.load("one/00000").labels == squares(1, 255)).all()
        assert (source.load("one/00001").labels == squares(1)).all()


def test_missing_root_and_unknown_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        Davis(tmp_path / "nowhere", "train")
    with pytest.raises(DataError, match="There is no split 'tset'; did you mean 'test'"):
        Davis(tmp_path, "tset")


def test_listed_sequence_without_files(root: Path) -> None:
    shutil.rmtree(root / "Annotations/240p/two")
    with pytest.raises(
        DataError, match=r"The sequence two is listed, but the folder .*Annotations/240p/two is missing"
    ):
        Davis(root, "test")


def test_no_resolution_at_all(root: Path) -> None:
    shutil.rmtree(root / "JPEGImages/240p")
    with pytest.raises(DataError, match=r"JPEGImages is empty; expected a folder for each resolution"):
        Davis(root, "test")


def test_frame_without_mask_and_mask_without_frame(root: Path) -> None:
    (root / "Annotations/240p/bear/00001.png").unlink()
    with pytest.raises(DataError, match=r"The image 00001\.jpg has no mask .*bear/00001\.png"):
        Davis(root, "test")
    (root / "JPEGImages/240p/bear/00001.jpg").unlink()
    (root / "JPEGImages/240p/bear/00003.jpg").unlink()
    with pytest.raises(DataError, match=r"The mask 00003\.png has no image .*bear/00003\.jpg"):
        Davis(root, "test")


def test_sequence_without_an_object(root: Path, mask: Callable[..., Path], squares: Callable[..., np.ndarray]) -> None:
    for i in range(4):
        mask(root / f"Annotations/240p/bear/{i:05d}.png", squares())
    with pytest.raises(DataError, match=r"240p/bear holds only the label 0; a task needs something to segment"):
        Davis(root, "test")


def test_broken_frame_and_sizes_that_differ(root: Path, image: Callable[..., Path]) -> None:
    path = root / "JPEGImages/240p/bear/00002.jpg"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"00002\.jpg is cut off"):
        Davis(root, "test")
    image(path, 40, 50)
    with pytest.raises(DataError, match="is 40 x 50"):
        Davis(root, "test")


def test_one_training_sequence_is_too_few(davis: Callable[..., Path]) -> None:
    root = davis({"a": [(1,), (1,)]}, VAL)
    with pytest.raises(DataError, match="has one sequence, but train and val need at least two"):
        Davis(root, "train")

"""SBD on its own, and as what VOC's trainaug adds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from guided_seg.data.indexed import IndexedSource
from guided_seg.data.sources.pascal import VOC_CLASSES
from guided_seg.data.sources.sbd import Sbd, read_mat
from guided_seg.data.sources.splits import read_split
from guided_seg.data.sources.voc import Voc
from guided_seg.errors import BrokenFile, DataError

CAT, COW, DOG = (VOC_CLASSES.index(name) + 1 for name in ("cat", "cow", "dog"))
OFFICIAL = read_split("voc2012_val")[7]
TRAIN = {"t1": (CAT,), "t2": (DOG, DOG), "t3": (DOG, COW), OFFICIAL: (DOG,)}
VAL = {"v1": (CAT, COW), "v2": (COW,), "v3": (DOG, CAT)}


def _objects(source: IndexedSource) -> list[tuple[str, str, int]]:
    return [(group, str(target.key), target.value) for group, target in source.objects]


def _images(source: IndexedSource) -> set[str]:
    return {str(target.key).split("/")[1] for _, target in source.objects}


class TestSbd:
    @pytest.fixture
    def root(self, sbd: Callable[..., Path]) -> Path:
        return sbd(TRAIN, VAL)

    def test_classes_and_objects(self, root: Path, squares: Callable[..., np.ndarray]) -> None:
        source = Sbd(root, "train", ["cow"])
        assert source.modes == ("interactive",)  # one image of each class leaves no support
        assert _objects(source) == [("cat", "inst/t1", 1), ("dog", "inst/t2", 1), ("dog", "inst/t2", 2)]
        assert (source.load("inst/t2").labels == squares(1, 2)).all()
        assert (source.load("cls/t2").labels == squares(DOG, DOG)).all()
        assert source.load("cls/t2").image.shape == (40, 60, 3)

    def test_splits(self, root: Path) -> None:
        assert _images(Sbd(root, "train", without_voc_val=False)) == set(TRAIN)
        assert _images(Sbd(root, "val", ["cow"])) == {"v3"}
        assert _objects(Sbd(root, "test", ["cow"])) == [("cow", "inst/v1", 2), ("cow", "inst/v2", 1)]
        assert set(Sbd(root, "test").classes) == {"cat", "cow"}

    def test_an_image_of_the_official_val_of_voc_is_not_trained_on(self, root: Path) -> None:
        assert _images(Sbd(root, "train")) == set(TRAIN) - {OFFICIAL}

    @pytest.mark.parametrize("instances", [None, False])
    def test_without_instances_regions_stand_in(self, root: Path, instances: bool | None) -> None:
        if instances is None:
            shutil.rmtree(root / "inst")
        assert _objects(Sbd(root, "train", ["cow"], instances)) == [("cat", "cls/t1", CAT), ("dog", "cls/t2", DOG)]

    @pytest.mark.parametrize("folder", ["img", "cls"])
    def test_missing_folder(self, root: Path, folder: str) -> None:
        shutil.rmtree(root / folder)
        with pytest.raises(DataError, match=rf"has no folder {folder}; expected img/, cls/, train.txt and val.txt"):
            Sbd(root, "train")

    def test_missing_files(self, root: Path) -> None:
        (root / "cls/t2.mat").unlink()
        with pytest.raises(DataError, match=r"The image t2\.jpg has no mask .*cls/t2\.mat; add the mask"):
            Sbd(root, "train")
        (root / "val.txt").unlink()
        with pytest.raises(DataError, match=r"The list .*val\.txt is missing"):
            Sbd(root, "test")

    @pytest.mark.parametrize("damage", ["cut", "text", "other", "field", "volume"])
    def test_a_mat_file_that_cannot_be_used(self, root: Path, damage: str) -> None:
        path = root / "cls/t2.mat"
        source = Sbd(root, "train")
        data = path.read_bytes()
        content: dict[str, Any] = {"other": {"x": 1}, "field": {"GTcls": {"x": 1}}}
        content["volume"] = {"GTcls": {"Segmentation": np.zeros((2, 3, 4))}}
        if damage in content:
            savemat(path, content[damage])
        else:
            path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"no map at all")
        message = r"cls/t2\.mat holds no label map GTcls\.Segmentation|of .*cls/t2\.mat has the shape \(2, 3, 4\)"
        with pytest.raises(BrokenFile, match=message):
            Sbd(root, "train")
        with pytest.raises(BrokenFile, match=message):
            source.load("cls/t2")

    @pytest.mark.parametrize(
        "values",
        [
            np.full((4, 5), 1.5),
            np.full((4, 5), 300),
            np.full((4, 5), np.nan),
            np.full((4, 5), -1),
            np.ones((4, 5)) * 1j,
        ],
    )
    def test_values_that_are_no_labels(self, tmp_path: Path, values: np.ndarray) -> None:
        savemat(tmp_path / "x.mat", {"GTcls": {"Segmentation": values}})
        with pytest.raises(BrokenFile, match=r"x\.mat holds other values than whole numbers from 0 to 255"):
            read_mat("GTcls", tmp_path / "x.mat")
        savemat(tmp_path / "x.mat", {"GTcls": {"Segmentation": np.full((4, 5), 20.0)}})
        assert read_mat("GTcls", tmp_path / "x.mat").tolist() == [[20] * 5] * 4

    def test_a_changed_byte_is_noticed_before_scipy_reads_on(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = root / "cls/t2.mat"
        whole = path.read_bytes()
        expected = read_mat("GTcls", path)
        monkeypatch.setattr("scipy.io.loadmat", lambda *_, **__: {"GTcls": {"Segmentation": expected}})
        for place in range(136, len(whole), 5):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(BrokenFile, match=r"holds no label map GTcls\.Segmentation that can be read \(error\)"):
                read_mat("GTcls", path)

    @pytest.mark.parametrize("error", [UnboundLocalError, MemoryError, RecursionError, TypeError, OverflowError])
    def test_whatever_scipy_raises_of_a_damaged_file(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
    ) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr("scipy.io.loadmat", fail)
        with pytest.raises(BrokenFile, match=rf"that can be read \({error.__name__}\)"):
            read_mat("GTcls", root / "cls/t2.mat")

    def test_sizes_that_differ(self, root: Path, image: Callable[..., Path]) -> None:
        image(root / "img/t1.jpg", 30, 60)
        with pytest.raises(DataError, match=r"t1\.jpg is 30 x 60 .* but its mask .*t1\.mat is 40 x 60"):
            Sbd(root, "train")


class TestTrainaug:
    """VOC has t1, t2 | v1, v2; SBD adds s1 and s2, and has t2, v1 and an image of the official val as well."""

    @pytest.fixture
    def root(self, voc: Callable[..., Path]) -> Path:
        return voc({"t1": (CAT,), "t2": (DOG, CAT)}, {"v1": (CAT, COW), "v2": (COW,)})

    @pytest.fixture
    def extra(self, sbd: Callable[..., Path], root: Path) -> Path:
        return sbd({"s1": (DOG, CAT), "v1": (CAT,)}, {"t2": (COW,), "s2": (CAT, COW), OFFICIAL: (CAT,)})

    @pytest.fixture
    def augmented(self, root: Path, image: Callable[..., Path], mask: Callable[..., Path], squares: Any) -> Path:
        for stem in ("s1", "s2", "v1", OFFICIAL):
            image(root / f"JPEGImages/{stem}.jpg")
            mask(root / f"SegmentationClassAug/{stem}.png", squares(DOG, CAT), "L")
        return root

    def test_the_union_less_all_val(self, root: Path, extra: Path, squares: Callable[..., np.ndarray]) -> None:
        source = Voc(root, "train", train_list="trainaug", sbd_root=extra)
        assert _images(source) == {"t1", "t2", "s1", "s2"}
        # VOC's own mask where there is one
        assert (source.load("SegmentationClass/t2").labels == squares(DOG, CAT)).all()
        assert (source.load("SegmentationClass/s2").labels == squares(CAT, COW)).all()

    def test_the_usual_layout_with_its_list(self, augmented: Path, squares: Callable[..., np.ndarray]) -> None:
        (augmented / "ImageSets/Segmentation/trainaug.txt").write_text("t1\ns1\n")
        source = Voc(augmented, "train", train_list="trainaug")
        assert _images(source) == {"t1", "s1"}
        assert (source.load("SegmentationClass/s1").labels == squares(DOG, CAT)).all()

    def test_the_usual_layout_without_its_list(self, augmented: Path) -> None:
        assert _images(Voc(augmented, "train", train_list="trainaug")) == {"t1", "t2", "s1", "s2"}

    @pytest.mark.parametrize("name", ["v1", "v2"])
    def test_a_list_that_names_an_image_of_val_is_refused(self, augmented: Path, name: str) -> None:
        (augmented / "ImageSets/Segmentation/trainaug.txt").write_text(f"t1\n{name}\n")
        with pytest.raises(DataError, match=rf"'{name}' is on the list of train and on that of val or test"):
            Voc(augmented, "train", train_list="trainaug")

    def test_val_and_test_are_what_they_are_without(self, root: Path, extra: Path) -> None:
        for split in ("val", "test"):
            plain, more = Voc(root, split), Voc(root, split, train_list="trainaug", sbd_root=extra)
            assert _objects(plain) == _objects(more)

    def test_objects_come_from_sbd_as_well(
        self, root: Path, extra: Path, mask: Callable[..., Path], squares: Callable[..., np.ndarray]
    ) -> None:
        for stem in ("t1", "t2"):
            mask(root / f"SegmentationObject/{stem}.png", squares(*((1,) if stem == "t1" else (1, 2))))
        source = Voc(root, "train", ["cow"], train_list="trainaug", sbd_root=extra)
        assert _objects(source) == [
            ("cat", "SegmentationObject/t1", 1),
            ("dog", "SegmentationObject/t2", 1),
            ("cat", "SegmentationObject/t2", 2),
            ("dog", "SegmentationObject/s1", 1),
            ("cat", "SegmentationObject/s1", 2),
        ]
        assert (source.load("SegmentationObject/s1").labels == squares(1, 2)).all()

    def test_instance_masks_of_voc_alone_do_not_do(self, augmented: Path) -> None:
        (augmented / "SegmentationObject").mkdir()
        assert ("cat", "SegmentationClass/t1", CAT) in _objects(Voc(augmented, "train", train_list="trainaug"))

    def test_what_is_missing_is_said(self, root: Path, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"neither ImageSets/Segmentation/trainaug\.txt nor SegmentationClassAug/"):
            Voc(root, "train", train_list="trainaug")
        with pytest.raises(DataError, match=r"There is no data\.train_list 'trainval'; did you mean 'train"):
            Voc(root, "train", train_list="trainval")
        with pytest.raises(DataError, match=r"data\.sbd_root adds images to data\.train_list=trainaug"):
            Voc(root, "train", sbd_root=tmp_path)
        with pytest.raises(DataError, match=r"nowhere does not exist; set data\.sbd_root to a folder that holds img/"):
            Voc(root, "train", train_list="trainaug", sbd_root=tmp_path / "nowhere")

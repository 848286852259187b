from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from guided_seg.data.sources import splits
from guided_seg.data.sources.pascal import VOC_CLASSES
from guided_seg.data.sources.splits import FOLDER, checksums, fold_classes, read_split
from guided_seg.errors import DataError

COUNTS = {
    "davis2016_train": 30,
    "davis2016_val": 20,
    "davis2017_train": 60,
    "davis2017_val": 30,
    "voc2012_train": 1464,
    "voc2012_val": 1449,
    "fss1000_test": 240,
    **{f"pascal5i_fold{fold}": 5 for fold in range(4)},
    **{f"coco20i_fold{fold}": 20 for fold in range(4)},
}


def test_every_shipped_list_has_its_official_length_and_no_name_twice() -> None:
    assert {name: len(read_split(name)) for name in checksums()} == COUNTS
    assert all(len(set(read_split(name))) == count for name, count in COUNTS.items())


def test_every_file_is_in_the_checksums() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(checksums())
    for name, digest in checksums().items():
        assert hashlib.sha256((FOLDER / f"{name}.txt").read_bytes()).hexdigest() == digest


def test_train_and_val_have_nothing_in_common() -> None:
    for data in ("davis2016", "davis2017", "voc2012"):
        assert not set(read_split(f"{data}_train")) & set(read_split(f"{data}_val"))
    for split in ("train", "val"):
        assert set(read_split(f"davis2016_{split}")) < set(read_split(f"davis2017_{split}"))


def test_the_folds_are_the_protocols_rules() -> None:
    for fold in range(4):
        assert fold_classes("pascal5i", fold) == VOC_CLASSES[5 * fold : 5 * fold + 5]
    # every fourth class, so that the first of each fold are the first classes in order
    assert [fold_classes("coco20i", fold)[0] for fold in range(4)] == ["person", "bicycle", "car", "motorcycle"]
    assert fold_classes("coco20i", 0)[-1] == "scissors"
    assert fold_classes("coco20i", 3)[-1] == "toothbrush"


@pytest.mark.parametrize("fold", [-1, 4])
def test_a_fold_that_is_none(fold: int) -> None:
    with pytest.raises(DataError, match=rf"There is no fold {fold} of COCO-20i; choose 0, 1, 2 or 3"):
        fold_classes("coco20i", fold)


def test_an_unknown_list() -> None:
    with pytest.raises(DataError, match="There is no shipped split 'davis2018_val'; did you mean 'davis201"):
        read_split("davis2018_val")


class TestChecksum:
    @pytest.fixture(autouse=True)
    def copy(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shutil.copytree(FOLDER, tmp_path / "splits")
        monkeypatch.setattr(splits, "FOLDER", tmp_path / "splits")

    @pytest.mark.parametrize("change", ["append", "remove", "swap", "binary"])
    def test_a_changed_list_is_refused_by_name(self, tmp_path: Path, change: str) -> None:
        path = tmp_path / "splits/voc2012_val.txt"
        lines = path.read_text().splitlines()
        if change == "swap":
            lines[0], lines[1] = lines[1], lines[0]
        path.write_text("\n".join([*lines, "2007_000001"] if change == "append" else lines) + "\n")
        if change == "remove":
            path.unlink()
        if change == "binary":
            path.write_bytes(b"\xff\xfe")
        with pytest.raises(DataError, match=r"splits/voc2012_val\.txt is missing or has been changed: its checksum"):
            read_split("voc2012_val")
        assert len(read_split("voc2012_train")) == 1464

    def test_ends_of_lines_do_not_matter(self, tmp_path: Path) -> None:
        path = tmp_path / "splits/davis2016_val.txt"
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        assert len(read_split("davis2016_val")) == 20

"""Label maps that are kept, and folders that are filled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from guided_seg.errors import UserError
from guided_seg.formats.kept import KeptMaps
from guided_seg.formats.unfinished import FINISHED, LOCK, MARK, WORK, filling

LABELS = np.arange(255, dtype=np.uint8).reshape(15, 17)


def test_maps_come_back_by_image_and_version(tmp_path: Path) -> None:
    kept = KeptMaps(tmp_path / "maps")
    assert kept.find("a", "1") is None
    kept.keep("a", "1", LABELS)
    np.testing.assert_array_equal(kept.find("a", "1"), LABELS)
    assert kept.has("a", "1")
    for image, version in (("a", "2"), ("b", "1"), ("a", "")):
        assert kept.find(image, version) is None
        assert not kept.has(image, version)


def test_nothing_is_kept_without_a_version(tmp_path: Path) -> None:
    KeptMaps(tmp_path / "maps").keep("a", "", LABELS)
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize("data", [b"", b"no image"])
def test_a_damaged_map_is_not_there(data: bytes, tmp_path: Path) -> None:
    kept = KeptMaps(tmp_path)
    kept.keep("a", "1", LABELS)
    next(tmp_path.iterdir()).write_bytes(data)
    assert kept.find("a", "1") is None


def test_a_finished_folder_says_what_was_said(tmp_path: Path) -> None:
    with filling(tmp_path / "out", "content") as begun:
        begun.work.mkdir()
        (begun.work / "map.png").touch()
        begun.says = {"images": 3}
    assert [path.name for path in (tmp_path / "out").iterdir()] == [FINISHED]
    with filling(tmp_path / "out", "content") as begun:
        assert begun.finished is not None
        assert begun.finished["images"] == 3
    with pytest.raises(UserError, match="a result of other annotations"), filling(tmp_path / "out", "other"):
        pass
    assert [path.name for path in (tmp_path / "out").iterdir()] == [FINISHED]


def test_what_a_kill_leaves_behind_a_finished_result_is_removed(tmp_path: Path) -> None:
    with filling(tmp_path, "content") as begun:
        begun.says = {}
    (tmp_path / WORK).mkdir()
    (tmp_path / MARK).write_text("{}", encoding="utf-8")
    with filling(tmp_path, "content") as begun:
        assert begun.finished is not None
    assert [path.name for path in tmp_path.iterdir()] == [FINISHED]


def test_a_folder_in_which_nothing_was_done_is_free_for_others(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        stopped(tmp_path, "content", kept="")
    with pytest.raises(KeyboardInterrupt):
        stopped(tmp_path, "other", kept="a")
    with pytest.raises(UserError, match="an unfinished result of other annotations"):
        stopped(tmp_path, "content", kept="")
    with filling(tmp_path, "other") as begun:
        assert KeptMaps(begun.work).has("a", "1")


def stopped(folder: Path, content: str, kept: str) -> None:
    with filling(folder, content) as begun:
        if kept:
            KeptMaps(begun.work).keep(kept, "1", LABELS)
        raise KeyboardInterrupt


def test_one_process_fills_a_folder(tmp_path: Path) -> None:
    with (
        FileLock(tmp_path / LOCK),
        pytest.raises(UserError, match="Another process is filling the folder"),
        filling(tmp_path, "content"),
    ):
        pass
    with filling(tmp_path, "content"):
        pass
    assert list(tmp_path.iterdir()) == []

"""Archives become a data root whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from support.archives import davis_tree, everything, pack, sbd_tree, voc_tree

from guided_seg.data.preparation.archives import Archive, missing
from guided_seg.data.preparation.extract import staged, unpack
from guided_seg.errors import DataError

VOC = Archive("http://x/voc.tar", "voc.tar", ("JPEGImages", "ImageSets/Segmentation"), "VOCdevkit/VOC2012")
DAVIS = Archive("http://x/davis.zip", "davis.zip", ("JPEGImages",), "DAVIS")
SBD = Archive("http://x/benchmark.tgz", "benchmark.tgz", ("cls",), "benchmark_RELEASE/dataset")
TREES: dict[str, Callable[[Path], Path]] = {"voc.tar": voc_tree, "davis.zip": davis_tree, "benchmark.tgz": sbd_tree}
EVERY = pytest.mark.parametrize("archive", [VOC, DAVIS, SBD], ids=lambda archive: archive.name)


def packed(folder: Path, archive: Archive) -> Path:
    """The archive in ``folder``."""
    with TemporaryDirectory() as elsewhere:
        return pack(TREES[archive.name](Path(elsewhere)), folder / archive.name, archive.folder)


def bring(path: Path, archive: Archive, root: Path) -> None:
    with staged(root) as stage:
        unpack(path, archive, stage)


@EVERY
@pytest.mark.parametrize("before", ["nothing", "nothing above", "an empty folder", "the rest of a killed run"])
def test_the_folder_inside_becomes_the_root(tmp_path: Path, archive: Archive, before: str) -> None:
    root = tmp_path / "data/above/root" if before == "nothing above" else tmp_path / "data/root"
    if before != "nothing above":
        root.parent.mkdir()
    if before == "an empty folder":
        root.mkdir()
    if before == "the rest of a killed run":
        with pytest.raises(KeyboardInterrupt), staged(root) as stage:
            raise KeyboardInterrupt
        (stage / "JPEGImages").mkdir(parents=True)
        (stage / "JPEGImages/half.jpg").write_bytes(b"half")
    tree = TREES[archive.name](tmp_path / "tree")
    bring(pack(tree, tmp_path / archive.name, archive.folder), archive, root)
    assert everything(root) == everything(tree)
    assert list(root.parent.iterdir()) == [root]
    assert missing([archive], root) == []


def test_a_second_archive_joins_what_is_there(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "val2017").mkdir(parents=True)
    bring(packed(tmp_path, SBD), SBD, root)
    assert {entry.name for entry in root.iterdir()} == {"val2017", "img", "cls", "inst", "train.txt", "val.txt"}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    root, path = tmp_path / "root", packed(tmp_path, SBD)
    root.mkdir()
    (root / "val.txt").write_text("mine")
    before = everything(tmp_path)
    with pytest.raises(DataError, match=r"root/val\.txt would be overwritten; move it away"):
        bring(path, SBD, root)
    assert everything(tmp_path) == before


def test_a_root_with_a_part_is_refused(tmp_path: Path) -> None:
    (tmp_path / "JPEGImages").mkdir()
    with pytest.raises(DataError, match=r"holds JPEGImages but not ImageSets/Segmentation, so it is incomplete"):
        missing([VOC], tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file is a file; set data\.root to a folder"):
        missing([VOC], tmp_path / "file")


def test_any_name_of_the_outer_folder_will_do(tmp_path: Path) -> None:
    archive = Archive("http://x/t.zip", "t.zip", ("cls",), "*/CamVid")
    path = pack(sbd_tree(tmp_path / "tree/Tutorial-1a2b/CamVid").parents[1], tmp_path / "t.zip")
    bring(path, archive, tmp_path / "root")
    assert everything(tmp_path / "root") == everything(tmp_path / "tree/Tutorial-1a2b/CamVid")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil(path: Path) -> None:
    """Other bytes where the files are, under the same names."""
    content = bytearray(path.read_bytes())
    start = content.index(b"JPEGImages") + 512
    content[start : start + 64] = bytes(64)
    path.write_bytes(content)


def header(path: Path, place: int, value: int) -> None:
    """Other bits in the headers of every file of a zip archive; ``place`` is that of the flags or of the method."""
    content = bytearray(path.read_bytes())
    for mark, start in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + start + place] |= value
            at = content.find(mark, at + 4)
    path.write_bytes(content)


def lock(path: Path) -> None:
    header(path, 0, 1)


def patch(path: Path) -> None:
    header(path, 0, 32)


def pack_strangely(path: Path) -> None:
    header(path, 2, 98)


def move(path: Path) -> None:
    """The end of a zip archive says that its files begin before its beginning."""
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x05\x06")
    content[at + 12 : at + 16] = (2**31 - 1).to_bytes(4, "little")
    path.write_bytes(content)


def scribble(path: Path) -> None:
    path.write_bytes(b"<html>sorry</html>")


@pytest.mark.parametrize(
    ("archive", "harm"),
    [
        *((archive, harm) for archive in (VOC, DAVIS, SBD) for harm in (cut, scribble)),
        *((DAVIS, harm) for harm in (spoil, lock, patch, pack_strangely, move)),
    ],
    ids=lambda case: getattr(case, "name", None) or case.__name__,
)
@pytest.mark.parametrize("there", [False, True])
def test_a_damaged_archive_leaves_nothing(
    tmp_path: Path, archive: Archive, harm: Callable[[Path], None], there: bool
) -> None:
    path = packed(tmp_path, archive)
    harm(path)
    if there:
        (tmp_path / "root").mkdir()
    before = everything(tmp_path)
    with pytest.raises(DataError, match=rf"{archive.name} is cut off or damaged .*remove it and try again, or"):
        bring(path, archive, tmp_path / "root")
    assert everything(tmp_path) == before


def test_another_archive_is_refused(tmp_path: Path) -> None:
    path = pack(sbd_tree(tmp_path / "tree"), tmp_path / "voc.tar", "VOCdevkit/VOC2012")
    before = everything(tmp_path)
    with pytest.raises(DataError, match=r"has no JPEGImages, ImageSets/Segmentation in its folder VOCdevkit/VOC2012"):
        bring(path, VOC, tmp_path / "root")
    assert everything(tmp_path) == before


def _tar_with(name: str, kind: bytes, path: Path) -> None:
    with tarfile.open(path, "w") as out:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd"
        out.addfile(info, io.BytesIO())


def _zip_with(name: str, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as out:
        out.writestr(name, "x")


@pytest.mark.parametrize("name", ["../evil", "VOCdevkit/VOC2012/../../../evil", "/evil", "a/..\\..\\evil", "C:/evil"])
@pytest.mark.parametrize("form", ["tar", "zip"])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, name: str, form: str) -> None:
    path = tmp_path / "voc.tar"
    if form == "tar":
        _tar_with(name, tarfile.REGTYPE, path)
    else:
        _zip_with(name, path)
    before = everything(tmp_path)
    with pytest.raises(DataError, match="which is a path outside of its folder; do not use it"):
        bring(path, VOC, tmp_path / "inner/root")
    assert everything(tmp_path) == before


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    _tar_with("VOCdevkit/VOC2012/JPEGImages", kind, tmp_path / "voc.tar")
    with pytest.raises(DataError, match="which is a link or a device"):
        bring(tmp_path / "voc.tar", VOC, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def refuse_writing(monkeypatch: pytest.MonkeyPatch, number: int, method: str) -> None:
    """Let the system refuse a way of writing, as it does on a full disk or a read-only one."""

    def refused(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, method, refused)


@pytest.mark.parametrize(
    ("number", "method", "message"),
    [
        (errno.ENOSPC, "rename", r"is full; free some space, or set data\.root to another folder"),
        (errno.EDQUOT, "rename", "is full"),
        (errno.EROFS, "mkdir", r"is not writable; set data\.root to another folder"),
        (errno.EACCES, "mkdir", "is not writable"),
        (errno.EIO, "rename", "failed"),
    ],
)
def test_what_the_disk_refuses_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, method: str, message: str
) -> None:
    path = packed(tmp_path, VOC)
    before = everything(tmp_path)
    with monkeypatch.context() as patched:
        refuse_writing(patched, number, method)
        with pytest.raises(DataError, match=message):
            bring(path, VOC, tmp_path / "root")
    assert everything(tmp_path) == before


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real, count = packed(tmp_path, VOC), Path.open, iter(range(100))

    def open_few(self: Path, mode: str = "r", **options: Any) -> Any:
        if "w" in mode and next(count) >= 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, mode, **options)

    before = everything(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", open_few)
        with pytest.raises(DataError, match=rf"The disk of {tmp_path} is full"):
            bring(path, VOC, tmp_path / "root")
    assert next(count) > 5
    assert everything(tmp_path) == before


def test_a_disk_that_is_too_small_is_refused_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path, SBD)
    before = everything(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 0, 9))  # type: ignore[attr-defined]
        with pytest.raises(DataError, match=r"has 9 bytes free, but .* kB are needed"):
            bring(path, SBD, tmp_path / "root")
    assert everything(tmp_path) == before


@pytest.mark.parametrize("there", [False, True])
def test_an_interruption_leaves_nothing(tmp_path: Path, there: bool) -> None:
    root, path = tmp_path / "root", packed(tmp_path, VOC)
    if there:
        root.mkdir()
    before = everything(tmp_path)
    with suppress(KeyboardInterrupt), staged(root) as stage:
        unpack(path, VOC, stage)
        raise KeyboardInterrupt
    assert everything(tmp_path) == before
    bring(path, VOC, root)
    assert everything(root) == everything(voc_tree(tmp_path / "again"))

"""Archives over HTTP, from a server on this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.archives import md5
from support.serving import served

from guided_seg.data.preparation.archives import Archive
from guided_seg.data.preparation.download import Unreachable, download, obtain
from guided_seg.errors import DataError

CONTENT = np.random.default_rng(0).bytes(3 << 20)
HALF = len(CONTENT) // 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is served."""
    (tmp_path / "server").mkdir()
    (tmp_path / "server/a.tar").write_bytes(CONTENT)
    return tmp_path / "server"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "archives/a.tar"


def archive(url: str, size: int | None = len(CONTENT), checksum: str | None = None) -> Archive:
    return Archive(url=f"{url}/a.tar", name="a.tar", makes=("x",), size=size, checksum=checksum)


def begin(target: Path, content: bytes) -> Path:
    """An earlier download that broke off."""
    target.parent.mkdir()
    partial = target.with_name("a.tar.partial")
    partial.write_bytes(content)
    return partial


def test_a_download_is_whole_and_leaves_nothing_else(folder: Path, target: Path) -> None:
    with served(folder) as server:
        download(archive(server.url, checksum=md5(folder / "a.tar")), target)
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_it_goes_on_where_it_broke_off(folder: Path, target: Path, size: int | None) -> None:
    begin(target, CONTENT[:HALF])
    with served(folder) as server:
        download(archive(server.url, size), target)
    assert target.read_bytes() == CONTENT
    assert server.asked == [("a.tar", HALF)]


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_connection_that_breaks_is_opened_again(folder: Path, target: Path, size: int | None) -> None:
    with served(folder, breaks_after=1 << 20) as server:
        download(archive(server.url, size), target)
    assert target.read_bytes() == CONTENT
    assert [start for _, start in server.asked] == [0, 1 << 20, 2 << 20]


def test_a_server_without_ranges_is_asked_for_the_whole(folder: Path, target: Path) -> None:
    begin(target, b"x" * HALF)
    with served(folder, ranges=False) as server:
        download(archive(server.url), target)
    assert target.read_bytes() == CONTENT


def test_a_server_without_ranges_that_breaks_off_is_given_up(folder: Path, target: Path) -> None:
    with served(folder, ranges=False, breaks_after=HALF) as server, pytest.raises(Unreachable):
        download(archive(server.url), target)
    assert len(server.asked) == 2


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_what_is_there_already_is_not_fetched_again(folder: Path, target: Path, size: int | None) -> None:
    begin(target, CONTENT)
    with served(folder) as server:
        download(archive(server.url, size), target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_beginning_that_is_too_long_belongs_to_another_file(folder: Path, target: Path, size: int | None) -> None:
    begin(target, CONTENT + b"more")
    with served(folder) as server:
        download(archive(server.url, size), target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("size", "checksum", "message"),
    [
        (len(CONTENT), "md5:0123", r"a\.tar is damaged or another file: its md5 is \w{32}, but 0123 was expected"),
        (len(CONTENT) + 1, None, r"a\.tar is cut off: it has 3,145,728 bytes, but 3,145,729 were expected"),
        (len(CONTENT) - 1, None, r"a\.tar is another file"),
    ],
)
def test_another_file_is_refused_and_removed(
    folder: Path, target: Path, size: int, checksum: str | None, message: str
) -> None:
    with served(folder) as server, pytest.raises(DataError, match=message):
        download(archive(server.url, size, checksum), target)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "kind", "reason"),
    [
        ("/nowhere", "application/x-tar", "404 Not Found"),
        ("", "text/html; charset=utf-8", "the server sent a web page instead"),
    ],
)
def test_what_is_no_archive_is_not_kept(folder: Path, target: Path, path: str, kind: str, reason: str) -> None:
    with served(folder, kind=kind) as server, pytest.raises(Unreachable, match=reason):
        download(archive(server.url + path), target)
    assert not target.parent.exists()


def closed() -> str:
    """An address where nobody answers."""
    with served(Path()) as server:
        return server.url


def test_without_a_network_the_beginning_stays(target: Path) -> None:
    partial = begin(target, CONTENT[:HALF])
    with pytest.raises(Unreachable, match="Connection refused"):
        download(archive(closed()), target)
    assert partial.read_bytes() == CONTENT[:HALF]


def test_without_a_network_it_is_said_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_bytes(b"b")
    url = closed()
    needed = [Archive(f"{url}/{name}.tar", f"{name}.tar", ("x",), size=size) for name, size in (("a", 2000), ("b", 1))]
    needed.append(Archive(f"{url}/c.zip", "c.zip", ("x",)))
    with pytest.raises(DataError) as caught:
        obtain(needed, tmp_path, "prepare data=voc")
    assert str(caught.value) == (
        f"a.tar could not be downloaded (Connection refused); get {url}/a.tar as {tmp_path}/a.tar (2.0 kB), and "
        f"{url}/c.zip as {tmp_path}/c.zip by other means, and try again with: prepare data=voc"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar"]


def test_archives_that_are_there_need_no_network(folder: Path) -> None:
    path = folder / "a.tar"
    assert obtain([archive(closed(), checksum=md5(path))], folder, "") == [path]


def test_a_bad_archive_that_is_there_is_named_and_kept(folder: Path) -> None:
    with pytest.raises(DataError, match=rf"The archive {folder}/a\.tar is damaged .*remove it and try again"):
        obtain([archive(closed(), checksum="md5:0123")], folder, "")
    assert (folder / "a.tar").read_bytes() == CONTENT


def test_a_disk_that_is_too_small_is_refused_before_the_download(folder: Path, tmp_path: Path) -> None:
    with served(folder) as server, pytest.raises(DataError, match=r"has .* free, but 1\.0 EB are needed"):
        obtain([archive(server.url, size=10**18)], tmp_path / "new", "")
    assert server.asked == []
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full, a device that is always full")
def test_a_disk_that_fills_up_is_said(folder: Path, target: Path) -> None:
    target.parent.mkdir()
    target.with_name("a.tar.partial").symlink_to("/dev/full")
    with (
        served(folder) as server,
        pytest.raises(DataError, match=rf"The disk of {target.parent} is full; .* set archives"),
    ):
        download(archive(server.url), target)

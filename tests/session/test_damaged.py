"""Session files that are damaged, edited by hand, or made to do harm: a sentence, and nothing else."""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.networks import network

from guided_seg.errors import UserError
from guided_seg.session import Session, file
from guided_seg.session.annotating import Annotating

PICTURE = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
HUGE = 10**4000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a session about a file, an array with a mask, and a frame of a video."""
    path = tmp_path_factory.mktemp("session")
    (path / "frames").mkdir()
    for name in ("a.png", "frames/0.png", "frames/1.png"):
        cv2.imwrite(str(path / name), PICTURE)
    session = Session(network("prototypes"))
    session.add_label("it")
    session.add_image("file", path / "a.png")
    session.add_image("array", PICTURE)
    session.add_video("v", path / "frames")
    mask = np.zeros((16, 24), bool)
    mask[3:6] = True
    session.mask("array", mask, "it")
    session.dot("file", 1, 2, "it")
    session.dot(session.frame("v", 1), 2, 3, "it")
    session.save(path / "whole.session")
    return path


def entries(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    with zipfile.ZipFile(folder / "whole.session") as packed:
        return json.loads(packed.read("session.json")), {name: packed.read(name) for name in packed.namelist()}


def write(folder: Path, content: Any, files: dict[str, bytes]) -> Path:
    path = folder / "edited.session"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            if name != "session.json":
                packed.writestr(name, data)
        packed.writestr("session.json", content if isinstance(content, bytes) else json.dumps(content))
    return path


def opened(path: Path) -> Session:
    return Session.open(path, network=network("prototypes"))


def filled(path: Path) -> Annotating:
    """As `Session.open`, but for the network, which takes longest."""
    store, content = Annotating(), file.read(path)
    file.check_there(content, path)
    file.fill(store, content, path)
    return store


def test_the_whole_file_opens(folder: Path) -> None:
    content, files = entries(folder)
    assert opened(write(folder, content, files)).images == ["file", "array", "v#1"]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Of every value inside."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inside for place in places(item, (*path, key)))]


def put(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    at = content
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return content


VALUES = (None, True, -1, HUGE, float("nan"), "", "\0", [], {}, "x" * 9999, ["x", "y"], [1, 2, 3])


def test_a_value_of_another_kind_anywhere_is_refused_or_makes_no_difference(folder: Path) -> None:
    content, files = entries(folder)
    refused = 0
    for place in places(content):
        for value in VALUES if place else (None, [], 3, "x"):
            path = write(folder, put(json.loads(json.dumps(content)), place, value), files)
            try:
                filled(path)
            except UserError:
                refused += 1
    assert refused > 300


def test_what_is_missing_is_named(folder: Path) -> None:
    content, files = entries(folder)
    for place in places(content):
        if place and isinstance(place[-1], str) and place != ("model",):
            edited = json.loads(json.dumps(content))
            at = edited
            for key in place[:-1]:
                at = at[key]
            del at[place[-1]]
            if place[-1] == "mask":  # an image need not have one
                continue
            with pytest.raises(UserError):
                opened(write(folder, edited, files))


def png(height: int, width: int, mode: str = "RGB") -> bytes:
    data = io.BytesIO()
    Image.new(mode, (width, height)).save(data, "PNG")
    return data.getvalue()


def bomb(height: int, width: int) -> bytes:
    """A PNG whose header says a size that its pixels do not have."""
    data = bytearray(png(1, 1))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("entry", "data", "sentence"),
    [
        ("images/1.png", png(16, 24), "images/1.png is damaged"),
        ("images/1.png", png(16, 24, "L"), "expected uint8"),
        ("images/1.png", b"", "cannot be read as a session"),
        ("images/1.png", png(16, 24)[:60], "cannot be read as a session"),
        ("images/1.png", bomb(100_000, 100_000), "images/1.png is 100000 x 100000"),
        ("images/1.png", bomb(2**31 - 1, 2**31 - 1), "cannot be read as a session"),
        ("images/1.png", None, "it has no images/1.png"),
        ("masks/1.png", png(8, 8, "L"), "masks/1.png is 8 x 8"),
        ("masks/1.png", png(16, 24), "masks/1.png is no label map"),
        ("masks/1.png", bomb(60_000, 60_000), "masks/1.png is 60000 x 60000"),
        ("masks/1.png", b"GIF89a", "cannot be read as a session"),
        ("masks/1.png", None, "it has no masks/1.png"),
    ],
)
def test_stored_pictures_that_are_damaged(folder: Path, entry: str, data: bytes | None, sentence: str) -> None:
    content, files = entries(folder)
    files.pop(entry)
    with pytest.raises(UserError, match=sentence):
        opened(write(folder, content, files if data is None else {**files, entry: data}))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"null", b'{"format": 1}', b'{"format": true}', b"1" * 5000],
)
def test_what_is_no_content_is_refused(folder: Path, content: bytes) -> None:
    with pytest.raises(UserError, match=r"cannot be read as a session|has the format"):
        opened(write(folder, content, {}))


def test_a_file_that_unpacks_to_too_much_is_refused_unread(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guided_seg.session.file.MOST_TEXT", 10_000)
    with pytest.raises(UserError, match=r"session.json is larger than 10,000 bytes"):
        opened(write(folder, b" " * 20_000, {}))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="has no endless file")
def test_only_ordinary_files_are_read(folder: Path) -> None:
    content, files = entries(folder)
    for kind, index in (("images", 0), ("videos", 0)):
        edited = json.loads(json.dumps(content))
        if kind == "images":
            edited[kind][index]["file"] = ["/dev/zero", "/dev/zero"]
        else:
            edited[kind][index][1] = ["/dev/zero", "/dev/zero"]
        with pytest.raises(UserError, match="/dev/zero is not there any more"):
            opened(write(folder, edited, files))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    changes=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=8),
    keep=st.floats(0.3, 1),
    ends=st.booleans(),
)
def test_a_file_with_any_bytes_changed_opens_or_is_refused(
    folder: Path, changes: list[tuple[int, int]], keep: float, ends: bool
) -> None:
    data = bytearray((folder / "whole.session").read_bytes())
    for at, value in changes:
        data[-1 - at % 400 if ends else at % len(data)] = value
    path = folder / "fuzzed.session"
    path.write_bytes(data[: int(keep * len(data))] if keep < 0.9 else data)
    try:
        session = filled(path)
    except UserError:
        return
    assert len(session.images) <= 3


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (lambda path: path, "is a folder; name a file in it"),
        (lambda path: path / "a.png" / "x.session", "cannot be saved as .*; the session is as it was"),
        (lambda path: path / ("x" * 300), "cannot be saved as .*; the session is as it was"),
        (lambda path: path / "\0", "names no file"),
    ],
)
def test_what_cannot_be_saved_loses_nothing(folder: Path, place: Callable[[Path], Path], sentence: str) -> None:
    session = opened(folder / "whole.session")
    before = session.segment("file")
    with pytest.raises(UserError, match=sentence):
        session.save(place(folder))
    assert np.array_equal(session.segment("file"), before)
    assert session.images == opened(session.save(folder / "again.session")).images


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()])
def test_a_save_that_fails_midway_keeps_the_old_file(
    folder: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(folder / "whole.session")
    path = session.save(folder / "kept.session")
    old, listed = path.read_bytes(), sorted(folder.iterdir())

    with monkeypatch.context() as patched:
        patched.setattr(json, "dumps", Mock(side_effect=error))
        with pytest.raises(UserError if isinstance(error, OSError) else type(error)):
            session.save(path)
    assert path.read_bytes() == old
    assert sorted(folder.iterdir()) == listed
    session.save(path)


def test_a_session_on_another_drive_than_its_images_is_saved(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: Path, start: Path) -> str:
        raise ValueError(f"path is on mount {path}, start on mount {start}")  # as on Windows

    session = opened(folder / "whole.session")
    monkeypatch.setattr(os.path, "relpath", fails)
    assert opened(session.save(folder / "drive.session")).images == session.images


@pytest.mark.parametrize("name", ["none.session", ".", "a.png", "frames"])
def test_what_is_no_session_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"There is no session|is a folder|cannot be read as a session"):
        opened(folder / name)


def test_images_are_looked_for_before_a_network_is_loaded(folder: Path) -> None:
    content, files = entries(folder)
    content["images"][0]["file"] = ["gone.png", "/gone.png"]
    with pytest.raises(UserError, match=r"gone\.png is not there any more"):
        Session.open(write(folder, content, files))  # which names no network either

"""Video files as people have them: whole whatever their header says, cut off, odd, or damaged."""

from __future__ import annotations

import os
import struct
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.networks import network

from guided_seg.errors import UserError, VideoWarning
from guided_seg.session import Session
from guided_seg.session.films.ahead import ahead
from guided_seg.session.films.containers import is_cut_off
from guided_seg.session.pictures import open_video

NUMBER = 12


def write(path: Path, codec: str, number: int = NUMBER, size: tuple[int, int] = (40, 32)) -> Path:
    """A film of the container that the file's name says."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10, size)
    assert writer.isOpened()
    rng = np.random.default_rng(0)
    for _ in range(number):
        writer.write(rng.integers(0, 256, (size[1], size[0], 3), np.uint8))
    writer.release()
    return path


FILMS = {".avi": "MJPG", ".mp4": "mp4v", ".mov": "mp4v", ".mkv": "MJPG", ".webm": "VP80", ".ts": "mp4v"}


def whole(path: Path) -> list[int]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return [index for index, _ in open_video(path).frames(0)]


def announce(path: Path, number: int) -> None:
    """Let a header say another number of frames, or the duration of so many."""
    data = bytearray(path.read_bytes())
    if path.suffix == ".avi":
        at = data.index(b"avih") + 8
        struct.pack_into("<I", data, at + 16, number)
        at = data.index(b"strh") + 8
        struct.pack_into("<I", data, at + 32, number)
    else:  # Matroska keeps milliseconds, as a double
        at = data.index(b"\x44\x89\x88") + 3
        struct.pack_into(">d", data, at, number * 100)
    path.write_bytes(data)


def moov_first(path: Path) -> None:
    """Put the index of an MP4 before its pictures, as for the web; one that is cut off can then be opened."""
    data = path.read_bytes()
    at = data.index(b"moov") - 4
    moov = bytearray(data[at:])
    offsets = moov.index(b"stco") + 8
    for place in range(offsets + 4, offsets + 4 + 4 * struct.unpack_from(">I", moov, offsets)[0], 4):
        struct.pack_into(">I", moov, place, struct.unpack_from(">I", moov, place)[0] + len(moov))
    start = struct.unpack_from(">I", data)[0]
    path.write_bytes(data[:start] + bytes(moov) + data[start:at])


@pytest.mark.parametrize("suffix", FILMS)
def test_a_whole_film_gives_all_its_frames(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"film{suffix}", FILMS[suffix])
    assert whole(path) == list(range(NUMBER))
    assert not is_cut_off(path)


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".webm"])
@pytest.mark.parametrize("announced", [60, 5])
def test_what_a_header_announces_is_no_fault(suffix: str, announced: int, tmp_path: Path) -> None:
    """As of variable rates, trimmed films and sound that is longer than the picture."""
    path = write(tmp_path / f"film{suffix}", FILMS[suffix])
    announce(path, announced)
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == pytest.approx(announced, abs=1)
    capture.release()
    assert whole(path) == list(range(NUMBER))


def test_a_trimmed_film_gives_what_its_edit_list_leaves(tmp_path: Path) -> None:
    """As ffmpeg -ss TIME -c copy makes it: the frames before are in the file, and are counted by its header."""
    path = write(tmp_path / "film.mp4", "mp4v")
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 16  # after version, number of entries and duration: where the pictures begin
    scale = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)[0]
    struct.pack_into(">I", data, at, scale // 2)
    path.write_bytes(data)
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == NUMBER
    capture.release()
    assert 0 < len(whole(path)) < NUMBER - 2


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_film_that_is_cut_off_says_so_after_what_there_is(suffix: str, share: float, tmp_path: Path) -> None:
    path = write(tmp_path / f"film{suffix}", FILMS[suffix], 40)
    if suffix == ".mp4":
        moov_first(path)
        assert whole(path) == list(range(40))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert is_cut_off(path)
    session = Session(network("prototypes"))
    session.add_label("it")
    session.add_video("film", path)
    seen = []
    with pytest.raises(UserError, match=r"breaks off after \d+ .*frames; those before are fine.*is cut off: copy"):
        seen.extend(index for index, _ in open_video(path).frames(0))  # what came before the error stays
    assert seen[:5] == list(range(5))
    assert session.frame("film", 3) == "film#3"  # before the end nothing is wrong


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(path.read_bytes()[:2000]), "is cut off: copy it again"),
        (lambda path: path.write_text("no film"), "cannot be opened; check that it plays"),
        (lambda path: path.unlink(), "There is no video"),
    ],
)
def test_a_file_without_a_frame_is_refused_when_it_is_added(harm: Any, sentence: str, tmp_path: Path) -> None:
    path = write(tmp_path / "film.mp4", "mp4v")
    harm(path)
    with pytest.raises(UserError, match=sentence):
        Session(network("prototypes")).add_video("film", path)


@pytest.mark.parametrize("kind", [".avi", ".mp4", ".mkv"])
@pytest.mark.parametrize("seed", range(10))
def test_damaged_containers_are_judged_without_an_error(kind: str, seed: int, tmp_path: Path) -> None:
    path, rng = write(tmp_path / f"film{kind}", FILMS[kind], 2), np.random.default_rng(seed)
    data = bytearray(path.read_bytes()[: int(rng.integers(1, 3000))])
    for at in rng.integers(0, min(len(data), 200), 20):
        data[at] = rng.integers(0, 256)
    path.write_bytes(data)
    assert is_cut_off(path) in (True, False)


def box(kind: bytes, length: int, there: int | None = None) -> bytes:
    return struct.pack(">I", length) + kind + bytes((length if there is None else there) - 8)


@pytest.mark.parametrize(
    ("data", "cut_off"),
    [
        (box(b"ftyp", 16) + box(b"moov", 32) + box(b"mdat", 64), False),
        (box(b"ftyp", 16) + box(b"moov", 32) + box(b"mdat", 64, 40), True),
        (box(b"ftyp", 16) + box(b"mdat", 64) + box(b"free", 64, 20), False),
        (box(b"ftyp", 16) + box(b"moof", 64, 40), True),
        (box(b"ftyp", 16) + b"\0\0\0\1mdat" + struct.pack(">Q", 64) + bytes(48), False),
        (box(b"ftyp", 16) + b"\0\0\0\1mdat" + struct.pack(">Q", 2**40) + bytes(48), True),
        (box(b"ftyp", 16) + b"\0\0\0\0mdat" + bytes(99), False),  # to the end of the file
        (box(b"ftyp", 16) + box(b"mdat", 64) + b"appended by some program", False),
        (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x84" + bytes(4), False),
        (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x84" + bytes(3), True),
        (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01" + b"\xff" * 7 + bytes(9), False),  # live, of unknown length
        (b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff" + bytes(9), False),
        (b"RIFF\x1c\0\0\0AVI LIST\x10\0\0\0movi" + bytes(12), False),
        (b"RIFF\x1c\0\0\0AVI LIST\x10\0\0\0movi" + bytes(8), True),
        (b"RIFF\0\0\0\0AVI LIST\0\0\0\0movi" + bytes(99), False),  # a recording that could not say
        (b"\x47" + bytes(187), False),  # MPEG-TS
        (b"", False),
    ],
)
def test_a_container_says_how_long_it_is(data: bytes, cut_off: bool, tmp_path: Path) -> None:
    path = tmp_path / "film"
    path.write_bytes(data)
    assert is_cut_off(path) == cut_off


class Failing:
    """OpenCV's reader of films, of which some frames cannot be decoded."""

    def __init__(self, fail: Callable[[], tuple[bool, None]]) -> None:
        self.fail, self.index, self.capture = fail, -1, cv2.VideoCapture

    def __call__(self, path: str) -> Failing:
        self.inner, self.index = self.capture(path), -1
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def grab(self) -> bool:
        self.index += 1
        return self.inner.grab()

    def retrieve(self) -> tuple[bool, np.ndarray | None]:
        return self.fail() if self.index in (2, 3) else self.inner.retrieve()


def raising() -> tuple[bool, None]:
    raise cv2.error("damaged")


@pytest.mark.parametrize("fail", [lambda: (False, None), lambda: (True, None), raising])
def test_frames_that_cannot_be_decoded_are_left_out_with_a_warning(
    fail: Callable[[], tuple[bool, None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "film.avi", "MJPG", 6)
    expected = dict(open_video(path).frames(0))
    monkeypatch.setattr(cv2, "VideoCapture", Failing(fail))
    session = Session(network("prototypes"))
    session.add_label("it")
    session.add_video("film", path)
    with pytest.warns(VideoWarning, match=r"Frame [23] of .*film.avi cannot be decoded and is left out"):
        assert [index for index, _ in session.segment_video("film")] == [0, 1, 4, 5]
    with pytest.warns(VideoWarning), pytest.raises(UserError, match=r"Frame 2 of .* cannot be decoded; .* such as 4"):
        session.frame("film", 2)
    assert np.array_equal(session.picture(session.frame("film", 5)).read(), expected[5])


def test_the_thread_that_asks_for_frames_is_the_one_that_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "film.avi", "MJPG", 6)
    monkeypatch.setattr(cv2, "VideoCapture", Failing(raising))
    heard: list[tuple[int, threading.Thread]] = []
    seen: list[int] = []
    monkeypatch.setattr(warnings, "warn", lambda *_, **__: heard.append((seen[-1], threading.current_thread())))
    for index, _ in ahead(open_video(path).frames(0)):
        seen.append(index)
    assert seen == [0, 1, 4, 5]
    assert heard == [(1, threading.current_thread())] * 2, "where the frames are missing"


@pytest.mark.parametrize("name", ["50%d.mp4", "ein Bär (1).mp4", "a#0,b=c.mp4", "frame_001.mp4"])
def test_a_film_may_have_any_name(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "film.mp4", "mp4v", 3)
    assert whole(path.rename(tmp_path / name)) == [0, 1, 2]


@pytest.mark.parametrize("size", [(2, 2), (2, 90), (90, 2)])
def test_a_film_may_have_any_size(size: tuple[int, int], tmp_path: Path) -> None:
    path = write(tmp_path / "film.avi", "MJPG", 3, size)
    assert [frame.shape for _, frame in open_video(path).frames(0)] == [(size[1], size[0], 3)] * 3


@pytest.mark.parametrize("kind", ["film", "folder", "stream", "empty stream"])
def test_a_pass_without_a_frame_is_no_empty_answer(kind: str, tmp_path: Path) -> None:
    film, stream = write(tmp_path / "film.avi", "MJPG", 3), [np.zeros((8, 8, 3), np.uint8)] * 3
    cv2.imwrite(str(tmp_path / "0.png"), stream[0])
    session = Session(network("prototypes"))
    session.add_label("it")
    session.add_video("v", {"film": film, "folder": tmp_path, "stream": stream, "empty stream": []}[kind])
    if kind == "stream":
        assert len(list(session.segment_video("v"))) == 3
    with pytest.raises(UserError, match=r"has no frame 3|frames once, and its [03] have come"):
        list(session.segment_video("v", start=3))


def test_a_stream_may_fill_one_array_again_and_again() -> None:
    def camera() -> Any:
        buffer = np.zeros((16, 24, 3), np.uint8)
        for value in (10, 90, 200):
            buffer[:] = value
            yield buffer

    session = Session(network("prototypes"))
    session.add_label("it")
    session.add_video("camera", camera())
    for index, _ in session.segment_video("camera"):
        session.dot(session.frame("camera", index), 1, 1, "it")
    assert [session.picture(name).read().max() for name in session.images] == [10, 90, 200]


def test_a_stream_loses_no_frame_to_a_call_that_is_refused() -> None:
    session = Session(network("prototypes"))
    session.add_video("camera", (np.zeros((8, 8, 3), np.uint8) for _ in range(2)))
    with pytest.raises(UserError, match="nothing to segment yet"):
        next(session.segment_video("camera"))
    session.add_label("it")
    assert [index for index, _ in session.segment_video("camera")] == [0, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names of any bytes")
@pytest.mark.parametrize("where", ["file", "folder"])
def test_a_film_whose_name_is_no_text_is_refused(where: str, tmp_path: Path) -> None:
    """OpenCV would end the process with a segmentation fault."""
    strange = os.fsdecode(b"a\xe9")
    path = tmp_path / f"{strange}.mp4" if where == "file" else tmp_path / strange / "a.mp4"
    path.parent.mkdir(exist_ok=True)
    write(tmp_path / "plain.mp4", "mp4v").rename(path)
    with pytest.raises(UserError, match="is not UTF-8 text, and OpenCV cannot open it; rename the file or the folder"):
        Session(network("late_global")).add_video("v", path)

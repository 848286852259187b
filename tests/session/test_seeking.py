"""Single frames of video files: reading begins near them, and gives the pixels of a whole pass."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from guided_seg.session.films import videos
from guided_seg.session.films.times import frame_times
from guided_seg.session.films.videos import VideoFile

NUMBER = 120
FILMS = [("mp4v", ".mp4"), ("mp4v", ".mov"), ("MJPG", ".mov"), ("vp09", ".mp4"), ("MJPG", ".avi"), ("VP80", ".webm")]
SOUGHT = (".mp4", ".mov")


def film(folder: Path, codec: str = "mp4v", suffix: str = ".mp4", rate: float = 29.97) -> Path:
    """A film of noise that moves, so that frames depend on those before."""
    path = folder / f"film{suffix}"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, (64, 48))
    assert writer.isOpened()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (48, 64, 3), np.uint8)
    for number in range(NUMBER):
        pixels = np.roll(pixels, 1, axis=1)
        pixels[number % 48] = rng.integers(0, 256, (64, 3))
        writer.write(pixels)
    writer.release()
    return path


class Counting:
    """OpenCV's reader, which counts the frames that it decodes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.grabs, self.capture = 0, cv2.VideoCapture
        monkeypatch.setattr(cv2, "VideoCapture", self)

    def __call__(self, path: str) -> Counting:
        self.inner = self.capture(path)
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def grab(self) -> bool:
        self.grabs += 1
        return self.inner.grab()


@pytest.mark.parametrize(("codec", "suffix"), FILMS)
def test_a_single_frame_has_the_pixels_of_a_whole_pass(
    codec: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = VideoFile(film(tmp_path, codec, suffix))
    expected = dict(video.frames(0))
    assert len(expected) == NUMBER
    for number in range(NUMBER):
        assert np.array_equal(video.frame(number), expected[number]), number
    counting = Counting(monkeypatch)
    video.frame(NUMBER - 1)
    assert (counting.grabs < 10) == (suffix in SOUGHT), "beside those that OpenCV decodes from the key frame on"


@pytest.mark.parametrize("start", [1, 50, NUMBER - 1])
def test_a_pass_that_begins_later_is_the_end_of_a_whole_one(start: int, tmp_path: Path) -> None:
    video = VideoFile(film(tmp_path))
    whole, part = list(video.frames(0)), list(video.frames(start))
    assert [number for number, _ in part] == list(range(start, NUMBER))
    assert all(np.array_equal(one, other) for (_, one), (_, other) in zip(whole[start:], part, strict=True))
    assert list(video.frames(NUMBER)) == []


@pytest.mark.parametrize("part", [0.3, 0.5])
def test_a_trimmed_film_is_counted_from_its_first_frame(part: float, tmp_path: Path) -> None:
    path = film(tmp_path)
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 16
    scale = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)[0]
    struct.pack_into(">I", data, at, int(part * scale * NUMBER / 29.97))
    path.write_bytes(data)
    video = VideoFile(path)
    expected = dict(video.frames(0))
    assert 0 < len(expected) < NUMBER
    assert all(np.array_equal(video.frame(number), frame) for number, frame in expected.items())


@pytest.mark.parametrize(
    "wrong", [None, np.arange(NUMBER) / 10, np.arange(NUMBER) / 29.97 + 0.001, np.zeros(NUMBER), np.zeros(0)]
)
def test_times_that_are_not_those_of_the_frames_are_not_used(
    wrong: np.ndarray | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = VideoFile(film(tmp_path))
    expected = dict(video.frames(0))
    monkeypatch.setattr(videos, "frame_times", lambda _: wrong)
    assert all(np.array_equal(video.frame(number), expected[number]) for number in (1, 60, NUMBER - 1))


def box(kind: str, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I", 8 + len(data)) + kind.encode() + data


def words(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}i", *numbers)


def tables(stts: bytes, *more: bytes, edits: bytes = b"", kind: bytes = b"vide", films: int = 1) -> bytes:
    """An MP4 without pictures: 1,000 units a second, and what its tables say."""
    header = box("mdhd", words(0, 0, 0, 1000, 0, 0)), box("hdlr", words(0, 0), kind, words(0, 0, 0))
    track = box("trak", edits, box("mdia", *header, box("minf", box("stbl", stts, *more))))
    return box("ftyp", b"isom") + box("free", bytes(9)) + box("moov", box("mvhd", bytes(8)), track * films)


STEADY = box("stts", words(0, 1, 4, 40))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (tables(STEADY), [0, 0.04, 0.08, 0.12]),
        (tables(box("stts", words(0, 2, 2, 40, 2, 100))), [0, 0.04, 0.08, 0.18]),
        (tables(STEADY, box("ctts", words(0, 3, 1, 40, 1, 80, 2, 0))), [0, 0.04, 0.08, 0.08]),
        (tables(STEADY, edits=box("edts", box("elst", words(0, 1, 80, 41, 1 << 16)))), [0, 0.04]),
        (
            tables(STEADY, edits=box("edts", box("elst", words(0, 2, 9, -1, 1 << 16, 80, 0, 1 << 16)))),
            [0, 0.04, 0.08, 0.12],
        ),
        (tables(STEADY, edits=box("edts", box("elst", words(0, 1, 80, 0, 1 << 17)))), None),  # at twice its speed
        (tables(STEADY, edits=box("edts", box("elst", words(0, 2, 80, 0, 1 << 16, 80, 0, 1 << 16)))), None),  # twice
        (tables(STEADY, box("ctts", words(0, 1, 3, 0))), None),  # one frame is missing
        (tables(STEADY, kind=b"soun"), None),
        (tables(STEADY, films=2), None),
        (tables(box("stts", words(0, 0))), []),  # in fragments
        (tables(box("stts", words(0, 1, 2**31 - 1, 1))), None),  # too many
        (tables(box("stts", words(0, 2**31 - 1, 4, 40))), None),  # more than there are
        (tables(STEADY)[:-3], None),
        (box("ftyp", b"isom") + words(0), None),
        (b"RIFF", None),
        (b"", None),
    ],
)
def test_the_tables_of_a_file_say_when_its_frames_are_shown(
    data: bytes, expected: list[float] | None, tmp_path: Path
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(data)
    found = frame_times(path)
    assert (None if found is None else found.tolist()) == (
        expected and pytest.approx(expected) if expected else expected
    )


@pytest.mark.parametrize("seed", range(20))
def test_damaged_tables_are_read_without_an_error(seed: int, tmp_path: Path) -> None:
    path, rng = film(tmp_path), np.random.default_rng(seed)
    data = bytearray(path.read_bytes())
    for at in rng.integers(data.index(b"moov"), len(data), 30):
        data[at] = rng.integers(0, 256)
    path.write_bytes(data[: len(data) - int(rng.integers(0, 300))])
    found = frame_times(path)
    assert found is None or (found.ndim == 1 and np.isfinite(found).all())

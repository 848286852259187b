"""Videos from a frame back to the first: the same answers, from whatever the frames are read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.networks import network

from guided_seg.errors import UserError
from guided_seg.session import NEGATIVE, Session
from guided_seg.session.films import videos
from guided_seg.session.pictures import open_video

FRAMES, SIZE = 11, (32, 40)


def frames() -> list[np.ndarray]:
    """A bright square that moves to the right over noise."""
    ground = np.random.default_rng(0).integers(0, 90, (*SIZE, 3), np.uint8)
    found = []
    for index in range(FRAMES):
        found.append(ground.copy())
        found[-1][8:18, 2 * index : 2 * index + 10] = (250, 200, 30)
    return found


def film(path: Path) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, SIZE[::-1])
    for frame in frames():
        writer.write(frame[..., ::-1])
    writer.release()
    return path


@pytest.fixture(params=["film", "folder"])
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / ("film.avi" if request.param == "film" else "frames")
    if request.param == "folder":
        path.mkdir()
        for index, frame in enumerate(frames()):
            cv2.imwrite(str(path / f"{index}.png"), frame[..., ::-1])
        return path
    return film(path)


def opened(clip: object, name: str = "fused") -> Session:
    session = Session(network(name))
    session.add_label("square")
    session.add_video("clip", clip)  # type: ignore[arg-type]
    return session


def annotate(session: Session, index: int) -> None:
    frame = session.frame("clip", index)
    session.dot(frame, 12, 2 * index + 4, "square")
    session.dot(frame, 28, 30, NEGATIVE)


@pytest.mark.parametrize("kept", [1, 2, 3, 4, FRAMES, 100])
@pytest.mark.parametrize("start", [0, 4, FRAMES - 1])
def test_frames_come_back_to_front(clip: Path, kept: int, start: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videos, "PART", kept * 3 * SIZE[0] * SIZE[1])
    video = open_video(clip)
    forward = dict(video.frames(0))
    backward = list(video.backward(start))
    assert [index for index, _ in backward] == list(range(start, -1, -1))
    for index, pixels in backward:
        np.testing.assert_array_equal(pixels, forward[index])


def test_no_more_frames_are_kept_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videos, "PART", 3 * 3 * SIZE[0] * SIZE[1])
    video, kept = videos.VideoFile(film(tmp_path / "film.avi")), []
    up_to = video._up_to
    monkeypatch.setattr(video, "_up_to", lambda *args: (kept.append(part := up_to(*args)), part)[1])
    seen = []
    for index, _ in video.backward(FRAMES - 1):
        seen.append(index)
        assert sum(map(len, kept)) < 3  # the frame at hand has left
    assert len(kept) == 4


def test_answers_are_those_of_the_other_direction(clip: Path) -> None:
    session = opened(clip)
    annotate(session, 5)
    forward = dict(session.segment_video("clip"))
    seen = []
    for index, labels in session.segment_video("clip", start=8, backward=True):
        seen.append(index)
        np.testing.assert_array_equal(labels, forward[index])
    assert seen == list(range(8, -1, -1))
    assert session.images == ["clip#5"]


@pytest.mark.parametrize("memory", ["map", "moved", "shot", "both"])
def test_memory_works_in_that_direction_too(memory: str, tmp_path: Path) -> None:
    """As in the same frames in the other order."""
    for name, order in (("there", frames()), ("back", frames()[::-1])):
        (tmp_path / name).mkdir()
        for index, frame in enumerate(order):
            cv2.imwrite(str(tmp_path / name / f"{index:02}.png"), frame[..., ::-1])
    one, other = opened(tmp_path / "there"), opened(tmp_path / "back")
    annotate(one, FRAMES - 1)
    frame = other.frame("clip", 0)
    for row, column, label in one.dots(f"clip#{FRAMES - 1}"):
        other.dot(frame, row, column, label)
    back = list(one.segment_video("clip", FRAMES - 1, memory=memory, backward=True))  # type: ignore[arg-type]
    for (index, labels), (number, expected) in zip(back, other.segment_video("clip", memory=memory), strict=True):  # type: ignore[arg-type]
        assert index == FRAMES - 1 - number
        np.testing.assert_array_equal(labels, expected)


def test_corrections_hold_from_there_on(clip: Path) -> None:
    session = opened(clip, "prototypes")
    annotate(session, 9)
    before = dict(session.segment_video("clip"))
    session.dot(session.frame("clip", 4), 25, 35, "square")
    everywhere = dict(session.segment_video("clip"))
    for index, labels in session.segment_video("clip", 9, "forward", backward=True):
        np.testing.assert_array_equal(labels, (everywhere if index <= 4 else before)[index])
    assert any((before[index] != everywhere[index]).any() for index in range(4, FRAMES))


def test_dots_between_two_frames_hold_from_the_next(clip: Path) -> None:
    session = opened(clip, "prototypes")
    annotate(session, 6)
    coming = session.segment_video("clip", 6, backward=True)
    assert next(coming)[0] == 6
    session.dot(session.frame("clip", 6), 30, 2, session.add_label("corner"))
    assert 2 in np.unique(next(coming)[1])


@pytest.mark.parametrize("kept", [1, 3, 100])
@pytest.mark.parametrize("start", [FRAMES, 1000])
def test_a_frame_that_is_not_there_is_no_start(
    clip: Path, start: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(videos, "PART", kept * 3 * SIZE[0] * SIZE[1])
    session = opened(clip)
    with pytest.raises(UserError, match=f"has no frame {start}, so there is nothing to segment"):
        next(session.segment_video("clip", start, backward=True))


def test_a_frame_that_cannot_be_decoded_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = videos.VideoFile(film(tmp_path / "film.avi"))
    decoded = video._decoded
    monkeypatch.setattr(video, "_decoded", lambda capture, index: None if index in (3, 8) else decoded(capture, index))
    for room in (1, 2, 100):
        monkeypatch.setattr(videos, "PART", room * 3 * SIZE[0] * SIZE[1])
        assert [index for index, _ in video.backward(8)] == [7, 6, 5, 4, 2, 1, 0]


def test_a_stream_does_not_go_back() -> None:
    session = opened(iter(frames()))
    with pytest.raises(UserError, match="A stream gives frames once, in their order; give the video as a file"):
        session.segment_video("clip", 3, backward=True)
    assert next(session.segment_video("clip"))[0] == 0  # none is lost


def test_a_direction_is_true_or_false(clip: Path) -> None:
    from inspect import unwrap

    with pytest.raises(UserError, match="backward is 'yes'"):
        unwrap(Session.segment_video)(opened(clip), "clip", backward="yes")  # past the checker of types

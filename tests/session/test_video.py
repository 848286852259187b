"""Videos of a session: each frame is encoded once, read while an earlier one is segmented, and never kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from inspect import unwrap
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import torch
from support.networks import network, same_labels
from torch import Tensor

from guided_seg.data.images import read_image
from guided_seg.episode import Episode, Shot, collate
from guided_seg.errors import UserError
from guided_seg.model.video.motion import moved, within_reach
from guided_seg.model.video.previous_frame import Memory, certain
from guided_seg.session import NEGATIVE, Session
from guided_seg.session.films.ahead import AHEAD, ahead

FRAMES = 7


def moving(number: int = FRAMES, size: tuple[int, int] = (32, 40)) -> Iterator[np.ndarray]:
    """A bright square that moves to the right over noise."""
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 90, (*size, 3), np.uint8)
    for index in range(number):
        frame = ground.copy()
        frame[8:18, 2 * index : 2 * index + 10] = (250, 200, 30)
        yield frame


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "frames"
    path.mkdir()
    for index, frame in enumerate(moving()):
        cv2.imwrite(str(path / f"{index}.png"), frame[..., ::-1])
    return path


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (40, 32))
    for frame in moving():
        writer.write(frame[..., ::-1])
    writer.release()
    return path


@pytest.fixture
def session() -> Session:
    made = Session(network("prototypes"))
    made.add_label("square")
    return made


def annotate(session: Session, frame: str) -> None:
    session.dot(frame, 12, 4, "square")
    session.dot(frame, 28, 30, NEGATIVE)


@pytest.mark.parametrize("kind", ["folder", "film", "generator"])
def test_every_frame_is_encoded_once(kind: str, session: Session, request: pytest.FixtureRequest) -> None:
    session.add_video("clip", moving() if kind == "generator" else request.getfixturevalue(kind))
    if kind != "generator":
        annotate(session, session.frame("clip", 0))
    seen = []
    for index, labels in session.segment_video("clip"):
        seen.append(index)
        assert labels.shape == (32, 40)
        assert labels.dtype == np.uint8
        if kind == "generator" and index == 0:
            annotate(session, session.frame("clip", 0))
    assert seen == list(range(FRAMES))
    assert session.encodes == {"clip": FRAMES}
    # of all frames only the annotated one is still there
    assert session.images == ["clip#0"]


def test_a_frame_is_answered_as_an_image(session: Session, folder: Path) -> None:
    session.add_video("clip", folder)
    annotate(session, session.frame("clip", 0))
    alone = Session(network("prototypes"))
    alone.add_label("square")
    for index in range(FRAMES):
        alone.add_image(str(index), read_image(folder / f"{index}.png"))
    annotate(alone, "0")
    for index, labels in session.segment_video("clip"):
        assert (labels == alone.segment(str(index))).all()
    late = dict(session.segment_video("clip", start=5))
    assert list(late) == [5, 6]
    assert (late[6] == alone.segment("6")).all()


@pytest.mark.parametrize(
    ("name", "memory"),
    [
        ("fused", "map"),
        ("fused", "moved"),
        ("fused", "shot"),
        ("fused", "both"),
        ("prototypes", "shot"),
        ("early_mask_regression", "shot"),
    ],
)
def test_memory_is_what_the_network_is_told_of_the_frame_before(name: str, memory: Memory, folder: Path) -> None:
    session = Session(network(name))
    session.add_label("square")
    session.add_video("clip", folder)
    annotate(session, session.frame("clip", 0))
    frames = [torch.from_numpy(read_image(folder / f"{i}.png")).permute(2, 0, 1) / 255 for i in range(FRAMES)]
    first = Shot(frames[0], points=torch.tensor([[12, 4, 1], [28, 30, 0]]))
    blank = torch.zeros(32, 40, dtype=torch.uint8)
    earlier: tuple[Tensor, Tensor] | None = None
    for index, labels in session.segment_video("clip", memory=memory):
        shown, previous = [replace(first, is_query=index == 0)], None
        if earlier and memory in ("shot", "both"):
            shown.append(Shot(frames[index - 1], mask=earlier[1]))
        if earlier and memory in ("map", "both"):
            previous = earlier[0]
        if earlier and memory == "moved":
            pair = [read_image(folder / f"{number}.png") for number in (index - 1, index)]
            previous = torch.from_numpy(moved(earlier[0].numpy(), *pair))
        with torch.inference_mode():
            scores = network(name)(collate([Episode(frames[index], blank, shown, previous=previous)]))[0]
        if earlier and memory == "moved":
            assert previous is not None
            found = within_reach(scores.argmax(0).to(torch.uint8).numpy(), previous.numpy())
            assert (labels != found).mean() < 0.01  # of a few pixels two labels score alike
        else:
            assert same_labels(labels, scores)
        earlier = torch.from_numpy(labels.copy()), certain(scores)
        labels[:] = 9  # what is done with an answer is no concern of the next


def test_memory_is_forgotten_where_annotations_change(folder: Path) -> None:
    session = Session(network("fused"))
    session.add_label("square")
    session.add_video("clip", folder)
    annotate(session, session.frame("clip", 0))
    frames = session.segment_video("clip", memory="both")
    next(frames)
    session.dot(session.frame("clip", 0), 10, 6, "square")
    _, second = next(frames)
    assert (second == session.segment(session.frame("clip", 1))).all()


@pytest.mark.parametrize(
    ("name", "memory", "reason"),
    [
        ("prototypes", "map", "reads no map of an earlier answer .*; choose shot or none"),
        ("late_local", "shot", "guided by dots on the frame itself alone"),
        ("prototypes", "all", "memory=all: expected one of none, map, moved, shot, both"),
    ],
)
def test_a_memory_that_the_network_cannot_read_is_refused(name: str, memory: str, reason: str, folder: Path) -> None:
    session = Session(network(name))
    session.add_label("square")
    session.add_video("clip", folder)
    with pytest.raises(UserError, match=reason):
        next(unwrap(Session.segment_video)(session, "clip", memory=memory))  # past the checker of types


def test_corrections_hold_from_there_or_everywhere(session: Session, folder: Path) -> None:
    session.add_video("clip", folder)
    annotate(session, session.frame("clip", 0))
    before = dict(session.segment_video("clip"))
    session.dot(session.frame("clip", 4), 25, 35, "square")
    forward = dict(session.segment_video("clip", corrections="forward"))
    everywhere = dict(session.segment_video("clip"))
    changed = [index for index in before if (before[index] != forward[index]).any()]
    assert min(changed) >= 4
    assert changed
    assert any((before[index] != everywhere[index]).any() for index in range(4))
    for index in range(4, FRAMES):
        assert (forward[index] == everywhere[index]).all()


def test_a_dot_between_two_frames_and_a_new_object_hold_from_the_next(session: Session, folder: Path) -> None:
    session.add_video("clip", folder)
    annotate(session, session.frame("clip", 0))
    frames = session.segment_video("clip")
    assert set(np.unique(next(frames)[1])) <= {0, 1}
    session.dot(session.frame("clip", 0), 30, 2, session.add_label("corner"))
    assert 2 in np.unique(next(frames)[1])
    frames.close()
    assert session.images == ["clip#0"]


def test_what_is_undone_on_a_frame_that_has_passed_can_be_done_again(session: Session) -> None:
    session.add_video("camera", moving())
    frames = session.segment_video("camera")
    next(frames)
    annotate(session, session.frame("camera", 0))
    with_dots = session.segment("camera#0")
    assert session.undo()
    assert session.undo()
    next(frames)
    assert session.redo()
    assert session.redo()
    assert next(frames)[0] == 2
    assert (session.segment("camera#0") == with_dots).all()


def test_a_stream_gives_frames_once(session: Session) -> None:
    session.add_video("camera", moving())
    frames = session.segment_video("camera")
    next(frames)
    annotate(session, session.frame("camera", 0))
    assert next(frames)[0] == 1
    with pytest.raises(UserError, match="Frame 5 of a stream cannot be had: frames come once, and 2 have come"):
        session.frame("camera", 5)
    # the annotated one is kept
    assert session.segment("camera#0").shape == (32, 40)
    assert next(frames)[0] == 2


def test_a_video_that_breaks_off_says_so_after_what_there_is(session: Session, folder: Path) -> None:
    session.add_video("clip", folder)
    annotate(session, session.frame("clip", 0))
    (folder / "4.png").write_bytes((folder / "4.png").read_bytes()[:200])
    frames = session.segment_video("clip")
    assert [next(frames)[0] for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(UserError, match=r"4\.png"):
        next(frames)
    assert session.images == ["clip#0"]
    assert session.segment("clip#0").shape == (32, 40)
    session.undo()
    assert session.dots("clip#0") == [(12, 4, "square")]


def test_a_film_that_breaks_off(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (40, 32))
    for frame in moving(40):
        writer.write(frame[..., ::-1])
    writer.release()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    session.add_video("film", path)
    frames = session.segment_video("film")
    assert [next(frames)[0] for _ in range(10)] == list(range(10))
    with pytest.raises(UserError, match=r"breaks off after .* of 40 frames; those before are fine"):
        list(frames)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path / "none.mp4", "no video .*none.mp4"),
        (lambda path: path, "holds no frames; expected .jpg"),
        (lambda path: shutil.copy(__file__, path / "text.mp4"), "text.mp4 cannot be opened"),
    ],
)
def test_what_is_no_video_is_refused(session: Session, tmp_path: Path, make: object, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        session.add_video("clip", make(tmp_path))  # type: ignore[operator]
    assert session.videos == []


def test_frames_and_videos_that_are_not_there(session: Session, folder: Path) -> None:
    session.add_video("clip", folder)
    with pytest.raises(UserError, match="no frame 7; frames are counted from 0"):
        session.frame("clip", FRAMES)
    with pytest.raises(UserError, match="no video 'other'; there are: clip"):
        session.frame("other", 0)
    with pytest.raises(UserError, match="an image or video 'clip' already"):
        session.add_image("clip", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(UserError, match="corrections=later: expected all or forward"):
        next(unwrap(Session.segment_video)(session, "clip", corrections="later"))  # past the checker of types


def test_frames_are_read_ahead_but_not_far() -> None:
    taken: list[int] = []

    def read() -> Iterator[tuple[int, np.ndarray]]:
        for index in range(100):
            taken.append(index)
            yield index, np.zeros((1, 1, 3), np.uint8)

    frames = ahead(read())
    assert next(frames)[0] == 0
    frames.close()  # type: ignore[attr-defined]
    assert len(taken) <= AHEAD + 4


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_a_video(session: Session) -> None:
    """Each frame, with its features and scores, takes more than a megabyte."""
    session.add_video("long", moving(110, (240, 400)))
    frames = session.segment_video("long")
    process, sizes = psutil.Process(), []
    for index, _ in frames:
        if index == 0:
            annotate(session, session.frame("long", 0))
        if index >= 30:
            sizes.append(process.memory_info().rss)
    assert len(sizes) == 80
    assert max(sizes[-20:]) - max(sizes[:20]) < 10 * 2**20

"""A session on disk: work goes on tomorrow as if it had not stopped, or says what is missing."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.evaluations import FINDS, write_checkpoint
from support.networks import network

from guided_seg.episode import IGNORE, collate
from guided_seg.errors import UserError
from guided_seg.session import NEGATIVE, Session


def write_image(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (30, 36, 3), np.uint8))
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("network") / "best.ckpt", *FINDS)


@pytest.fixture
def work(checkpoint: Path, tmp_path: Path) -> tuple[Session, Path]:
    """A session about an image file, an array and a frame of a video, annotated in every way, and its folder."""
    folder = tmp_path / "work"
    session = Session.load(shutil.copy(checkpoint, tmp_path / "best.ckpt"))
    session.add_image("file", write_image(folder / "one.png", 1))
    session.add_image("array", np.random.default_rng(2).integers(0, 256, (20, 25, 3), np.uint8))
    for index in range(3):
        write_image(folder / "video" / f"{index}.png", 10 + index)
    session.add_video("clip", folder / "video")
    session.add_label("cup")
    session.add_label("plate")
    mask = np.zeros((20, 25))
    mask[3:9, 4:8] = 1
    session.mask("array", mask, "plate")
    session.dot("array", 4, 5, "cup")
    session.dot("file", 2, 3, NEGATIVE)
    session.dot("file", 22, 13, "cup")
    session.dot(session.frame("clip", 2), 9, 9, "plate")
    return session, folder


def answers(session: Session) -> dict[str, bytes]:
    return {name: labels.tobytes() for name, labels in session.segment_all()}


def test_it_goes_on_as_if_it_had_not_stopped(work: tuple[Session, Path]) -> None:
    session, folder = work
    again = Session.open(session.save(folder / "today.session"))
    assert again.labels == session.labels
    assert again.images == session.images == ["file", "array", "clip#2"]
    assert again.videos == ["clip"]
    assert {name: again.dots(name) for name in again.images} == {name: session.dots(name) for name in session.images}
    assert answers(again) == answers(session)
    assert not again.undo()
    again.dot("file", 5, 5, "plate")
    assert again.undo()
    assert answers(again) == answers(session)


def test_images_may_move_with_the_session(work: tuple[Session, Path], tmp_path: Path) -> None:
    session, folder = work
    expected = answers(session)
    session.save(folder / "today.session")
    folder.rename(tmp_path / "elsewhere")
    shutil.copy(tmp_path / "best.ckpt", tmp_path / "elsewhere")
    assert answers(Session.open(tmp_path / "elsewhere" / "today.session")) == expected


def test_another_network_may_take_over(work: tuple[Session, Path]) -> None:
    session, folder = work
    again = Session.open(session.save(folder / "today.session"), network=network("prototypes"))
    assert again.images == session.images
    assert again.segment("array").shape == (20, 25)


def test_pixels_that_can_be_had_again_are_not_stored(work: tuple[Session, Path]) -> None:
    session, folder = work
    with zipfile.ZipFile(session.save(folder / "today.session")) as file:
        assert sorted(file.namelist()) == ["images/1.png", "masks/1.png", "session.json"]
        assert json.loads(file.read("session.json"))["labels"] == ["cup", "plate"]


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda folder: write_image(folder / "one.png", 7), "'file' .* is not the one that was annotated; put the old"),
        (lambda folder: (folder / "one.png").unlink(), "one.png is not there any more"),
        (lambda folder: shutil.rmtree(folder / "video"), "video is not there any more"),
        (lambda folder: (folder.parent / "best.ckpt").unlink(), "best.ckpt is not there any more"),
        (lambda folder: (folder.parent / "best.ckpt").write_bytes(b"x"), "not the network that .* was saved with"),
        (lambda folder: (folder / "today.session").write_bytes(b"x"), "cannot be read as a session"),
        (lambda folder: (folder / "today.session").unlink(), "There is no session"),
    ],
)
def test_what_is_missing_or_changed_is_named(work: tuple[Session, Path], harm: object, sentence: str) -> None:
    session, folder = work
    session.save(folder / "today.session")
    harm(folder)  # type: ignore[operator]
    with pytest.raises(UserError, match=sentence):
        Session.open(folder / "today.session")


def test_a_file_of_another_version_is_refused(work: tuple[Session, Path]) -> None:
    session, folder = work
    path = session.save(folder / "today.session")
    with zipfile.ZipFile(path) as file:
        content = json.loads(file.read("session.json"))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("session.json", json.dumps({**content, "format": 99}))
    with pytest.raises(UserError, match="has the format 99 of sessions"):
        Session.open(path)


def test_without_a_checkpoint_the_network_must_be_given(tmp_path: Path) -> None:
    session = Session(network("late_global"))
    session.add_label("cup")
    path = session.save(tmp_path / "a.session")
    with pytest.raises(UserError, match="came from no checkpoint; give network="):
        Session.open(path)
    assert Session.open(path, network=network("late_global")).labels == [NEGATIVE, "cup"]


def test_an_image_that_changes_while_the_session_runs_is_refused_and_nothing_lost(work: tuple[Session, Path]) -> None:
    session, folder = work
    before = session.dots("file")
    write_image(folder / "one.png", 8)
    with pytest.raises(UserError, match=r"'file' .* changed since it was added; put the old file back"):
        session.segment("file")
    write_image(folder / "one.png", 1)
    assert session.dots("file") == before
    assert session.segment("file").shape == (30, 36)


def test_annotations_become_training_episodes(work: tuple[Session, Path]) -> None:
    session, _ = work
    episodes = list(session.episodes())
    assert [episode.meta["group"] for episode in episodes] == ["array", "file", "clip#2"]
    first = episodes[0]
    assert first.num_labels == 3
    assert first.target[4, 5] == 1  # the dot over the mask
    assert first.target[3, 4] == 2
    assert first.target[0, 0] == IGNORE
    assert [shot.is_query for shot in first.support] == [True, False, False]
    batch = collate(episodes)
    assert network("late_global")(batch).shape[:2] == (3, 3)

"""Ids that cannot be confused, and paths that stay the same files wherever the process goes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.evaluations import FINDS, write_checkpoint
from support.networks import network

import guided_seg
from guided_seg.errors import UserError
from guided_seg.release.load import checkpoint_file
from guided_seg.session import NEGATIVE, Session

PICTURE = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)


def session() -> Session:
    made = Session(network("prototypes"))
    made.add_label("it")
    return made


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("image", "v#0"), ("video", "v")),
        (("video", "v"), ("image", "v#0")),
        (("video", "v"), ("image", "v#99")),
        (("video", "v#1"), ("video", "v")),
        (("video", "v"), ("video", "v#1")),
        (("image", "v#0#1"), ("video", "v#0")),
        (("image", "v"), ("video", "v")),
    ],
)
def test_no_id_can_be_that_of_a_frame(first: tuple[str, str], second: tuple[str, str]) -> None:
    made = session()
    add = {"image": lambda name: made.add_image(name, PICTURE), "video": lambda name: made.add_video(name, [PICTURE])}
    add[first[0]](first[1])
    before = made.images, made.videos
    with pytest.raises(UserError, match=r"is the id of a frame|which is taken|already"):
        add[second[0]](second[1])
    assert (made.images, made.videos) == before


@pytest.mark.parametrize("name", ["v#", "v#a", "#", "w#0", "v0", "v#1 "])
def test_an_id_that_is_no_frame_s_is_free(name: str) -> None:
    made = session()
    made.add_video("v", [PICTURE])
    made.add_image(name, PICTURE)
    assert made.images == [name]


def test_a_camera_of_today_is_not_that_of_yesterday(tmp_path: Path) -> None:
    """Its annotated frames are kept, so its id is taken."""
    made = session()
    made.add_video("camera", [PICTURE])
    for index, _ in made.segment_video("camera"):
        made.dot(made.frame("camera", index), 1, 1, "it")
    again = Session.open(made.save(tmp_path / "a.session"), network=network("prototypes"))
    with pytest.raises(UserError, match="'camera#0', which is taken; choose another id"):
        again.add_video("camera", [PICTURE])


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, which is where the process is, with everything a session can be about, and an empty folder."""
    home = tmp_path / "home"
    (home / "frames").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for path in ("a.png", "frames/0.png", "frames/1.png"):
        cv2.imwrite(str(home / path), PICTURE)
    write_checkpoint(home / "best.ckpt", *FINDS)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.chdir(home)
    return tmp_path


@pytest.mark.parametrize("form", ["{}", "./{}", "~/{}", "../home/{}"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_stays_the_same_file_when_the_process_moves(
    work: Path, form: str, kind: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Session.load(kind(form.format("best.ckpt")))
    made.add_label("it")
    made.add_image("a", kind(form.format("a.png")))
    made.add_video("v", kind(form.format("frames")))
    made.dot(made.frame("v", 1), 2, 3, "it")
    monkeypatch.chdir(work / "elsewhere")
    expected = made.segment("a")
    assert len(list(made.segment_video("v"))) == 2
    saved = made.save(kind("~/a.session"))
    assert saved == work / "home" / "a.session"
    again = Session.open(kind("~/a.session"))
    assert again.images == ["a", "v#1"]
    assert np.array_equal(again.segment("a"), expected)


def test_a_network_may_be_in_the_home_folder(work: Path) -> None:
    assert checkpoint_file("~/best.ckpt") == work / "home" / "best.ckpt"
    assert not guided_seg.load("~/best.ckpt").training
    with pytest.raises(UserError, match=r"no checkpoint ~nobody-of-this-name/best.ckpt"):
        checkpoint_file("~nobody-of-this-name/best.ckpt")


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))], ids=["deep", "pickle"]
)
def test_a_session_can_be_copied_and_sent_to_a_process(work: Path, copied: Callable[[Session], Session]) -> None:
    made = session()
    made.add_image("a", PICTURE)
    made.add_video("v", work / "home" / "frames")
    made.dot(made.frame("v", 1), 2, 3, "it")
    other = copied(made)
    assert np.array_equal(other.segment("a"), made.segment("a"))
    other.dot("a", 1, 1, NEGATIVE)
    assert made.dots("a") == []
    assert len(list(other.segment_video("v"))) == 2


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize("ask", ["segment", "refined", "similarity"])
def test_a_session_that_has_answered_can_be_sent_to_a_process(ask: str) -> None:
    made = session()
    made.add_image("a", PICTURE)
    made.dot("a", 1, 1, "it")
    getattr(made, ask)(*("a", "it")[: 1 + (ask == "similarity")])
    other = pickle.loads(pickle.dumps(made))
    assert np.array_equal(other.refined("a"), made.refined("a"))


def test_a_frame_that_changed_on_disk_is_refused(work: Path) -> None:
    """Its kept features are of other pixels, perhaps of another size."""
    made = session()
    made.add_video("v", work / "home" / "frames")
    made.dot(made.frame("v", 1), 2, 3, "it")
    made.segment("v#1")
    cv2.imwrite(str(work / "home" / "frames" / "1.png"), PICTURE[:9])
    frames = made.segment_video("v")
    assert next(frames)[0] == 0
    with pytest.raises(UserError, match=r"'v#1' .* changed since it was added"):
        next(frames)
    assert made.dots("v#1") == [(2, 3, "it")]


def test_a_pass_that_is_interrupted_leaves_nothing_behind(work: Path) -> None:
    made = session()
    made.add_video("v", work / "home" / "frames")
    frames = made.segment_video("v")
    next(frames)
    with pytest.raises(KeyboardInterrupt):
        frames.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    assert made.images == []
    assert len(list(made.segment_video("v"))) == 2


def test_a_frame_that_only_passes_is_not_saved(work: Path) -> None:
    made = session()
    made.add_video("v", work / "home" / "frames")
    for index, _ in made.segment_video("v"):
        made.save(work / "a.session")
        assert Session.open(work / "a.session", network=network("prototypes")).images == []
        if index == 1:
            made.dot(made.frame("v", 1), 2, 3, "it")
            made.save(work / "a.session")
    assert Session.open(work / "a.session", network=network("prototypes")).images == ["v#1"]

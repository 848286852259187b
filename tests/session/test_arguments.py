"""Every argument of a session is normalised, or refused where it is given, and then nothing has changed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from jaxtyping import config
from support.networks import network

from guided_seg.errors import UserError
from guided_seg.session import NEGATIVE, Session

SIZE = (30, 36)
NO_NUMBERS = (3.0, 3.7, float("nan"), True, np.bool_(True), "3", None, [3], np.array([1, 2]), torch.tensor([1, 2]))
NO_IDS = (5, np.int64(5), Path("a"), None, b"a", ["a"], {"a"}, float("nan"), np.zeros(2))
NO_LABELS = ("6", "plate", 2, -1, np.int64(7), 1.0, True, None, ["cup"], np.zeros(3))


@pytest.fixture(autouse=True)
def _as_users_run_it() -> Iterator[None]:
    """Without the checker of types that the tests have."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", before)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("frames")
    for index in range(3):
        cv2.imwrite(str(path / f"{index}.png"), picture(index))
    return path


@pytest.fixture
def session(folder: Path) -> Session:
    return made(folder)


@pytest.fixture(scope="module")
def unchanged(folder: Path) -> Session:
    """One for all that must not change it."""
    return made(folder)


def made(folder: Path) -> Session:
    session = Session(network("prototypes"))
    session.add_image("a", picture())
    session.add_video("v", folder)
    session.add_label("cup")
    session.dot("a", 1, 2, "cup")
    return session


def state(session: Session) -> tuple[Any, ...]:
    dots = {name: session.dots(name) for name in session.images}
    return session.labels, session.images, session.videos, dots, session.annotation("a")[0] is None


def call(session: Session, method: str, *arguments: Any) -> Any:
    """Past mypy, to which what is tried here is wrong."""
    return getattr(session, method)(*arguments)


def calls() -> list[tuple[str, tuple[Any, ...]]]:
    """Methods with an argument that makes no sense."""
    mask = np.zeros(SIZE, bool)
    found: list[tuple[str, tuple[Any, ...]]] = []
    for bad in NO_IDS:
        found += [("dots", (bad,)), ("picture", (bad,)), ("annotation", (bad,)), ("segment", (bad,))]
        found += [("dot", (bad, 1, 1, "cup")), ("move", (bad, (1, 2), (3, 3))), ("remove", (bad, 1, 2))]
        found += [("mask", (bad, mask, "cup")), ("frame", (bad, 0)), ("segment_video", (bad,))]
        found += [("add_image", (bad, picture())), ("add_video", (bad, [picture()])), ("add_label", (bad,))]
        found += [("clear", (bad,))] if bad is not None else []
        found.append(("follow", (bad,)))
    for bad in NO_NUMBERS:
        found += [("dot", ("a", bad, 1, "cup")), ("dot", ("a", 1, bad, "cup")), ("remove", ("a", bad, 1))]
        found += [("move", ("a", (1, bad), (3, 3))), ("move", ("a", (1, 2), (bad, 3))), ("frame", ("v", bad))]
        found += [("segment_video", ("v", bad)), ("segment_all", (bad,)), ("warm_up", (bad, 8)), ("warm_up", (8, bad))]
    for bad in (-1, np.int64(-1), 10**30):
        found += [("dot", ("a", bad, 1, "cup")), ("frame", ("v", bad)), ("remove", ("a", 0, bad))]
    found += [("segment_video", ("v", -1)), ("segment_all", (0,)), ("warm_up", (0, 8))]
    for bad in NO_LABELS:
        found += [("dot", ("a", 1, 1, bad)), ("mask", ("a", mask, bad))]
    for bad in ((1,), (1, 2, 3), 4, None, "12", {}):
        found += [("move", ("a", bad, (1, 1))), ("move", ("a", (1, 2), bad))]
    masks = [np.full(SIZE, value) for value in ("x", None, np.nan, 1j)]
    for bad in (*masks, [[1], [1, 2]], None, mask[None], mask.T):
        found.append(("mask", ("a", bad, "cup")))
    for bad in ("later", None, 3, np.zeros(2)):
        found += [("segment_video", ("v", 0, bad)), ("segment_video", ("v", 0, "all", bad))]
    for bad in ("", "a", "v", "v#0", "v#7"):
        found += [("add_image", (bad, picture())), ("add_video", (bad, [picture()]))]
    found += [("add_label", (bad,)) for bad in ("", NEGATIVE, "cup")]
    return found


@pytest.mark.parametrize(("method", "arguments"), calls())
def test_what_makes_no_sense_is_refused_at_once_and_changes_nothing(
    unchanged: Session, method: str, arguments: tuple[Any, ...]
) -> None:
    session, before = unchanged, state(unchanged)
    with pytest.raises(
        UserError, match=r"expected|There is|is the id of|lies outside|mask|no frame|is an empty string"
    ):
        call(session, method, *arguments)
    assert state(session) == before


IMAGES = {
    "float": (picture() / 255, r"float64 .*round\(\).astype\(numpy.uint8\)"),
    "channels first": (picture().transpose(2, 0, 1), "put the channels last"),
    "tensor": (torch.zeros(3, 8, 8), "put the channels last"),
    "alpha": (np.zeros((8, 8, 4), np.uint8), r"image\[\.\.\., :3\]"),
    "grey": (np.zeros((8, 8), np.uint8), "grey becomes"),
    "16 bits": (np.zeros((8, 8, 3), np.uint16), "image / 257"),
    "several": (np.zeros((2, 8, 8, 3), np.uint8), "add_video"),
    "none": (None, "None"),
    "ragged": ([[1], [1, 2]], "numpy cannot read"),
    "gradient": (torch.zeros(8, 8, 3, requires_grad=True), "numpy cannot read"),
    "bytes": (b"a.jpg", "expected a path"),
    "address": ("https://example.org/a.jpg", "not fetched"),
    "empty": ("", "names no file"),
    "zero byte": ("a\0.jpg", "names no file"),
    "folder": (".", "."),
    "too long": ("x" * 5000, "."),
}


@pytest.mark.parametrize("kind", IMAGES)
def test_what_is_no_image_is_refused_with_the_cure(session: Session, kind: str) -> None:
    before, (image, sentence) = state(session), IMAGES[kind]
    with pytest.raises(UserError, match=sentence):
        call(session, "add_image", "new", image)
    if isinstance(image, (np.ndarray, torch.Tensor)):
        call(session, "add_video", "stream", [image])
        with pytest.raises(UserError, match=r"frame 0 .*expected uint8|numpy cannot read"):
            next(session.segment_video("stream"))
        before = (*before[:2], ["v", "stream"], *before[3:])
    assert state(session) == before


@pytest.mark.parametrize(
    ("video", "sentence"),
    [
        (0, "For a camera give a generator"),
        (None, "iterable of frames"),
        (b"a.mp4", "expected a path"),
        ("rtsp://camera/1", "not fetched"),
        ("x" * 5000, "."),
        ({}, "iterable of frames"),
    ],
)
def test_what_is_no_video_is_refused_with_the_cure(unchanged: Session, video: Any, sentence: str) -> None:
    session, before = unchanged, state(unchanged)
    with pytest.raises(UserError, match=sentence):
        call(session, "add_video", "new", video)
    assert state(session) == before


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ({"device": "gpu"}, "device=gpu cannot be used here"),
        ({"device": "cuda:99"}, "device=cuda:99 cannot be used here"),
        ({"device": None}, "device=None cannot be used here"),
        ({"precision": "fp16"}, "precision=fp16: expected"),
        ({"precision": 16}, "precision=16 "),
        ({"cache_mb": "1024"}, "'1024' .*number of megabytes"),
        ({"cache_mb": -1}, "number of megabytes"),
        ({"cache_mb": float("nan")}, "number of megabytes"),
        ({"cache_mb": float("inf")}, "number of megabytes"),
        ({"cache_mb": True}, "number of megabytes"),
        ({"compiled": "no"}, "True or False"),
    ],
)
def test_settings_are_checked_before_a_network_is_loaded(named: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        Session(network("prototypes"), **named)
    # neither is there, which is not what is said
    with pytest.raises(UserError, match=sentence):
        Session.load(tmp_path / "none.ckpt", **named)
    with pytest.raises(UserError, match=sentence):
        Session.open(tmp_path / "none.session", **named)


def test_a_name_is_no_network() -> None:
    with pytest.raises(UserError, match=r"'guided-lite0' .*Session\.load"):
        Session("guided-lite0")  # type: ignore[arg-type]


def test_a_reading_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match="reading=both: expected native or one_vs_rest"):
        Session.load("guided-lite0", reading="both")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [int, np.int64, np.uint8, torch.tensor], ids=["int", "int64", "uint8", "tensor"])
def test_integers_of_any_kind_are_taken(session: Session, kind: Callable[[int], Any], tmp_path: Path) -> None:
    name = call(session, "frame", "v", kind(1))
    call(session, "dot", name, kind(5), kind(6), kind(1))
    call(session, "move", name, (kind(5), kind(6)), (kind(7), kind(8)))
    assert [index for index, _ in call(session, "segment_video", "v", kind(1))] == [1, 2]
    with zipfile.ZipFile(session.save(tmp_path / "a.session")) as file:
        saved = json.loads(file.read("session.json"))["images"][1]
    assert saved["frame"] == ["v", 1]
    assert saved["dots"] == [[7, 8, 1]]


def test_a_number_that_segment_gave_names_a_label(session: Session) -> None:
    session.add_label("1")  # a name is text, so it is another label than the number 1
    number = session.segment("a").max()
    assert isinstance(number, np.uint8)
    for row, label in enumerate((0, 1, 2, "1", number)):
        call(session, "dot", "a", row, 9, label)
    assert [label for row, column, label in session.dots("a") if column == 9] == [
        *(NEGATIVE, "cup", "1", "1"),
        session.labels[number],
    ]
    mask = np.zeros(SIZE, bool)
    mask[20:] = True
    call(session, "mask", "a", mask, np.int32(2))
    painted = session.annotation("a")[0]
    assert painted is not None
    assert (painted[20:] == 2).all()


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_masks_of_bools_and_numbers_are_taken(session: Session, kind: type) -> None:
    mask = np.zeros(SIZE, kind)
    mask[2:5] = 1
    session.mask("a", mask, "cup")
    painted = session.annotation("a")[0]
    assert painted is not None
    assert np.array_equal(painted == 1, mask != 0)


def test_the_list_of_labels_is_a_copy(session: Session) -> None:
    session.labels.append("plate")
    assert session.labels == [NEGATIVE, "cup"]


def test_a_message_lists_few_of_many_names(session: Session) -> None:
    for index in range(30):
        session.add_image(f"image {index}", picture())
    with pytest.raises(UserError, match=r"image 8 and 21 more\.$"):
        session.dots("other")

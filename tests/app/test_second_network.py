"""A second network beside the first: it answers the same dots, whatever was done to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.networks import network
from support.pages import Page, picture

from guided_seg.app.desk import Desk
from guided_seg.session import Session
from guided_seg.session.session import Model

FIRST, SECOND = "late_global", "prototypes"


class Pair:
    """A desk with two networks and its page.

    Attributes:
        expected: a session with the second network alone, changed in the same way from Python.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk, self.page, self.n = desk, Page(), 0
        desk.connect(self.page)
        self.expected = Session(network(SECOND))
        for name in desk.session.images:
            self.expected.add_image(name, desk.pixels(name))
        self.expected.add_label("object")

    def tell(self, do: str, **content: Any) -> int:
        self.n += 1
        self.desk.receive(json.dumps({"n": self.n, "do": do, **content}))
        self.desk.wait_for(lambda _: None)
        return self.n

    def dot(self, image: str, row: int, column: int, label: int) -> None:
        self.tell("dot", image=image, row=row, column=column, label=label)
        self.expected.dot(image, row, column, label)

    def other(self, image: str) -> np.ndarray:
        """What the second network says."""
        answer = self.page.of("mask", n=self.tell("other", image=image), of="other")
        assert (answer["image"], answer["ms"] >= 0) == (image, True)
        return np.asarray(answer["pixels"])

    def agrees(self, image: str) -> bool:
        return np.array_equal(self.other(image), self.expected.segment(image))


@pytest.fixture
def pair(make_desk: Callable[..., Desk]) -> Iterator[Pair]:
    made = Pair(make_desk(composition=FIRST, compare=SECOND))
    made.dot("a", 5, 6, 1)
    made.dot("a", 30, 40, 0)
    yield made
    made.desk.disconnect(made.page)


def test_the_state_names_both(pair: Pair) -> None:
    state = pair.page.of("state")
    names = [type(network(name)).__name__ for name in (FIRST, SECOND)]
    assert (state["model"], state["other"]) == (f"A: {names[0]}", f"B: {names[1]}")


@pytest.mark.parametrize("file", ["late/checkpoints/last.ckpt", "late/weights.safetensors"])
def test_a_network_is_called_by_the_folder_of_its_run_or_release(pair: Pair, file: str) -> None:
    pair.desk.session.model = Model(Path("/nowhere") / file, "", "native")
    pair.page.received.clear()
    pair.desk.say_state()
    assert pair.page.of("state")["model"] == "late"
    pair.desk.session.model = None


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("late/checkpoints/best.ckpt", "early/checkpoints/best.ckpt"), ("late", "early")),
        (("late/checkpoints/best.ckpt", "late/checkpoints/last.ckpt"), ("late/best", "late/last")),
        (("late/weights.safetensors", "late/weights.safetensors"), ("A: late/weights", "B: late/weights")),
    ],
)
def test_two_networks_have_different_names(
    pair: Pair, files: tuple[str, str], expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for session, file in zip((pair.desk.session, pair.desk._replies._other), files, strict=True):
        monkeypatch.setattr(session, "model", Model(Path("/nowhere") / file, "", "native"))
    pair.page.received.clear()
    pair.desk.say_state()
    state = pair.page.of("state")
    assert (state["model"], state["other"]) == expected
    monkeypatch.undo()


def test_it_answers_the_same_dots_with_its_own_network(pair: Pair) -> None:
    assert all(pair.agrees(name) for name in ("a", "c"))
    first = pair.desk.wait_for(lambda session: session.segment("a"))
    assert not np.array_equal(pair.other("a"), first), "the networks differ"


def test_it_follows_every_change(pair: Pair) -> None:
    pair.dot("c", 7, 7, 0)
    assert pair.agrees("a")
    pair.tell("move", image="a", start=[5, 6], end=[8, 9])
    pair.expected.move("a", (5, 6), (8, 9))
    assert pair.agrees("c")
    pair.tell("scribble", image="c", points=[[3, 3], [3, 40]], label=1)
    pair.expected.scribble("c", [(3, 3), (3, 40)], 1)
    assert pair.agrees("a")
    for do in ("undo", "undo", "redo"):
        pair.tell(do)
        getattr(pair.expected, do)()
        assert pair.agrees("c"), do
    pair.tell("clear", image="c")
    pair.expected.clear("c")
    assert pair.agrees("c")


def test_it_follows_labels_masks_and_uploads(pair: Pair) -> None:
    pair.other("a")
    pair.tell("label", name="two")
    pair.expected.add_label("two")
    pair.dot("a", 20, 20, 2)
    assert pair.agrees("a")
    pair.tell("paint", image="c", label=2, runs="ZAAAAMgAAAD0BgAA")  # 100 off, 200 on, 1780 off
    mask = np.zeros(40 * 52, bool)
    mask[100:300] = True
    pair.expected.mask("c", mask.reshape(40, 52), 2)
    assert pair.agrees("a")
    pair.desk.wait_for(lambda session: session.add_image("new", picture(77)))
    pair.expected.add_image("new", picture(77))
    assert pair.agrees("new")


def test_it_follows_frames_also_of_a_video_that_plays(pair: Pair, photos: Any) -> None:
    pair.expected.add_video("clip", photos / "clip")
    pair.tell("frame", video="clip", index=2)
    pair.expected.frame("clip", 2)
    pair.tell("play", video="clip", memory="shot")
    pair.dot("clip#2", 1, 1, 1)
    assert pair.agrees("clip#2")
    assert pair.agrees("a")


@pytest.mark.parametrize(
    "message",
    [
        {"do": "dot", "image": "a", "row": 99, "column": 1, "label": 1},
        {"do": "dot", "image": "a", "row": 1, "column": 1, "label": 7},
        {"do": "label", "name": "object"},
        {"do": "paint", "image": "a", "label": 1, "runs": "AAAA"},
        {"do": "other", "image": "nobody"},
    ],
    ids=lambda message: message["do"],
)
def test_what_is_refused_changes_neither(pair: Pair, message: dict[str, Any]) -> None:
    pair.tell(**message)
    assert pair.page.of("error", n=pair.n)["text"]
    assert pair.agrees("a")


def test_a_desk_that_is_opened_again_has_both(make_desk: Callable[..., Desk], pair: Pair) -> None:
    before = pair.other("c")
    pair.desk.end()
    again = Pair(make_desk(composition=FIRST, compare=SECOND))
    assert np.array_equal(again.other("c"), before)


def test_nothing_is_claimed_before_the_first_dot(make_desk: Callable[..., Desk]) -> None:
    assert not Pair(make_desk(compare=SECOND)).other("a").any()


def test_without_a_second_network_there_is_none(desk: Desk, page: Page) -> None:
    assert page.of("state")["other"] is None
    desk.receive(json.dumps({"n": 5, "do": "other", "image": "a"}))
    assert "compare=CHECKPOINT" in page.of("error", n=5)["text"]

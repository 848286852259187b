"""Any sequence of messages: no crash, no wrong mask, and nothing lost."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.networks import network
from support.pages import Page, picture

from guided_seg.app.desk import Desk
from guided_seg.errors import UserError
from guided_seg.session import Session

NAMES = ("a", "b")
SIZE = (24, 30)

images = st.sampled_from([*NAMES, "nobody"])
rows, columns, labels = st.integers(0, SIZE[0]), st.integers(0, SIZE[1]), st.integers(0, 3)
nonsense = st.sampled_from(["", "{", "null", "[]", '{"do": "dot"}', '{"n": 1, "do": "dance"}', "\x00"]) | st.text()


def session_with_photos() -> Session:
    session = Session(network("late_global"))
    for number, name in enumerate(NAMES):
        session.add_image(name, picture(number, SIZE))
    session.add_label("object")
    return session


class Messages(RuleBasedStateMachine):
    """A desk beside a session that is changed in the same way from Python."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.file = Path(self.folder.name) / "main.session"
        self.model = session_with_photos()
        self.n = 0
        self._open(session_with_photos())

    def _open(self, session: Session) -> None:
        self.desk, self.page = Desk("main", session, self.file, Lock(), self._reopen), Page()
        self.desk.connect(self.page)
        self.page.of("state")
        self.visible: str | None = None

    @staticmethod
    def _reopen(file: Path) -> Session:
        return Session.open(file, network=network("late_global"))

    def tell(self, do: str, **content: Any) -> int:
        self.n += 1
        self.desk.receive(json.dumps({"n": self.n, "do": do, **content}))
        self.desk.wait_for(lambda _: None)
        return self.n

    def change(self, do: str, change: Any, **content: Any) -> None:
        """A change that both take, or both refuse in the same words."""
        refused = self.result_or_refusal(lambda: (change(), None)[1])
        n = self.tell(do, **content)
        said = [each["text"] for each in self.page.received if each["type"] == "error" and each["n"] == n]
        assert said == ([] if refused is None else [refused])

    @staticmethod
    def result_or_refusal(job: Callable[[], Any]) -> Any:
        """What a job returns, or the sentence with which it refuses."""
        try:
            return job()
        except UserError as error:
            return str(error)

    @rule(image=images, row=rows, column=columns, label=labels)
    def dot(self, image: str, row: int, column: int, label: int) -> None:
        self.change(
            "dot", lambda: self.model.dot(image, row, column, label), image=image, row=row, column=column, label=label
        )

    @rule(image=images, row=rows, column=columns)
    def remove(self, image: str, row: int, column: int) -> None:
        self.change("remove", lambda: self.model.remove(image, row, column), image=image, row=row, column=column)

    @precondition(lambda self: self.model.annotated)
    @rule(data=st.data(), row=rows, column=columns)
    def move(self, data: st.DataObject, row: int, column: int) -> None:
        image = data.draw(st.sampled_from(self.model.annotated))
        start = data.draw(st.sampled_from([dot[:2] for dot in self.model.dots(image)] or [(0, 0)]))
        end = (row, column)
        self.change("move", lambda: self.model.move(image, start, end), image=image, start=start, end=end)

    @rule(image=st.none() | images)
    def clear(self, image: str | None) -> None:
        self.change("clear", lambda: self.model.clear(image), image=image)

    @rule()
    def undo(self) -> None:
        self.change("undo", self.model.undo)

    @rule()
    def redo(self) -> None:
        self.change("redo", self.model.redo)

    @rule(name=st.sampled_from(["object", "two", "three"]))
    def label(self, name: str) -> None:
        self.change("label", lambda: self.model.add_label(name), name=name)

    @rule(text=nonsense)
    def say_nonsense(self, text: str) -> None:
        before = len(self.page.received)
        self.desk.receive(text)
        assert self.page.received[before]["type"] == "error"

    @rule(image=images, row=rows, column=columns, label=labels)
    def hover(self, image: str, row: int, column: int, label: int) -> None:
        self.n += 1
        n = self.n
        self.desk.receive(
            json.dumps({"n": n, "do": "hover", "image": image, "row": row, "column": column, "label": label})
        )
        answer = self.page.wait(lambda each: each.get("n") == n)
        expected = self.result_or_refusal(lambda: self.model.preview(image, row, column, label))
        assert np.array_equal(answer["text"] if isinstance(expected, str) else answer["pixels"], expected)

    @rule(image=st.sampled_from(NAMES))
    def look(self, image: str) -> None:
        n = self.tell("look", image=image)
        answer = self.page.of("mask", n=n)
        if self.model.annotated:
            assert np.array_equal(answer["pixels"], self.model.segment(image))
        else:
            assert not answer["pixels"].any()

    @rule()
    def close_and_open_again(self) -> None:
        self.desk.end()
        if self.file.exists():
            self._open(self._reopen(self.file))
            self.model.forget_history()  # as saved sessions do
        else:  # nothing was ever changed
            self._open(session_with_photos())

    @invariant()
    def both_have_the_same_dots(self) -> None:
        found = self.desk.wait_for(lambda session: [session.dots(name) for name in NAMES])
        assert found == [self.model.dots(name) for name in NAMES]
        assert self.desk.session.labels == self.model.labels

    def teardown(self) -> None:
        self.desk.end()
        self.folder.cleanup()


TestMessages = Messages.TestCase
TestMessages.settings = settings(max_examples=12, stateful_step_count=20, deadline=None, derandomize=True)

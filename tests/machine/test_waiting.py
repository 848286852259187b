"""What takes long shows on a terminal that it goes on, and nowhere else."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import redirect_stderr

import numpy as np
import pytest

import guided_seg
from guided_seg.machine import waiting
from guided_seg.session import Session


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(waiting, "SHOW_AFTER", 0.0)


def slow() -> None:
    with waiting.waiting("Something [slow]"):
        time.sleep(0.2)


def first_answer() -> None:
    session = Session.load("guided-lite0")
    session.add_image("cat", np.zeros((64, 64, 3), np.uint8))
    session.add_label("it")
    session.segment("cat")


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (slow, ["Something [slow] ..."]),
        (lambda: guided_seg.load("guided-lite0"), ["Loading guided-lite0 ..."]),
        (first_answer, ["Loading guided-lite0 ...", "Segmenting cat ..."]),
    ],
    ids=["anything", "a network", "a session"],
)
def test_a_terminal_shows_that_it_goes_on(act: Callable[[], None], words: list[str]) -> None:
    with redirect_stderr(Terminal()) as terminal:
        act()
    for word in words:
        assert word in terminal.getvalue()


def test_what_is_quick_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SHOW_AFTER", 60.0)
    with redirect_stderr(Terminal()) as terminal:
        slow()
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("file", [io.StringIO(), None], ids=["a file", "no stderr at all, as on Windows"])
def test_what_is_no_terminal_stays_empty(file: io.StringIO | None) -> None:
    with redirect_stderr(file):
        slow()
    assert file is None or file.getvalue() == ""


def test_an_error_passes_and_ends_the_word() -> None:
    with redirect_stderr(Terminal()) as terminal, pytest.raises(ZeroDivisionError), waiting.waiting("Dividing"):
        1 / 0  # noqa: B018
    shown = terminal.getvalue()
    time.sleep(0.2)
    assert terminal.getvalue() == shown

"""The progress bar of the batch command, on a terminal and elsewhere."""

from __future__ import annotations

import re
from functools import partial
from io import StringIO

import pytest
from rich.console import Console

from guided_seg.formats.saving import Step
from guided_seg.segment import progress


def shown(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> str:
    out = StringIO()

    def console(stderr: bool, **more: bool) -> Console:
        assert stderr
        return Console(file=out, force_terminal=terminal, width=100, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(progress, "Console", partial(console))
    with progress.Bar() as bar:
        bar(Step(1, 4, "a"))
        bar(Step(2, 4, "b", "it is [broken]"))
        bar(Step(3, 4, "c"))
        bar.say("a sentence")
        bar.elsewhere(3, 4)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())


def test_a_terminal_shows_how_many_are_done_and_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(True, monkeypatch)
    assert "left out: b: it is [broken]\n" in text
    assert "a sentence\n" in text
    assert "3/4" in text
    assert "Segmenting on Ray" in text


def test_a_log_has_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(False, monkeypatch) == "left out: b: it is [broken]\na sentence\n"

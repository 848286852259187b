"""The command guided-seg app, and guided-seg with the name of another command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.commands import call
from support.processes import ended

from guided_seg import __main__ as entry
from guided_seg.app import __main__ as app


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["/nowhere/photos"], "There is no /nowhere/photos"),
        (["port=99999"], "port=99999: expected a whole number from 0 to 65535."),
        (["prot=1"], "did you mean port?"),
        (["limits.frames=0"], "limits.frames=0: expected a whole number from 1"),
        (["checkpoint=nobody", "port=0", "open=false"], "There is no checkpoint nobody"),
        (["compare=nobody", "port=0", "open=false"], "There is no checkpoint nobody"),
    ],
)
def test_what_cannot_be_opened_is_refused(words: list[str], expected: str, tmp_path: Path) -> None:
    done = call("app.__main__", *words, f"state={tmp_path / 'state'}", folder=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_looks_like_a_setting_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b").mkdir()
    assert app.split(["a=b", "c=d", "-m", "x.jpg", "-c", "job"]) == (["a=b", "x.jpg"], ["c=d", "-m", "-c", "job"])


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "NEEDED", ("fastapi", "no_such_package"))
    done = call("app.__main__", folder=tmp_path)
    assert done.returncode == 2
    assert "pip install 'guided_seg[app]'" in done.stderr


@pytest.mark.parametrize("name", entry.COMMANDS)
def test_guided_seg_calls_each_command_by_its_name(name: str) -> None:
    done = ended(sys.executable, "-m", "guided_seg", name, "--help", limit=60)
    assert done.returncode == 0, done.stderr
    assert f"guided_seg.{entry.COMMANDS[name].removeprefix('guided_seg.').removesuffix('.__main__')}" in done.stdout


def test_without_a_name_it_is_run() -> None:
    done = ended(sys.executable, "-m", "guided_seg", "--help", limit=60)
    assert "python -m guided_seg.run" in done.stdout

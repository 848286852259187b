"""The command guided-seg app, and guided-seg with the name of another command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from support.commands import call
from support.pages import picture
from support.processes import ended

from guided_seg import __main__ as entry
from guided_seg.app import __main__ as app
from guided_seg.app.running import Opening
from guided_seg.release.load import checkpoint_file
from guided_seg.session import Session


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


@pytest.mark.parametrize("asked", [None, "guided-lite0"])
def test_a_saved_session_keeps_its_network_unless_another_is_asked_for(tmp_path: Path, asked: str | None) -> None:
    checkpoint = next((Path(__file__).parents[1] / "old").glob("*.ckpt"))
    session = Session.load(checkpoint)
    session.add_image("a", picture(1))
    saved = session.save(tmp_path / "a.session")
    with initialize_config_module("guided_seg.conf", version_base="1.3"):
        cfg = compose("app", [f"checkpoint={asked or 'null'}", f"state={tmp_path / 'state'}"])
    desk = Opening(cfg, [saved]).desk("main")
    desk.wait_for(lambda session: session.dot("a", 1, 1, 1))
    desk.end()
    model = Session.open(saved).model
    assert model is not None
    assert model.checkpoint.resolve() == (checkpoint if asked is None else checkpoint_file(asked))


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

"""What is noted of the machine and the code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.processes import ended

from guided_seg.machine.environment import environment, git_state, hidden


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    assert ended("git", "-C", folder, *who, *words, limit=60).returncode == 0


def test_the_state_of_the_code_is_its_commit_and_whether_it_was_changed(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "a.py").write_text("1")
    assert git_state(code) is None
    git(tmp_path, "init", "-q")
    assert git_state(code) is None, "nothing of it is in the repository, as of an environment inside of one"
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    clean = git_state(code)
    assert clean is not None
    assert (len(clean["commit"]), clean["dirty"]) == (40, False)
    (code / "b.py").touch()
    assert git_state(code) == clean, "a file that is not tracked"
    (code / "a.py").write_text("2")
    assert git_state(code) == clean | {"dirty": True}


def test_without_git_there_is_no_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(Path(__file__).parent) is None


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("+logger.wandb.api_key=12ab=", "+logger.wandb.api_key=***"),
        ("--token=12ab", "--token=***"),
        ("HF_TOKEN=a\nb", "HF_TOKEN=***"),
        ("data.root=s3://me:12ab@host/a@b", "data.root=s3://***@host/a@b"),
        ("data.root=~/data", "data.root=~/data"),
        ("name=keys", "name=keys"),
    ],
)
def test_secrets_are_hidden(word: str, expected: str) -> None:
    assert hidden(word) == expected


def test_variables_are_not_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_VARIABLE", "5e5a3e")
    monkeypatch.setattr(sys, "argv", ["run", "wandb.key=5e5a3e"])
    found = environment()
    assert found["command"] == ["run", "wandb.key=***"]
    assert "5e5a3e" not in str(found)

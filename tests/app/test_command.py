"""The command guided-seg app, and guided-seg with the name of another command."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from support.archives import write_image
from support.commands import call
from support.pages import picture
from support.processes import ended

from guided_seg import __main__ as entry
from guided_seg.app import __main__ as app
from guided_seg.app.opening import check_openable
from guided_seg.app.running import Opening
from guided_seg.errors import UserError
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
        (["checkpoint=notes.ckpt", "port=0", "open=false"], "notes.ckpt cannot be read as a checkpoint"),
        (["device=elephant", "port=0", "open=false"], "elephant"),
    ],
)
def test_what_cannot_be_opened_is_refused_before_an_address_is_printed(
    words: list[str], expected: str, tmp_path: Path
) -> None:
    (tmp_path / "notes.ckpt").write_text("no network")
    done = call("app.__main__", *words, f"state={tmp_path / 'state'}", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def nothing_inside(folder: Path) -> None:
    folder.mkdir()


def notes_inside(folder: Path) -> None:
    (folder / "notes").mkdir(parents=True)
    (folder / "notes.txt").write_text("no image")


def broken_inside(folder: Path) -> None:
    folder.mkdir()
    for name in ("a.jpg", "b.mp4"):
        (folder / name).write_bytes(b"no image")


def links_inside(folder: Path) -> None:
    folder.mkdir()
    (folder / "a.jpg").symlink_to(write_image(folder.parent / "outside.jpg", 9, 9))


def a_text(path: Path) -> None:
    path.write_text("no image")


def a_session_of_lost_images(path: Path) -> None:
    image = write_image(path.parent / "lost.jpg", 40, 40)
    session = Session.load("guided-lite0")
    session.add_image("lost", image)
    session.save(path)
    image.unlink()


@pytest.mark.parametrize(
    ("make", "name", "expected"),
    [
        (nothing_inside, "photos", "holds nothing to show; expected images"),
        (notes_inside, "photos", "holds nothing to show; expected images"),
        (broken_inside, "photos", "a.jpg is not an image"),
        (links_inside, "photos", "outside of what was opened"),
        (a_text, "notes.txt", "notes.txt is not an image"),
        (a_text, "today.session", "today.session cannot be read as a session"),
        (a_session_of_lost_images, "today.session", "lost.jpg"),
    ],
)
def test_paths_with_nothing_to_open_are_refused_before_anything_starts(
    make: Callable[[Path], None], name: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / name)
    monkeypatch.setattr("webbrowser.open", lambda _: pytest.fail("the browser was opened"))
    monkeypatch.setattr("guided_seg.app.running.listen", lambda *_: pytest.fail("the server was started"))
    done = call("app.__main__", name, "port=0", f"state={tmp_path / 'state'}", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert expected in done.stderr
    assert not (tmp_path / "state").exists()


def test_an_empty_folder_is_refused_beside_photos(tmp_path: Path) -> None:
    image = write_image(tmp_path / "a.jpg", 9, 9)
    (tmp_path / "empty").mkdir()
    check_openable([image])
    with pytest.raises(UserError, match="empty holds nothing to show"):
        check_openable([image, tmp_path / "empty"])


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
    assert f"guided-seg {name} " in done.stdout
    assert "python -m" not in done.stdout


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["#", "help"]])
def test_without_a_name_it_prints_the_commands(words: list[str], tmp_path: Path) -> None:
    done = call("__main__", *words, folder=tmp_path)
    assert done.returncode == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert all(entry.ABOUT[name] in lines[name] for name in entry.COMMANDS)
    assert "guided-seg COMMAND --help" in done.stdout


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("evalute", "did you mean evaluate? Choose from app, run, "),
        ("unknwon", "There is no command 'unknwon'; choose from app, run, "),
        ("", "There is no command ''; choose from"),
        ("my photos", "did you mean guided-seg app 'my photos', which opens it"),
    ],
)
def test_a_word_that_is_no_command_is_refused_with_the_nearest(word: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "my photos").mkdir()
    done = call("__main__", word, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [["seed=1"], ["+experiment=late_global"], ["~seed"], ["-m", "seed=1,2"]])
def test_settings_without_a_name_are_those_of_run(words: list[str], tmp_path: Path) -> None:
    assert "guided-seg run +experiment=late_global" in call("__main__", *words, "--help", folder=tmp_path).stdout
    done = call("__main__", *words, "bakbone=small", folder=tmp_path)
    assert (done.returncode, "did you mean backbone" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("module", "started"), [("__main__", "guided-seg app"), ("app.__main__", "python -m guided_seg.app")]
)
def test_the_help_of_the_page_says_what_paths_may_be(module: str, started: str, tmp_path: Path) -> None:
    words = ["app", "--help"] if module == "__main__" else ["--help"]
    out = call(module, *words, folder=tmp_path).stdout
    assert f"  {started} [PATHS] [SETTINGS]\n" in out
    assert "images, videos, folders" in out

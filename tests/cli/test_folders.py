"""Where runs go, and which one a resume goes on with."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from guided_seg.cli.run_folders import newest_run, note_environment, read_environments, register_resolvers, slug


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def checkpoint(run: str, modified: float) -> Path:
    path = Path("outputs") / run / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    path.touch()
    os.utime(path, (modified, modified))
    return path


def run_dir(name: str, ckpt_path: str | None) -> str:
    register_resolvers()
    cfg = OmegaConf.create({"name": name, "ckpt_path": ckpt_path, "dir": "${guided_seg.run_dir:${name},${ckpt_path}}"})
    assert cfg.dir == cfg.dir, "a folder must not change while the run goes on"
    return str(cfg.dir)


def test_a_new_run_gets_a_new_folder() -> None:
    first, second = run_dir("mine", None), run_dir("mine", None)
    assert re.fullmatch(r"outputs/mine/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d{6}", Path(first).as_posix())
    assert first != second


def test_last_is_the_run_of_that_name_that_was_saved_last() -> None:
    checkpoint("mine/2", modified=200)
    checkpoint("mine/1", modified=300)
    checkpoint("other/1", modified=400)
    (Path("outputs") / "mine" / "3").mkdir()
    assert Path(run_dir("mine", "last")) == Path("outputs/mine/1")
    assert newest_run("other") == Path("outputs/other/1")


def test_a_checkpoint_of_a_run_goes_on_in_its_folder_and_any_other_file_in_a_new_one() -> None:
    path = checkpoint("mine/1", modified=0)
    assert Path(run_dir("mine", str(path))) == Path(run_dir("mine", "outputs/mine/1")) == Path("outputs/mine/1")
    assert run_dir("mine", "somewhere/weights.ckpt").startswith(str(Path("outputs/mine/")))


def test_a_run_that_was_never_saved_counts_from_its_start() -> None:
    checkpoint("mine/1", modified=200)
    (Path("outputs") / "mine" / "2").mkdir()
    config = Path("outputs") / "mine" / "2" / "config.yaml"
    config.touch()
    os.utime(config, (300, 300))
    assert newest_run("mine") == Path("outputs/mine/2")


def test_last_without_a_run_gets_a_new_folder() -> None:
    checkpoint("other/1", modified=0)
    assert newest_run("mine") is None
    assert re.fullmatch(r"outputs/mine/\d{4}-.*", Path(run_dir("mine", "last")).as_posix())


def test_a_slug_is_one_short_folder_name() -> None:
    long = ",".join(f"data.root=/a/b/{i}" for i in range(50))
    assert slug("seed=1,mode=video") == "seed=1,mode=video"
    assert "/" not in slug("data.root=/a/b c")
    assert len(slug(long)) < 250
    assert slug(long) != slug(long + "1")


def test_each_start_of_a_run_is_noted(tmp_path: Path) -> None:
    assert read_environments(tmp_path) == []
    for step, noted in ((None, [0]), (4, [0, 4]), (9, [0, 4, 9]), (None, [0])):
        here = note_environment(tmp_path, step)
        assert [each["from_step"] for each in read_environments(tmp_path)] == noted
        assert read_environments(tmp_path)[-1] == here


@pytest.mark.parametrize("content", ["[", "{}", "[1]", '[{"git": 1}]', '[{"gpus": "a"}]', "\0"])
def test_a_damaged_note_is_passed_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "environment.json").write_text(content)
    assert read_environments(tmp_path) == []
    note_environment(tmp_path, 3)
    assert [each["from_step"] for each in read_environments(tmp_path)] == [3]

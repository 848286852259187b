"""A run that was stopped anywhere goes on as if it had not been, to the bit."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from filelock import FileLock
from omegaconf import OmegaConf
from support.commands import TINY, assert_same_run, compose_run, run, untimed
from support.scripts import script
from torch import Tensor

from guided_seg.cli.run_folders import LAST, PREVIOUS
from guided_seg.errors import UserError
from guided_seg.files import locks
from guided_seg.training import resuming, sweep
from guided_seg.training import train as training
from guided_seg.training.module import EpisodicSegmentation

TWO = ("trainer.max_steps=6", "data.training.validate_every=3", "trainer.limit_val_batches=1.0")
"""Two epochs of three steps, with random zeros in the network."""
DROPPED = (*TWO, "conditioning.dropout=0.5")
GO_ON = (*DROPPED, "ckpt_path=last")


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without a break."""
    return run(tmp_path_factory.mktemp("straight"), *DROPPED)


@pytest.fixture
def stopped(tmp_path: Path, in_step: Callable[[int, Callable[[], None]], None]) -> Path:
    """A run that ended in its fifth step, after one validation."""
    with pytest.MonkeyPatch.context() as patch:
        in_step(4, went_away)
        with pytest.raises(RuntimeError, match="went away"):
            run(tmp_path / "run", *DROPPED)
        patch.undo()
    return tmp_path / "run"


def went_away() -> None:
    raise RuntimeError("the machine went away")


@pytest.fixture
def in_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """Let something happen once in a step, counted from 0."""
    honest = EpisodicSegmentation.training_step

    def plan(step: int, happen: Callable[[], None]) -> None:
        left = [happen]

        def training_step(self: EpisodicSegmentation, batch: Any, batch_idx: int) -> Tensor:
            if self.global_step == step and left:
                left.pop()()
            return honest(self, batch, batch_idx)

        monkeypatch.setattr(EpisodicSegmentation, "training_step", training_step)

    return plan


def test_asked_to_end_in_the_middle_of_an_epoch_it_goes_on_there(
    straight: Path,
    tmp_path: Path,
    in_step: Callable[[int, Callable[[], None]], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    in_step(3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as caught:
        run(tmp_path, *DROPPED)
    assert caught.value.code == 143
    told = "Saved after step 4.\nAsked to end (SIGTERM); the same command with ckpt_path=last goes on.\n"
    assert capsys.readouterr().err.endswith(told)
    run(tmp_path, *GO_ON)
    assert f"The run goes on after step 4 ({tmp_path}/checkpoints/last.ckpt)." in capsys.readouterr().err
    assert_same_run(tmp_path, straight)


def test_a_data_worker_that_is_killed_ends_the_run_with_a_sentence(
    tmp_path: Path, in_step: Callable[[int, Callable[[], None]], None]
) -> None:
    def kill_workers() -> None:
        for worker in multiprocessing.active_children():
            worker.kill()
        time.sleep(60)  # until the signal of their end

    in_step(0, kill_workers)
    with pytest.raises(UserError, match=r"samples episodes was killed, .* killed by signal: Killed\.\); use fewer"):
        run(tmp_path, *DROPPED, "num_workers=1")


def test_the_precision_that_was_chosen_stays(
    stopped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The faster one is measured, and might be another now."""
    monkeypatch.setattr(training, "fastest", went_away)
    run(stopped, *GO_ON, "trainer.precision=auto")
    assert "another setting" not in capsys.readouterr().err
    assert OmegaConf.load(stopped / "config.yaml").trainer.precision == "32-true"


def test_dropout_is_a_part_of_what_is_compared(straight: Path, tmp_path: Path) -> None:
    """Otherwise these tests would say nothing about the random state."""
    run(tmp_path, *TWO)
    assert untimed(tmp_path) != untimed(straight)


def test_a_damaged_checkpoint_is_told_and_the_one_before_it_taken(
    straight: Path, stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last, previous = stopped / "checkpoints" / LAST, stopped / "checkpoints" / PREVIOUS
    shutil.copy(last, previous)
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1  # one bit of a tensor, which PyTorch reads without a word
    last.write_bytes(content)
    torch.load(last, weights_only=True)
    run(stopped, *GO_ON)
    told = capsys.readouterr().err
    assert "last.ckpt is damaged" in told
    assert "does not have its checksum; trying the checkpoint before it." in told
    assert f"The run goes on after step 3 ({previous})." in told
    assert_same_run(stopped, straight)
    # nothing is left to try
    for path in (last, previous):
        path.write_bytes(b"PK")
    (stopped / "metrics.json").unlink()
    with pytest.raises(
        UserError, match=r"There is no checkpoint in .* that can be read; leave ckpt_path out to start anew"
    ):
        run(stopped, *GO_ON)


@pytest.mark.parametrize("given", ["last", "run"])
def test_a_kill_between_the_renames_or_in_the_writing_loses_nothing(
    given: str, straight: Path, stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stopped.parent)
    folder = stopped / "checkpoints"
    (folder / LAST).rename(folder / PREVIOUS)
    rubbish = folder / ".partial.123.last.ckpt"
    rubbish.write_bytes(b"PK half of it")
    run(stopped, *DROPPED, f"ckpt_path={given}")
    assert_same_run(stopped, straight)
    assert sorted(path.name for path in folder.iterdir()) == ["best.ckpt", LAST, PREVIOUS]


def test_a_run_that_was_moved_keeps_its_best(tmp_path: Path, stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning remembers the best checkpoint by its path, and would take any later one for better."""
    best = torch.load(stopped / "checkpoints" / "best.ckpt", weights_only=True)["global_step"]
    moved = stopped.rename(tmp_path / "moved")
    monkeypatch.setattr(EpisodicSegmentation, "on_validation_epoch_end", worse)
    run(moved, *GO_ON)
    assert torch.load(moved / "checkpoints" / "best.ckpt", weights_only=True)["global_step"] == best == 3
    assert not stopped.exists()


def worse(self: EpisodicSegmentation) -> None:
    for metric in self.validation.values():
        metric.reset()
    self.log("val/positive_iou", -1.0)


def test_a_checkpoint_of_another_folder_brings_its_best_along(
    tmp_path: Path, stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EpisodicSegmentation, "on_validation_epoch_end", worse)
    run(tmp_path / "fork", *DROPPED, f"ckpt_path={stopped}")
    for folder in (stopped, tmp_path / "fork"):
        assert torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["global_step"] == 3
    assert torch.load(stopped / "checkpoints" / LAST, weights_only=True)["global_step"] == 3


def test_the_same_command_starts_and_ends_a_run(
    straight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, *GO_ON)
    assert "There is no checkpoint in " in capsys.readouterr().err
    assert_same_run(tmp_path, straight)
    before = (tmp_path / "metrics.json").stat().st_mtime_ns
    run(tmp_path, *GO_ON)
    assert capsys.readouterr().out == f"This run is complete:\n{tmp_path}\n"
    assert (tmp_path / "metrics.json").stat().st_mtime_ns == before


def test_a_new_run_in_the_folder_of_another_never_goes_on_with_it(
    stopped: Path, in_step: Callable[[int, Callable[[], None]], None]
) -> None:
    in_step(1, went_away)
    with pytest.raises(RuntimeError, match="went away"):
        run(stopped, *DROPPED, "seed=1")
    assert resuming.start_of(compose_run(*TINY, *GO_ON, "seed=1"), stopped) == resuming.Start(0)


def test_another_setting_is_told(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = compose_run(*TINY, *GO_ON, "seed=1", f"output_dir={stopped}")
    resuming.start_of(cfg, stopped)
    assert "The run was started with another setting (seed=0 there, 1 here)." in capsys.readouterr().err


def test_two_jobs_never_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    with FileLock(tmp_path / locks.LOCK):
        with pytest.raises(locks.Occupied, match=r"Another process is working in the folder .*; wait until it has"):
            run(tmp_path, *DROPPED)
        sweep.run_job(lambda *_: run(tmp_path) and 0.0, compose_run(*DROPPED), tmp_path, [])
        assert sweep._outcomes.pop().status == "failed"
        assert [path.name for path in tmp_path.iterdir()] == [locks.LOCK]


def test_a_full_disk_leaves_the_checkpoints_as_they_were(
    stopped: Path, straight: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in (stopped / "checkpoints").iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", no_space)
        with pytest.raises(OSError, match=r"No space left on device: '.*/checkpoints/(best|last).ckpt'"):
            run(stopped, *GO_ON)
    assert {path.name: path.read_bytes() for path in (stopped / "checkpoints").iterdir()} == before
    run(stopped, *GO_ON)
    assert_same_run(stopped, straight)


def no_space(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_fills_up_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(resuming, "free_space", lambda _: 1000)
    files = resuming.WholeFiles()
    for _ in range(2):
        files.save_checkpoint({"a": torch.zeros(9)}, tmp_path / LAST)
    assert capsys.readouterr().err.count(f"The disk of {tmp_path} has 1.0 kB left; free some: a checkpoint takes") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [LAST, PREVIOUS]


# ---- killed, as experiments/faults/kills.py does it for long ----


@pytest.fixture
def kills() -> ModuleType:
    """The script."""
    return script("faults/kills")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_killed_while_it_writes_a_checkpoint_and_while_it_tests(
    kills: ModuleType, straight: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"

    def attempt(kill: Callable[[float], bool]) -> str | None:
        found: str | None = kills.attempt(lambda: run(folder, *GO_ON), [], folder, kill)
        return found

    written = folder / "checkpoints" / LAST
    assert attempt(lambda _: written.exists() and kills.half_written(folder)) is not None
    assert attempt(lambda _: any(folder.glob("records_*.0.jsonl"))) in {"testing", "writing another file"}
    assert attempt(lambda _: False) is None
    assert_same_run(folder, straight)
    assert not kills.half_written(folder)

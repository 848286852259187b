"""The script for sbatch, and a job that is requeued: it goes on in its folder."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from support.commands import call, read
from support.commands import run as trained
from support.processes import ended
from torch import Tensor

from guided_seg.settings.overrides import find_problem
from guided_seg.training.module import EpisodicSegmentation

ASKED = ("--nodes", "2", "--gpus", "4", "--hours", "30", "--name", "lite", "+experiment=late_global", "name='a b'")


def fake(folder: Path, name: str, line: str) -> str:
    """The PATH with a program of this name first."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{line}\n")
    (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_the_script_starts_a_run_that_a_requeue_finds_again(tmp_path: Path) -> None:
    done = call("distributed.slurm", *ASKED, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    script = tmp_path / "job.sh"
    script.write_text(done.stdout)
    options = [line.removeprefix("#SBATCH ") for line in done.stdout.splitlines() if line.startswith("#SBATCH")]
    wanted = ("--nodes=2", "--ntasks-per-node=4", "--gpus-per-node=4", "--time=30:00:00", "--requeue")
    assert {*wanted, "--signal=SIGUSR1@120", "--open-mode=append", "--job-name=lite"} <= {*options}
    path = fake(tmp_path / "bin", "srun", 'printf "%s\\n" "$@"')

    def started() -> list[str]:
        return ended("bash", script, limit=30, folder=tmp_path, PATH=path, SLURM_JOB_ID="7").stdout.splitlines()

    first = started()
    assert first[1:3] == ["-m", "guided_seg.run"]
    assert first[-2:] == ["output_dir=outputs/lite/slurm-7", "ckpt_path=null"]
    assert find_problem("config", first[3:], "guided_seg.conf") is None
    last = tmp_path / "outputs/lite/slurm-7/checkpoints/last.ckpt"
    last.parent.mkdir(parents=True)
    last.touch()
    assert started() == [*first[:-1], "ckpt_path=last"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--gpus", "3", "+experiment=late_global", "lr=1"), "lr"),
        (("--nodes", "0"), "whole numbers from 1"),
        (("--name", "a/b"), "--name=a/b: expected letters"),
    ],
)
def test_a_script_that_would_fail_is_not_written(argv: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = call("distributed.slurm", *argv, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_outside_of_a_job_the_two_ways_out_are_named(tmp_path: Path) -> None:
    done = call("run", "trainer=slurm", folder=tmp_path)
    assert done.returncode == 2
    assert "python -m guided_seg.distributed.slurm" in done.stderr
    assert "trainer=ddp" in done.stderr


def test_a_signal_requeues_the_job_which_goes_on_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = tmp_path / "calls"
    monkeypatch.setenv("PATH", fake(tmp_path / "bin", "scontrol", f'echo "$@" >> {calls}'))
    job = {"JOB_ID": "7", "NTASKS": "1", "NTASKS_PER_NODE": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
    for name, value in {**job, "JOB_NAME": "lite"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    honest, seen = EpisodicSegmentation.training_step, []

    def training_step(self: EpisodicSegmentation, batch: Any, batch_idx: int) -> Tensor:
        seen.append(self.global_step)
        if seen == [0, 1, 2, 3]:
            os.kill(os.getpid(), signal.SIGUSR1)
        return honest(self, batch, batch_idx)

    monkeypatch.setattr(EpisodicSegmentation, "training_step", training_step)
    slurm = ("trainer=slurm", "trainer.accelerator=cpu", "trainer.devices=1", "trainer.max_steps=6")
    few = ("data.training.validate_every=2", "trainer.limit_test_batches=1", "trainer.log_every_n_steps=1")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", *slurm, *few)
    assert calls.read_text() == "requeue 7\n"
    folder = trained(tmp_path / "run", *slurm, *few, "ckpt_path=last")
    assert seen == [0, 1, 2, 3, 4, 5], "no step twice, none left out"
    assert read(folder / "metrics.json")["run"]["steps"] == 6
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL

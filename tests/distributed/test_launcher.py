"""The other processes of a job: their command, and what is said of one that dies."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from lightning_fabric.plugins.environments import LightningEnvironment
from omegaconf import open_dict
from pytorch_lightning import Trainer
from support.commands import call, compose_run
from support.processes import ended

from guided_seg.cli.run_folders import register_resolvers
from guided_seg.distributed import launcher as module
from guided_seg.distributed.launcher import JobLauncher
from guided_seg.distributed.strategy import JobStrategy, child_command, job_processes, use_job_strategy
from guided_seg.errors import ProcessDied, UserError
from guided_seg.settings.overrides import PROCESS_OF_A_JOB, find_problem
from guided_seg.training.train import train

SENTENCE = "import sys; sys.stderr.write('error: no such photo\\n'); sys.exit(2)"
VICTIM = "import sys; sys.stderr.write('RuntimeError: Connection closed by peer\\n'); sys.exit(1)"
KILLED = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
HOW = "repeat the command to go on; for a single run, add ckpt_path=last."
WAITS = "import time; time.sleep(60)"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    with patch.dict(os.environ):
        yield


def starter(*codes: str) -> JobLauncher:
    """A launcher with a process for each code."""
    found = JobLauncher(LightningEnvironment(), len(codes) + 1, 1)
    found.command = [sys.executable, "-c", "import os; exec(os.environ['CODE' + os.environ['LOCAL_RANK']])"]
    os.environ.update({f"CODE{number}": code for number, code in enumerate(codes, 1)})
    return found


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ((SENTENCE,), "Process 1 of 2, counted from 0, ended with code 2: no such photo"),
        ((KILLED,), f"Process 1 of 2, counted from 0, was killed by SIGKILL; {HOW}"),
        ((VICTIM, SENTENCE), "Process 2 of 3, counted from 0, ended with code 2: no such photo"),
    ],
)
def test_the_one_that_died_first_is_named_with_its_last_words(codes: tuple[str, ...], said: str) -> None:
    started = starter(*codes)

    def work() -> None:
        while True:
            time.sleep(0.01)

    with pytest.raises(ProcessDied):  # as the watch interrupts even what does not wait for others
        started.launch(work)
    started.stop_watching()
    error = started.explain(RuntimeError("gloo: Connection reset"))
    assert isinstance(error, ProcessDied)
    assert str(error) == said
    if "SIGKILL" not in said:
        assert "no such photo" in "".join(error.__notes__)
    started.end(failed=True)
    assert all(each.poll() is not None for each in started.procs)


def test_an_error_of_its_own_is_not_blamed_on_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    started = starter(WAITS)
    started.launch(lambda: None)
    started.stop_watching()
    for error in (ZeroDivisionError(), RuntimeError("gloo: Connection reset"), KeyboardInterrupt()):
        assert started.explain(error) is error
    started.end(failed=True)
    assert started.procs[0].returncode == -9


def test_one_that_dies_before_it_arrives_is_not_waited_for() -> None:
    """Lightning would wait for half an hour."""
    started = starter(SENTENCE)
    with pytest.raises(ProcessDied):
        started.launch(started.arrive)
    started.stop_watching()
    started.end(failed=True)


def test_all_that_arrive_go_on() -> None:
    arrive = f"import os, pathlib; pathlib.Path(os.environ['{PROCESS_OF_A_JOB}'], os.environ['LOCAL_RANK']).touch()"
    started = starter(arrive, arrive)
    started.launch(started.arrive)
    started.stop_watching()
    started.end(failed=False)
    assert [each.returncode for each in started.procs] == [0, 0]


def test_a_process_ends_with_the_one_that_started_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK", 0.01)
    monkeypatch.setenv(PROCESS_OF_A_JOB, str(tmp_path / "arrivals"))
    monkeypatch.setenv(module._STARTER, "2")
    gone = threading.Event()
    parent = patch.object(module.os, "getppid", side_effect=lambda: 1 if gone.is_set() else 2)
    with parent, patch.object(module.os, "_exit") as left:
        (tmp_path / "arrivals").mkdir()
        module.end_with_starter()
        time.sleep(0.1)
        assert not left.called
        gone.set()
        time.sleep(0.2)
        left.assert_called_with(1)
    assert not (tmp_path / "arrivals").exists()


def test_a_process_whose_starter_went_before_it_could_look_ends(tmp_path: Path) -> None:
    """The one that it begins with is then another, and stays for ever."""
    look = "import time; from guided_seg.distributed.launcher import end_with_starter; end_with_starter(); "
    gone = {PROCESS_OF_A_JOB: str(tmp_path), module._STARTER: str(2**22 + 1)}  # no number of a process on Linux
    done = ended(sys.executable, "-c", look + "time.sleep(280); print('alive')", limit=250, **gone)
    assert (done.returncode, done.stdout) == (1, "")


def test_the_command_of_a_job_is_its_own_part_of_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register_resolvers()
    task = ["+experiment=late_global", "data.root='my photos (1)'", "seed=1"]
    with initialize_config_module("guided_seg.conf", version_base="1.3"):
        cfg = compose("config", ["seed=1"], return_hydra_config=True)
    with open_dict(cfg.hydra):
        cfg.hydra.runtime.output_dir, cfg.hydra.overrides.task = str(tmp_path / "größe, b=c"), task
        cfg.hydra.runtime.cwd = str(tmp_path)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", cfg)
    words = child_command("ckpt_path=null")
    assert words[1:3] == ["-m", "guided_seg.run"]
    assert words[3:7] == [*task, "ckpt_path=null"]
    assert words[7:9] == [f"hydra.run.dir={tmp_path / 'größe, b=c'}", "hydra.output_subdir=null"]
    assert not {"-m", "--multirun"} & {*words[3:]}


def test_a_process_of_a_job_may_read_a_sweep_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its job is one run of that sweep."""
    line = ["+experiment=late_global", "+sweep=seeds"]
    assert "file of several runs" in (find_problem("config", line, "guided_seg.conf") or "")
    monkeypatch.setenv(PROCESS_OF_A_JOB, "folder")
    assert find_problem("config", line, "guided_seg.conf") is None


def test_what_a_run_sets_is_gone_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv("MASTER_PORT", "1234")
    use_job_strategy()
    trainer = Trainer(accelerator="cpu", devices=1, strategy="ddp", logger=False, barebones=True)
    assert isinstance(trainer.strategy, JobStrategy)
    with job_processes(trainer):
        os.environ |= {"LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_PORT": "1"}
    assert os.environ["MASTER_PORT"] == "1234"
    assert not {"LOCAL_RANK", "WORLD_SIZE"} & os.environ.keys()


def test_other_programs_are_told_to_use_the_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"python -m guided_seg\.run, or trainer\.devices=1"):
        train(compose_run("trainer.accelerator=cpu", "trainer.devices=2", "logger=none", "num_workers=0"), tmp_path)


def test_a_batch_that_does_not_divide_is_refused_before_work_starts(tmp_path: Path) -> None:
    done = call("run", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=3", folder=tmp_path)
    assert done.returncode == 2
    assert "data.training.batch_size=16" in done.stderr
    assert "set it to 15 or 18" in done.stderr

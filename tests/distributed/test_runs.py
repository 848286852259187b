"""Trainings in several processes, as the command starts them: alone, and as the jobs of a sweep."""

from __future__ import annotations

import csv
import signal
import sys
import time
from pathlib import Path
from subprocess import Popen

import psutil
import pytest
from support.commands import TINY, read, run, scores
from support.processes import started

MIXED = ("episode.objects=[1,2]", "episode.corrections=0.5", "episode.turns=2")
LONG = (*TINY, *MIXED, "trainer.accelerator=cpu", "data.training.validate_every=3")


def metrics(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def other_process(of: Popen[str], folder: Path) -> psutil.Process:
    """The second process of the job in ``folder``, once it trains."""
    while of.poll() is None:
        if (folder / "metrics.csv").is_file():
            found = [each for each in psutil.Process(of.pid).children() if f"hydra.run.dir={folder}" in each.cmdline()]
            if found:
                return found[0]
        time.sleep(0.1)
    raise AssertionError(of.communicate())


@pytest.mark.slow
def test_jobs_of_two_processes_do_what_one_does_and_one_that_dies_ends_its_job_alone(tmp_path: Path) -> None:
    """Lightning alone starts the whole sweep again in each process, and a death of one kills the sweep."""
    place = tmp_path / "größe (1)"
    place.mkdir()
    line = ("-m", *LONG, "trainer.devices=2", "trainer.max_steps=3000,6", 'hydra.sweep.dir=sweep "a" (b=c)')
    more = ("hydra.sweep.subdir=${hydra:job.num}",)
    folder = place / 'sweep "a" (b=c)'
    with started(sys.executable, "-m", "guided_seg.run", *line, *more, limit=300, folder=place) as process:
        other = other_process(process, folder / "0")
        other.send_signal(signal.SIGKILL)
        died = time.monotonic()
        while not (folder / "0" / "error.txt").is_file() and time.monotonic() - died < 60:
            time.sleep(0.1)
        assert (folder / "0" / "error.txt").is_file(), "a minute after the death"
        out, err = process.communicate()
    assert process.returncode == 1, "as a job has failed"
    assert "2 jobs: 1 done now; 1 failed." in out
    assert (folder / "0" / "error.txt").read_text().startswith("failed: Process 1 of 2, counted from 0, was killed by")
    assert "trainer.max_steps=3000: Process 1 of 2" in err
    assert out.count("6 steps; ") == 1, "one process speaks for both"
    assert [path.name for path in place.iterdir()] == [folder.name]
    assert sorted(path.name for path in folder.iterdir()) == ["0", "1", "multirun.yaml"]
    one = run(tmp_path / "one", *LONG, "trainer.max_steps=6")
    assert scores(folder / "1").keys() == scores(one).keys()
    pairs = list(zip(metrics(folder / "1"), metrics(one), strict=True))
    assert sum("train/loss" in row for row, _ in pairs) == 6
    for both, alone in pairs:
        for name, value in alone.items():
            if name.startswith("run/"):  # times
                continue
            # a pixel between two labels may be either
            close = 1e-6 if "val" in name else 1e-3 if name == "train/iou" else 1e-5
            assert both[name] == pytest.approx(value, abs=close), name
    assert read(folder / "1" / "metrics.json")["run"]["steps"] == 6
    assert not psutil.pid_exists(other.pid)

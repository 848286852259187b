"""Sweeps: what is complete is skipped, what was cut off goes on, what fails is told; and the sweep files."""

from __future__ import annotations

import csv
import itertools
import math
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf
from support.commands import CONF, TINY, call, compose_run, composed_once, no_figures, run
from support.processes import ended
from torch import Tensor

from guided_seg.cli.help_page import print_help
from guided_seg.errors import CompositionError, UserError
from guided_seg.files.writing import write_json
from guided_seg.settings.overrides import find_problem
from guided_seg.study.study import study
from guided_seg.training import sweep
from guided_seg.training.module import EpisodicSegmentation
from guided_seg.training.resuming import Start

Train = Callable[[DictConfig, Path, Start], float]


@pytest.fixture(autouse=True)
def no_outcomes() -> Iterator[None]:
    yield
    sweep._outcomes.clear()


def finish(cfg: DictConfig, run_dir: Path, *_: Any) -> float:
    """What a training leaves, without the training."""
    OmegaConf.save(OmegaConf.merge(cfg, {"output_dir": str(run_dir)}), run_dir / "config.yaml", resolve=True)
    write_json(run_dir / "metrics.json", {"run": {"val_positive_iou": 0.5}})
    return 0.5


def failing(error: Exception) -> Train:
    def train(*_: Any) -> float:
        raise error

    return train


def job(train: Train, folder: Path, *overrides: str, cfg: DictConfig | None = None) -> tuple[float, sweep.Outcome]:
    folder.mkdir(exist_ok=True)
    best = sweep.run_job(train, cfg or compose_run(*TINY, *overrides), folder, ["seed=0", *overrides])
    return best, sweep._outcomes[-1]


# ---- one job ----


def test_a_complete_job_is_skipped_with_its_score(tmp_path: Path) -> None:
    assert job(finish, tmp_path / "a")[1].status == "done"
    best, outcome = job(failing(AssertionError("it must not run")), tmp_path / "a")
    assert (best, outcome.status, outcome.reason) == (0.5, "skipped", "")
    # a folder may be moved
    (tmp_path / "a").rename(tmp_path / "b")
    assert job(failing(AssertionError("it must not run")), tmp_path / "b")[1].status == "skipped"


def test_a_complete_run_of_another_config_is_kept_and_refused(tmp_path: Path) -> None:
    job(finish, tmp_path)
    best, outcome = job(finish, tmp_path, "backbone.width=8")
    assert math.isnan(best)
    assert outcome.status == "failed"
    assert "holds a complete run of another configuration (backbone.width=16 there, 8 here)" in outcome.reason
    assert "move or delete that folder" in outcome.reason
    assert not (tmp_path / sweep.ERROR).exists()
    assert job(finish, tmp_path)[1].status == "skipped"


def test_a_failed_job_leaves_its_reason_and_runs_again(tmp_path: Path) -> None:
    best, outcome = job(failing(RuntimeError("no memory left\nand more")), tmp_path)
    assert math.isnan(best)
    assert (outcome.status, outcome.reason) == ("failed", "RuntimeError: no memory left")
    text = (tmp_path / sweep.ERROR).read_text()
    assert text.startswith("failed: RuntimeError: no memory left\n\nTraceback ")
    assert job(finish, tmp_path)[1].status == "done"
    assert not (tmp_path / sweep.ERROR).exists()


def test_options_without_a_meaning_are_refused_not_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from guided_seg.training.train import train

    assert job(train, tmp_path / "a", "locality=local")[1].status == "refused"
    assert (tmp_path / "a" / sweep.ERROR).read_text().startswith("refused: locality=local keeps positions")
    wrapped = RuntimeError("from Hydra")
    wrapped.__cause__ = CompositionError("a and b cannot be combined.")
    assert job(failing(wrapped), tmp_path / "b")[1].reason == "a and b cannot be combined."
    sweep.report()
    told = capsys.readouterr()
    assert told.out == "2 jobs: 2 refused, as their options cannot be combined.\n"
    assert told.err.startswith("refused: locality=local: locality=local keeps positions")


def test_the_report_names_what_failed_and_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job(finish, tmp_path / "a")
    job(finish, tmp_path / "a")
    job(failing(UserError("No data there; look for it.")), tmp_path / "b", "data.size=32")
    with pytest.raises(SystemExit) as caught:
        sweep.report()
    assert caught.value.code == 1
    told = capsys.readouterr()
    assert told.out == "3 jobs: 1 done now; 1 complete before; 1 failed.\n"
    assert told.err == f"failed: data.size=32: No data there; look for it. ({tmp_path / 'b'})\n"


def test_there_is_nothing_to_report_without_a_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    sweep.report()
    assert capsys.readouterr().out == ""


def test_ctrl_c_ends_the_sweep(tmp_path: Path) -> None:
    def train(*_: Any) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep.run_job(train, compose_run(*TINY), tmp_path, [])


def test_only_a_checkpoint_of_the_same_config_is_gone_on_from(tmp_path: Path) -> None:
    run(tmp_path)
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert sweep.resumable(compose_run(*TINY), tmp_path) == Start(2, last)
    assert sweep.resumable(compose_run(*TINY, "seed=1"), tmp_path) == Start()
    assert sweep.resumable(compose_run(*TINY, "optimizer.optimizer.lr=0.5"), tmp_path) == Start()
    last.write_bytes(last.read_bytes()[:1000])
    assert sweep.resumable(compose_run(*TINY), tmp_path) == Start()
    last.unlink()
    assert sweep.resumable(compose_run(*TINY), tmp_path) == Start()


def test_a_run_that_begins_is_not_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores of an earlier run in the folder would stand beside the new config."""
    write_json(tmp_path / "metrics.json", {})
    monkeypatch.setattr("guided_seg.training.train._run", failing(RuntimeError("cut off")))
    with pytest.raises(RuntimeError, match="cut off"):
        run(tmp_path)
    assert not (tmp_path / "metrics.json").exists()


# ---- the sweep files ----

FILES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((CONF / "sweep").glob("*.yaml"))}


def jobs(name: str) -> list[list[str]]:
    """A few jobs of a sweep file in which every value of every setting is used."""
    params = {key: str(value).split(",") for key, value in FILES[name]["hydra"]["sweeper"]["params"].items()}
    longest = max(map(len, params.values()))
    return [[f"{key}={values[i % len(values)]}" for key, values in params.items()] for i in range(longest)]


@pytest.mark.parametrize("name", FILES)
def test_every_sweep_file_says_what_it_is_for_and_has_a_folder_of_its_own(name: str) -> None:
    first, second, *_ = (CONF / "sweep" / f"{name}.yaml").read_text().splitlines()
    assert first == "# @package _global_"
    assert second.startswith("# ")
    assert FILES[name]["hydra"]["sweep"]["dir"] == f"outputs/sweeps/${{name}}/{name}"


@pytest.mark.parametrize("name", FILES)
def test_every_sweep_file_composes(name: str) -> None:
    for overrides in jobs(name):
        cfg = compose_run("+experiment=late_global", f"+sweep={name}", *overrides)
        wanted = FILES[name].get("evaluation", {})
        assert {key: cfg.evaluation[key] for key in wanted} == wanted


@pytest.mark.parametrize("name", FILES)
def test_a_job_of_every_sweep_file_runs(name: str, tmp_path: Path) -> None:
    wanted = FILES[name].get("evaluation", {})
    again = [f"evaluation.{key}={value}".replace(" ", "").replace("'", "") for key, value in wanted.items()]
    folder = run(tmp_path, "+experiment=late_global", f"+sweep={name}", *jobs(name)[0], *again)
    with (folder / "groups.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert {row["points"] for row in found} == {str(points) for points in wanted.get("points", [5])}
    assert {row["shots"] for row in found} == {str(shots) for shots in wanted.get("shots", [1])}


def test_help_and_the_pages_name_every_sweep_file(capsys: pytest.CaptureFixture[str]) -> None:
    print_help("run", [], "config", "guided_seg.conf")
    told = capsys.readouterr().out
    for page in ("study", "configuration"):
        text = (CONF.parent / "docs" / f"{page}.md").read_text()
        assert all(f"`{name}`" in text and f"  {name} " in told for name in FILES)
    print_help("evaluate", [], "evaluate", "guided_seg.conf")
    assert "sweeps" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["+sweep=seeds"], "+sweep=seeds is a file of several runs; add -m, or leave it out for one run."),
        (["-m", "+sweep=seeds,shots_points"], "names several sweep files; run a command for each."),
        (["-m", "+sweep=seed"], "There is no sweep=seed; did you mean +sweep=seeds?"),
    ],
)
def test_sweep_files_are_for_one_multirun(argv: list[str], sentence: str) -> None:
    assert sentence in str(find_problem("config", argv, "guided_seg.conf"))


def test_a_first_job_without_meaning_does_not_stop_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(*_: Any) -> None:
        raise CompositionError("no meaning together.")

    monkeypatch.setattr("guided_seg.settings.overrides.check_missing", check)
    assert find_problem("config", ["seed=1"], "guided_seg.conf") == "no meaning together."
    assert find_problem("config", ["-m", "seed=1,2"], "guided_seg.conf") is None


# ---- the whole of it ----

ABLATION = (
    *("-m", "+experiment=late_global", *TINY, "trainer.max_steps=4", "data.training.validate_every=2", "data.size=32"),
    *("evaluation.episodes=2", "conditioning.scorer=shared,joint", "optimizer=adamw,sgd", "seed=0,1"),
    "hydra.sweep.dir=runs",
)
"""Eight jobs of four steps, with a checkpoint after the second."""
TIMES = ("encode_ms", "update_ms", "seconds", "peak_memory_bytes", "data_wait_share")


def ablation(folder: Path) -> tuple[str, int]:
    """What the command says when it has run in ``folder``, and how many steps it has trained."""
    folder.mkdir(exist_ok=True)
    honest, trained = EpisodicSegmentation.training_step, []

    def training_step(self: EpisodicSegmentation, batch: Any, batch_idx: int) -> Tensor:
        trained.append(batch_idx)
        return honest(self, batch, batch_idx)

    with no_figures(), composed_once(), patch.object(EpisodicSegmentation, "training_step", training_step):
        done = call("run", *ABLATION, folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout, len(trained)


def tables(folder: Path) -> list[Any]:
    """What a study writes, without what the clock says."""
    out = study([folder / "runs"], reference="conditioning.scorer=shared,optimizer=adamw")
    with (out / "study.csv").open(newline="") as file:
        rows = [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(file)]
    return [rows, *((out / name).read_bytes() for name in ("study.md", "study.tex", "study_groups.csv"))]


@pytest.mark.slow
def test_a_killed_ablation_finishes_only_what_is_missing(tmp_path: Path) -> None:
    script, folder = Path(__file__).parents[1] / "killed_sweep.py", tmp_path / "killed"
    folder.mkdir()
    killed = ended(sys.executable, script, *ABLATION, limit=300, folder=folder, KILL_AT="4:3")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("killed/runs/*/metrics.json")}
    assert len(written) == 3
    said, steps = ablation(folder)
    # four jobs of four steps, and the killed one from its second step on
    assert "8 jobs: 5 done now; 3 complete before.\n" in said
    assert steps == 18
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    said, steps = ablation(tmp_path / "straight")
    assert "8 jobs: 8 done now.\n" in said
    assert steps == 32
    whole = tables(tmp_path / "straight")
    assert len(whole[0]) == 24
    assert tables(folder) == whole


def test_a_failed_job_does_not_stop_the_others(tmp_path: Path) -> None:
    wanted = ("-m", "+experiment=late_global", *TINY, "+optimizer.optimizer.eps=-1,1e-8", "locality=local,global")
    with no_figures(), composed_once():
        done = call("run", *wanted, folder=tmp_path)
    assert done.returncode == 1
    assert "4 jobs: 1 done now; 2 refused, as their options cannot be combined; 1 failed." in done.stdout
    (failed,) = [text for text in done.stderr.splitlines() if text.startswith("failed: ")]
    reason = "ValueError: Invalid epsilon value: -1"
    assert failed.startswith(f"failed: +optimizer.optimizer.eps=-1 locality=global: {reason}")
    text = (study([tmp_path / "outputs"]) / "study.md").read_text()
    assert "1 failed: ValueError: Invalid epsilon value: -1" in text
    assert "2 refused: locality=local keeps positions" in text


def test_jobs_cover_every_value() -> None:
    used = set(itertools.chain(*jobs("seeds")))
    assert used == {f"seed={seed}" for seed in range(5)}

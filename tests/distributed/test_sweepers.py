"""Sweeps whose jobs run elsewhere, and whose values are chosen by Optuna or W&B."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import yaml
from support.commands import TINY, call, command, composed_once, no_figures
from support.scripts import script
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from guided_seg.settings.overrides import find_problem

ROOT = Path(__file__).parents[2]
SHORT = (*TINY, "trainer.accelerator=cpu", "trainer.max_steps=1", "evaluation.modes=[interactive]")


@pytest.mark.slow
def test_a_job_in_another_process_is_in_the_report(tmp_path: Path) -> None:
    """The job is refused as soon as it is composed; its process has to know our resolvers before."""
    line = ("-m", *SHORT, "launcher=submitit_local", "locality=local", "mode=semantic", "hydra.sweep.dir=sweep")
    done = command("run", *line, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 jobs: 1 refused" in done.stdout
    assert "local" in done.stderr
    assert len(list((tmp_path / "sweep").glob("*/error.txt"))) == 1
    assert not (tmp_path / "sweep" / ".jobs").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # optuna 2 and SQLAlchemy 1 warn of their successors
def test_optuna_maximises_the_validation_score_and_goes_on_with_a_study(tmp_path: Path) -> None:
    line = ("-m", *SHORT, "sweeper=optuna", "hydra.sweeper.n_trials=2", "hydra.sweep.dir=sweep")
    line = (*line, "hydra.sweeper.storage=sqlite:///study.db", "data.training.lr=interval(1e-4,1e-2)")
    with no_figures(), composed_once():
        done = call("run", *line, folder=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        again = call("run", *line, folder=tmp_path)
    best = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text())
    assert 0 <= best["best_value"] <= 1
    assert again.returncode == 0
    import optuna

    (study,) = optuna.get_all_study_summaries(f"sqlite:///{tmp_path / 'study.db'}")
    assert study.n_trials == 4


@pytest.fixture(scope="module")
def sweeps() -> ModuleType:
    """The script that compares whole sweeps."""
    return script("faults/sweeps")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # as above
def test_a_trial_of_two_processes_leaves_what_one_does(sweeps: ModuleType, tmp_path: Path) -> None:
    """One trial of Optuna here; experiments/faults/sweeps.py has a run, a sweep and four trials."""
    words = [word.replace("n_trials=4", "n_trials=1") for word in sweeps.KINDS["optuna"] if word != "-m"]
    folders = [tmp_path / str(processes) for processes in (1, 2)]
    for processes, folder in enumerate(folders, 1):
        folder.mkdir()
        with no_figures(), composed_once():
            done = call("run", "-m", *SHORT, *words, f"trainer.devices={processes}", folder=folder)
        assert done.returncode == 0, done.stdout + done.stderr
    found = sweeps.compared(*folders)
    assert (found.jobs, found.strays) == (1, [])
    assert found.files > 10
    assert found.score < 1e-6
    assert found.loss < 1e-5


def test_what_differs_is_found(sweeps: ModuleType, tmp_path: Path) -> None:
    for name, score, loss in (("one", 0.5, 1.0), ("two", 0.75, 1.5)):
        job = tmp_path / name / "job"
        job.mkdir(parents=True)
        (job / "metrics.json").write_text(f'{{"video": {{"s1": {{"ci95": [0, {score}]}}}}, "run": {{"steps": 3}}}}')
        (job / "metrics.csv").write_text(f"step,train/loss,val/iou\n1,{loss},\n2,,0.25\n")
    (tmp_path / "two" / "left").mkdir()
    found = sweeps.compared(tmp_path / "one", tmp_path / "two")
    assert found == sweeps.Compared(1, 4, ["left"], 0.25, 0.5)


def test_the_sweep_of_wandb_runs_our_command() -> None:
    sweep = yaml.safe_load((ROOT / "examples" / "wandb_sweep.yaml").read_text())
    for pick in ("min", "max"):
        values = {
            name: {"value": choice.get("values", [choice.get(pick)])[0]} for name, choice in sweep["parameters"].items()
        }
        words = create_sweep_command(sweep["command"])
        chosen = create_sweep_command_args({"args": values})["args_no_hyphens"]
        line = [each for word in words for each in (chosen if word == "${args_no_hyphens}" else [word])]
        assert line[1:4] == ["python", "-m", "guided_seg.run"]
        assert find_problem("config", line[4:], "guided_seg.conf") is None
    assert sweep["metric"] == {"name": "val/positive_iou", "goal": "maximize"}

"""Trained in one mode or a mixture, tested in all; on one shot or several; with one positive label or several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from support.commands import TINY, call, compose_run, evaluate, no_figures, read, run, scores

from guided_seg.cli.run_folders import register_resolvers
from guided_seg.composition.build import settings
from guided_seg.data.source import MODES
from guided_seg.errors import UserError

TRAINED = (*MODES, "mixed")


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The scores of every test mode, by the mode of training."""
    return {mode: scores(run(tmp_path_factory.mktemp(mode), f"mode={mode}")) for mode in TRAINED}


@pytest.mark.parametrize("tested", MODES)
@pytest.mark.parametrize("trained", TRAINED)
def test_every_training_mode_is_tested_in_every_mode(
    matrix: dict[str, dict[str, Any]], trained: str, tested: str
) -> None:
    assert set(matrix[trained]) == set(MODES)
    assert matrix[trained][tested]["s1_p5"]["episodes"] == 4


def test_the_sweep_is_the_whole_matrix() -> None:
    register_resolvers()
    with initialize_config_module("guided_seg.conf", version_base="1.3"):
        cfg = compose("config", ["+experiment=late_global", "+sweep=cross_mode"], return_hydra_config=True)
    assert cfg.hydra.sweeper.params == {"mode": "interactive,semantic,video,mixed", "seed": "0,1,2"}
    assert list(cfg.evaluation.modes) == list(MODES)


def test_one_command_runs_it(tmp_path: Path) -> None:
    """As much of it as the command line leaves: what is given there wins."""
    part = ("mode=video,mixed", "seed=1", "hydra.sweep.dir=all")
    with no_figures():
        done = call("run", "-m", "+experiment=late_global", "+sweep=cross_mode", *part, *TINY, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [read(path) for path in sorted((tmp_path / "all").rglob("metrics.json"))]
    assert len(found) == 2
    assert all(set(MODES) <= set(entry) for entry in found)


@pytest.mark.parametrize("shots", ["[1,1]", "[1,5]"])
def test_one_shot_or_several_in_training_and_both_in_the_test(tmp_path: Path, shots: str) -> None:
    choices = ("mode=semantic", f"episode.shots={shots}", "episode.points.vary=label", "evaluation.shots=[1,5]")
    assert set(scores(run(tmp_path, *choices))["semantic"]) == {"s1_p5", "s5_p5"}


def test_several_labels_in_training_and_test_by_both_readings(tmp_path: Path) -> None:
    several = ("episode.objects=[1,3]", "episode.shots=[1,2]", "episode.points.vary=shot", "evaluation.objects=2")
    native = scores(run(tmp_path, *several, figures=True))
    assert set(native) == set(MODES)
    checkpoint = tmp_path / "checkpoints" / "best.ckpt"
    assert evaluate(checkpoint, tmp_path / "native", "evaluation.objects=2") == native
    union = evaluate(checkpoint, tmp_path / "union", "evaluation.objects=2", "k_way=one_vs_rest")
    assert set(union) == set(MODES)
    assert union["semantic"]["s1_p5"]["episodes"] == 4
    # with one positive label the two readings are one
    both = [evaluate(checkpoint, tmp_path / reading, f"k_way={reading}") for reading in ("native", "one_vs_rest")]
    assert both[0] == both[1] != native


def test_a_joint_scorer_answers_several_labels_as_a_union(tmp_path: Path) -> None:
    choices = ("conditioning.scorer=joint", "evaluation.objects=3", "k_way=one_vs_rest")
    assert set(scores(run(tmp_path, *choices))) == set(MODES)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("k_way=union", "k_way=union: expected native or one_vs_rest"),
        ("episode.objects=[2,1]", r"episode.objects=\[2,1\]: expected \[least, most\]"),
        ("episode.objects=3", r"episode.objects=3: expected \[least, most\]"),
        ("evaluation.objects=0", "evaluation.objects=0: expected a whole number from 1"),
    ],
)
def test_choices_that_cannot_be_are_refused(override: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        settings(compose_run(override))

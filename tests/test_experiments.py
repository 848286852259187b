"""Every experiment, run for two steps: a new file in conf/experiment is tested by being there."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import cv2
import pytest
from omegaconf import OmegaConf
from support.commands import CONF, read, run, thin_vgg

from guided_seg.release.load import load_network
from guided_seg.training.callbacks import EpisodePictures

EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
FACTS = ("seconds", "steps", "peak_memory_bytes", "data_wait_share")
SETTINGS = {"s1_p1", "s1_p5", "s1_p25", "s1_pdense", "s5_p1", "s5_p5", "s5_p25", "s5_pdense"}
MODES = {"interactive", "semantic", "video"}


@pytest.fixture(scope="module", autouse=True)
def _thin_vgg() -> Iterator[None]:
    """The original's recipes would take 40 seconds each; test_revolver.py has them with all channels."""
    with thin_vgg():
        yield


@pytest.fixture(scope="module", params=EXPERIMENTS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of one experiment, tested at every setting of the default evaluation."""
    every = ("evaluation.shots=[1,5]", "evaluation.points=[1,5,25,dense]")
    few = {
        "fine_tune": ("baseline.steps=2",),
        "guided_lite0": (small := ("data=shapes", "backbone=small", "decoder.unshuffle=false")),
        "guided_lite1": small,
    }.get(request.param, ())
    folder = tmp_path_factory.mktemp(request.param)
    # pictures of validation are the dashboard's, and the same drawing
    with patch.object(EpisodePictures, "on_validation_epoch_end"), patch("guided_seg.protocols.default_test.WORST", 1):
        return run(folder, f"+experiment={request.param}", *every, *few, figures=True)


def modes(folder: Path) -> set[str]:
    """What the experiment's network can do."""
    cfg = OmegaConf.load(folder / "config.yaml")
    return {"interactive"} if cfg.locality._target_.endswith("Local") else MODES


def test_there_are_the_experiments_of_the_main_job() -> None:
    assert {"late_global", "late_local", "foreground_background"} <= set(EXPERIMENTS)


def test_every_experiment_says_what_it_is_for_and_bears_its_name() -> None:
    for name in EXPERIMENTS:
        text = (CONF / "experiment" / f"{name}.yaml").read_text()
        assert text.splitlines()[0] == "# @package _global_"
        assert text.splitlines()[1].startswith("# ")
        assert f"\nname: {name}\n" in text


def test_metrics_json_has_every_mode_and_setting(folder: Path) -> None:
    found = read(folder / "metrics.json")
    assert set(found) == modes(folder) | {"run"}
    for mode in modes(folder):
        expected = {key for key in SETTINGS if key.startswith("s1")} if mode == "interactive" else SETTINGS
        assert set(found[mode]) == expected
        for score in found[mode].values():
            assert list(score) == ["positive_iou", "mean_iou", "ci95", "episodes"]
            low, high = score["ci95"]
            assert 0 <= low <= score["positive_iou"] <= high <= 1
            assert 0 <= score["mean_iou"] <= 1
            assert isinstance(score["episodes"], int)
            assert 1 <= score["episodes"] <= 4


def test_metrics_json_tells_time_and_memory(folder: Path) -> None:
    facts = read(folder / "metrics.json")["run"]
    assert list(facts) == [*FACTS, "encode_ms", "update_ms", "val_positive_iou"]
    assert facts["seconds"] > 0
    assert facts["steps"] == 2
    assert 2**26 < facts["peak_memory_bytes"] < 2**35
    assert 0 < facts["data_wait_share"] < 1


def test_config_yaml_is_whole_and_resolved(folder: Path) -> None:
    text = (folder / "config.yaml").read_text()
    assert "${" not in text
    assert "???" not in text
    assert OmegaConf.load(folder / "config.yaml").name in EXPERIMENTS


def test_metrics_csv_has_training_and_validation(folder: Path) -> None:
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["train/loss"]) for row in rows if row["train/loss"]]
    assert len(losses) == 2
    (best,) = [float(row["val/positive_iou"]) for row in rows if row["val/positive_iou"]]
    assert 0 <= best <= 1
    assert any(row.get("test/interactive/s1_p5") for row in rows)


def test_both_checkpoints_give_the_network_back(folder: Path) -> None:
    names = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert names == ["best.ckpt", "last.ckpt"]
    for name in names:
        network, cfg = load_network(folder / "checkpoints" / name)
        assert cfg.name in EXPERIMENTS
        assert not network.training


def test_figures_are_pictures(folder: Path) -> None:
    names = {path.name for path in (folder / "figures").iterdir()}
    panels = {f"episodes_{mode}.png" for mode in modes(folder)}
    assert names == {"learning_curve.png", "iou_against_points.png", "episodes.png", "worst_episodes.png"} | panels
    for name in names:
        picture = cv2.imread(str(folder / "figures" / name))
        assert picture is not None
        assert min(picture.shape[:2]) > 100
        assert picture.std() > 1

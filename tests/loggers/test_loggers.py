"""The loggers: what they write, and that none of them can harm a run."""

from __future__ import annotations

import csv
import json
import logging
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger
from pytorch_lightning.loggers.logger import Logger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from guided_seg.errors import UserError
from guided_seg.loggers import wandb_run
from guided_seg.loggers.loggers import build_loggers, close_loggers, log_config, log_image, log_results
from guided_seg.loggers.metrics_file import MetricsFile
from guided_seg.report.results import Results

CONF = Path(__file__).parents[2] / "conf"
SCORE = {"positive_iou": 0.6, "mean_iou": 0.5, "ci95": [0.5, 0.7], "episodes": 9}
RESULTS: Results = {"video": {"s1_p1": SCORE, "s1_pdense": SCORE}}  # type: ignore[dict-item]


@pytest.fixture(autouse=True)
def no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a key, a proxy or a home folder, whatever it really has."""
    for name in (
        "WANDB_API_KEY",
        "WANDB_IDENTITY_TOKEN_FILE",
        "WANDB_BASE_URL",
        "https_proxy",
        "HTTPS_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def build(name: str, run_dir: Path, since: int | None = None) -> list[Logger]:
    # composed by itself the group has no package, as `logger` in the whole config has
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return build_loggers(compose(overrides=[f"+logger={name}"]).logger, run_dir, since)


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def default(tmp_path: Path) -> Iterator[list[Logger]]:
    loggers = build("default", tmp_path / "job" / "7")
    yield loggers
    close_loggers(loggers)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("none", []),
        ("csv", [MetricsFile]),
        ("tensorboard", [MetricsFile, TensorBoardLogger]),
        ("wandb", [MetricsFile, WandbLogger]),
    ],
)
def test_each_option_builds_its_loggers(tmp_path: Path, name: str, kinds: list[type]) -> None:
    loggers = build(name, tmp_path)
    close_loggers(loggers)
    assert [type(logger) for logger in loggers] == kinds


def test_no_config_no_loggers(tmp_path: Path) -> None:
    assert build_loggers(None, tmp_path) == []
    assert build_loggers({"csv": None}, tmp_path) == []


def test_metrics_file_widens_and_keeps_its_rows(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "run")
    file.log_metrics({"train/loss": 0.5}, 1)
    file.log_metrics({"val/positive_iou": 0.25, "epoch": 0}, 1)
    file.log_metrics({"train/loss": 0.125}, 2)
    first, second, third = rows(tmp_path / "run")
    assert list(first) == ["step", "train/loss", "val/positive_iou", "epoch"]
    assert first["train/loss"] == "0.5"
    assert first["epoch"] == ""
    assert second["val/positive_iou"] == "0.25"
    assert third["step"] == "2"


def test_a_resumed_run_keeps_its_metrics_and_a_fresh_one_starts_anew(tmp_path: Path) -> None:
    for step, since, expected in ((1, None, ["1"]), (2, 2, ["1", "2"]), (1, 1, ["1"]), (3, None, ["3"])):
        (file,) = build("csv", tmp_path, since)
        file.log_metrics({f"train/loss{step}": 0.5}, step)
        assert [row["step"] for row in rows(tmp_path)] == expected


def test_a_resume_repairs_what_a_kill_or_a_power_cut_left_of_the_metrics(tmp_path: Path) -> None:
    (file,) = build("csv", tmp_path)
    for step in range(4):
        file.log_metrics({"train/loss": 0.5, "epoch": 1}, step)
    whole = file.path.read_bytes()
    for rest in (b"4,0.", b"4,0.5,1", b"\0\0\0\0", b"4\r\n", b"2,0.5\xff\0\r\n"):
        file.path.write_bytes(whole + rest)
        build("csv", tmp_path, since=9)
        assert file.path.read_bytes() == whole
    build("csv", tmp_path, since=0)
    assert not file.path.exists()


def test_wandb_goes_on_with_the_run_that_is_resumed(tmp_path: Path) -> None:
    ids = []
    for since in (None, 5, None):
        loggers = build("wandb", tmp_path, since)
        assert isinstance(loggers[1], WandbLogger)
        ids.append(loggers[1].experiment.id)
        close_loggers(loggers)
    assert ids[0] == ids[1] != ids[2]


def test_wandb_is_offline_without_a_key_and_says_how_to_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    loggers = build("wandb", tmp_path / "my runs [b]")
    close_loggers(loggers)
    (folder,) = (tmp_path / "my runs [b]" / "wandb").glob("offline-run-*")
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("W&B records offline (it could not start online: No API key configured.")
    assert shlex.split(err.partition("later: ")[2]) == ["wandb", "sync", str(folder)]
    assert err.count("\n") == 1


def test_the_same_goes_to_every_logger(default: list[Logger], picture: Path, tmp_path: Path) -> None:
    file, wandb_logger = default
    fusion = {"_target_": "guided_seg.model.guide.fusion.LateFusion"}
    log_config(
        default, {"seed": 1, "data": {"name": "shapes"}, "fusion": fusion}, {"host": "here", "packages": {"a": 1}}
    )
    log_image(default, "panels", picture, step=3)
    log_results(default, RESULTS, {"update_ms": 2.5}, step=3)
    assert isinstance(wandb_logger, WandbLogger)
    run = wandb_logger.experiment
    assert run.config["data"] == {"name": "shapes"}
    assert (run.config["choices"], run.config["environment"]) == ({"fusion": "late_fusion"}, {"host": "here"})
    assert run.name == "job/7"
    assert (run.summary["test/video/s1_p1"], run.summary["run/update_ms"]) == (0.6, 2.5)
    row = rows(tmp_path / "job" / "7")[0]
    assert (row["test/video/s1_pdense"], row["run/update_ms"]) == ("0.6", "2.5")
    media = tmp_path / "job" / "7" / "wandb" / "latest-run" / "files" / "media"
    assert list(media.glob("images/panels_*.png"))
    names = ("results", "iou_against_points", "iou_against_shots")
    table, points, shots = (json.loads(next(media.glob(f"table/{name}*.json")).read_text()) for name in names)
    assert [row[2] for row in table["data"]] == ["1", "dense"]
    assert [row[:3] for row in points["data"]] == [[1, "video, S = 1", 0.6]]
    assert [row[:3] for row in shots["data"]] == [[1, "video, P = 1", 0.6], [1, "video, P = dense", 0.6]]
    assert isinstance(file, MetricsFile)


def test_two_runs_of_one_process_do_not_mix(tmp_path: Path) -> None:
    first, second = (build("wandb", tmp_path / name)[1] for name in ("a", "b"))
    assert isinstance(first, WandbLogger)
    assert isinstance(second, WandbLogger)
    assert first.experiment.id != second.experiment.id
    second.log_metrics({"loss": 1.0}, 1)
    close_loggers([first], "failed")
    second.log_metrics({"loss": 2.0}, 2)
    assert first.experiment.summary.get("loss") is None
    assert second.experiment.summary["loss"] == 2.0
    close_loggers([second])
    assert wandb.run is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_metrics_and_pictures(tmp_path: Path, picture: Path) -> None:
    loggers = build("tensorboard", tmp_path)
    log_config(loggers, {"seed": 1})
    log_image(loggers, "panels", picture, step=3)
    log_results(loggers, RESULTS, {"update_ms": 2.5}, step=3)
    close_loggers(loggers)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {"test/video/s1_p1", "test/video/s1_pdense", "run/update_ms"}
    assert events.Scalars("test/video/s1_p1")[0].step == 3
    assert events.Tags()["images"] == ["panels"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_hides_what_a_resumed_run_repeats(tmp_path: Path) -> None:
    for since, steps in ((None, (1, 2, 3)), (2, (2,))):
        loggers = build("tensorboard", tmp_path, since)
        for step in steps:
            loggers[1].log_metrics({"loss": float(step)}, step)
        close_loggers(loggers)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2]


@pytest.mark.parametrize(("variable", "mode"), [("offline", "auto"), ("", "offline")])
def test_offline_is_not_tried_online(
    variable: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", variable)
    tried = []
    honest = wandb_run._start
    monkeypatch.setattr(wandb_run, "_start", lambda how, **options: tried.append(how) or honest(how, **options))
    logger = wandb_run.wandb_logger(tmp_path, mode=mode)  # type: ignore[arg-type]
    assert logger is not None
    close_loggers([logger])
    assert tried == ["offline"]
    assert "(offline was asked for)" in capfd.readouterr().err


def test_wandb_disabled_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert [type(logger) for logger in build("wandb", tmp_path)] == [MetricsFile]


def test_a_wandb_that_cannot_start_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: Any) -> None:
        raise OSError("no space left\nand more")

    monkeypatch.setattr(wandb, "init", fail)
    assert [type(logger) for logger in build("wandb", tmp_path)] == [MetricsFile]
    assert caplog.messages == ["W&B could not start (no space left); the run continues without it."]


def test_an_online_run_that_fails_becomes_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(mode: str, **_: Any) -> str:
        if mode == "online":
            raise RuntimeError("the key is not valid")
        return mode

    monkeypatch.setattr(wandb_run, "_start", start)
    expected = ("offline", "it could not start online: the key is not valid")
    assert wandb_run._start_softly(online=True) == expected


def test_one_logger_that_fails_lets_the_others_close(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    closed = []

    class Broken(MetricsFile):
        def finalize(self, status: str) -> None:
            raise OSError(status)

    class Good(MetricsFile):
        def finalize(self, status: str) -> None:
            closed.append(status)

    with caplog.at_level(logging.WARNING):
        close_loggers([Broken(tmp_path), Good(tmp_path)], "failed")
    assert closed == ["failed"]
    assert "Broken could not be closed" in caplog.text


def test_a_logger_whose_package_is_missing_is_refused_in_a_sentence(tmp_path: Path) -> None:
    entry = OmegaConf.create({"board": {"_target_": "no_such_package.Logger"}})
    with pytest.raises(UserError, match=r"logger=board needs a package that is not installed .*choose logger=csv"):
        build_loggers(entry, tmp_path)

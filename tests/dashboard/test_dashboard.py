"""The dashboard: what its panels name is what a run logs, in each logger, and what W&B and the page are made of."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from omegaconf import OmegaConf
from support.commands import CONF, TINY, call, compose_run, read
from support.processes import ended
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from guided_seg.dashboard.board import BoardPanel, board, panels
from guided_seg.study.page import Page
from guided_seg.study.study import study
from guided_seg.training.train import train

SIZES = ("trainer.limit_val_batches=1.0", "data.training.validate_every=1", "data.training.val_episodes=16")
SETTINGS = ("evaluation.shots=[1,2]", "evaluation.points=[1,5]")
LOGGED_BY_WANDB = {"_step", "_runtime", "_timestamp", "trainer/global_step"}
WITHOUT_W_AND_B = {"WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL", "WANDB_ENTITY"}

DRAWN = "guided_seg.protocols.default_test"

# wandb-workspaces 0.4.13 has validators in the way of pydantic 1
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic V1 style:DeprecationWarning")

Scalars = dict[tuple[str, int], list[float]]
"""(name, step) -> what was logged, in order."""


@contextmanager
def offline(home: Path) -> Iterator[None]:
    """A machine without a key or an account, whatever it really has."""
    with pytest.MonkeyPatch.context() as changed:
        for name in WITHOUT_W_AND_B:
            changed.delenv(name, raising=False)
        changed.setenv("WANDB_MODE", "offline")
        changed.setenv("HOME", str(home))
        changed.setenv("NETRC", str(home / "netrc"))
        yield


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps and two validations of all modes, with all loggers and figures."""
    folder = tmp_path_factory.mktemp("logged") / "run"
    folder.mkdir()
    ours = [word for word in TINY if not word.startswith(("logger", "data.training.val", "evaluation.shots"))]
    cfg = compose_run(*ours, *SIZES, *SETTINGS, "logger=wandb", f"output_dir={folder}")
    OmegaConf.set_struct(cfg, value=False)
    cfg.logger.tensorboard = OmegaConf.load(CONF / "logger" / "tensorboard.yaml").tensorboard
    with offline(folder.parent), patch(f"{DRAWN}.PANELS", 1), patch(f"{DRAWN}.WORST", 1):
        train(cfg, folder)
    return folder


@pytest.fixture(scope="module")
def records(run_dir: Path) -> list[dict[str, Any]]:
    """What W&B's own reader reads of the offline run."""
    program = Path(sys.executable).with_name("wandb")
    done = ended(program, "leet", "inspect", "--json", next(run_dir.glob("wandb/*/*.wandb")), limit=60)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def history(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record["history"]["item"] for record in records if record["type"] == "history"]


@pytest.fixture(scope="module")
def scalars(run_dir: Path) -> Scalars:
    """The numbers in metrics.csv."""
    found: Scalars = {}
    with (run_dir / "metrics.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            for name, cell in row.items():
                if name != "step" and cell:
                    found.setdefault((name, int(row["step"])), []).append(float(cell))
    return found


# ---- what a run logs ----


def test_wandb_has_the_scalars_of_metrics_csv(records: list[dict[str, Any]], scalars: Scalars) -> None:
    found: Scalars = {}
    for item in history(records):
        for name, value in item.items():
            if isinstance(value, int | float) and name not in LOGGED_BY_WANDB and not _of_media(name, item):
                found.setdefault((name, item["trainer/global_step"]), []).append(float(value))
    assert found == scalars
    assert len(scalars) > 40


def _of_media(name: str, item: dict[str, Any]) -> bool:
    """Whether it describes a picture or a table."""
    return any(f"{name[:place]}._type" in item for place in range(len(name)) if name[place] == ".")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_has_the_scalars_of_metrics_csv(run_dir: Path, scalars: Scalars) -> None:
    events = EventAccumulator(str(run_dir / "tensorboard")).Reload()
    found: Scalars = {}
    for name in events.Tags()["scalars"]:
        for event in events.Scalars(name):
            found.setdefault((name, event.step), []).append(event.value)
    single = {key: [float(np.float32(value)) for value in values] for key, values in scalars.items()}
    assert found == single


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_each_logger_has_the_pictures(run_dir: Path, records: list[dict[str, Any]]) -> None:
    keys = {key for panel in panels(board()) if panel.kind == "pictures" for key in panel.keys}
    assert keys <= set(EventAccumulator(str(run_dir / "tensorboard")).Reload().Tags()["images"])
    media = [item[f"{key}.filenames"] for item in history(records) for key in keys if f"{key}.filenames" in item]
    assert len(media) == len(keys) + 1, "two validations"
    files = next(run_dir.glob("wandb/*run-*/files"))
    assert all((files / name).is_file() for names in media for name in names)
    steps = [path.name for path in sorted((run_dir / "figures" / "validation").iterdir())]
    assert steps == ["step_0000001.png", "step_0000002.png"]
    assert (run_dir / "figures" / "worst_episodes.png").is_file()


@pytest.mark.parametrize("panel", panels(board()), ids=lambda panel: panel.title)
def test_what_a_panel_names_is_in_the_history(panel: BoardPanel, records: list[dict[str, Any]]) -> None:
    items = history(records)
    for key, medium in panel.logged.items():
        if medium == "scalar":
            assert any(isinstance(item.get(key), int | float) for item in items), key
        else:
            assert {item[f"{key}._type"] for item in items if f"{key}._type" in item} == {medium}, key
    config = {key for record in records if record["type"] == "config" for key in _dotted(record["config"]["update"])}
    assert set(panel.settings) <= config


def _dotted(tree: dict[str, Any], before: str = "") -> Iterator[str]:
    for name, value in tree.items():
        yield f"{before}{name}"
        if isinstance(value, dict):
            yield from _dotted(value, f"{before}{name}.")


def test_the_environment_is_kept_and_told(run_dir: Path, records: list[dict[str, Any]]) -> None:
    (start,) = json.loads((run_dir / "environment.json").read_text())
    assert start["from_step"] == 0
    assert start["python"] == sys.version.split()[0]
    assert {"torch", "wandb"} <= set(start["packages"])
    told: dict[str, Any] = {}
    for record in records:
        if record["type"] == "config":
            told |= record["config"]["update"].get("environment", {})
    assert told == {key: value for key, value in start.items() if key != "packages"}


# ---- Weights & Biases ----


def test_the_specification_has_every_panel_and_needs_no_network(tmp_path: Path) -> None:
    with offline(tmp_path):
        done = call("dashboard.__main__", "--out", "made/board.json", "--points", "dense", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "made/board.json\n"), done.stderr
    found = read(tmp_path / "made" / "board.json")
    sections = found["workspace"]["spec"]["section"]["panelBankConfig"]["sections"]
    wanted = panels(board(points="dense"))
    assert [section["name"] for section in sections] == [section.title for section in board()]
    drawn = [panel for section in sections for panel in section["panels"]]
    blocks = [block for block in found["report"]["spec"]["blocks"] if block["type"] == "panel-grid"]
    told = [panel for block in blocks for panel in block["metadata"]["panelBankSectionConfig"]["panels"]]
    assert len(told) == len(drawn) == len(wanted)
    for panel, *views in zip(wanted, drawn, told, strict=True):
        for view in views:
            text = json.dumps(view["config"])
            assert all(key in text for key in panel.logged), panel.title
            assert all(key.rpartition(".")[2] in text for key in panel.settings[:1]), panel.title
    (grouped,) = [block for block in blocks if block["metadata"]["runSets"][0]["grouping"]]
    names = [key["name"] for key in grouped["metadata"]["runSets"][0]["grouping"]]
    assert names == ["choices.value.fusion", "choices.value.locality", "choices.value.conditioning"]


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ((), "W&B cannot be reached (No API key configured. Use `wandb login` to log in); run wandb login, write"),
        (("--entity", "me"), "W&B cannot be reached (No API key configured"),
        (("--out", "."), "--out=. is a folder; give a file in it, as in --out=dashboard.json."),
        (("--out", "file/board.json"), "The folder "),
    ],
)
def test_what_cannot_be_made_ends_in_a_sentence(tmp_path: Path, argv: tuple[str, ...], sentence: str) -> None:
    (tmp_path / "file").touch()
    with offline(tmp_path):
        done = call("dashboard.__main__", *argv, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"error: {sentence}")


def test_without_its_package_a_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    done = call("dashboard.__main__", "--out", "board.json", folder=tmp_path)
    assert done.returncode == 2
    assert "pip install 'guided_seg[wandb]', or make the page without W&B: guided-seg study DIR --html." in done.stderr


# ---- the page ----


def test_the_page_has_every_panel_in_one_file(run_dir: Path, tmp_path: Path) -> None:
    done = call("study.__main__", str(run_dir), "--html", "--out", str(tmp_path), folder=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, str(tmp_path / "study.html")), done.stderr
    text = (tmp_path / "study.html").read_text()
    sections = board()
    for title in [panel.title for panel in panels(sections)]:
        assert f"<h3>{title}</h3>" in text
    assert re.findall(r'<a href="#([\w-]+)">', text) == re.findall(r'<section id="([\w-]+)">', text)
    assert {section.title.lower() for section in sections} < set(re.findall(r'<section id="([\w-]+)">', text))
    # of one run, all is there but what compares runs
    assert re.findall(r"nothing for it: (.*)\.</p>", text) == ["<code>val/positive_iou</code>"]
    pictures = re.findall(r'src="([^"]*)"', text)
    assert len(pictures) == 4 + 6 + 2 + 4
    assert all(re.match(r"data:image/(svg\+xml|png|jpeg);base64,", each) for each in pictures)
    assert not re.search(r"<script|<link|@import|url\(|(src|href)=.?(https?:|//)", text)
    start = json.loads((run_dir / "environment.json").read_text())[0]
    assert f"<td>{start['host']}</td>" in text


def test_a_broken_metrics_file_is_told_on_the_page_and_no_word_of_a_run_is_html(run_dir: Path, tmp_path: Path) -> None:
    for seed, (name, content) in enumerate((("<b>a", b"step,train/loss\n1,\xff\n"), ("b", None))):
        (tmp_path / name).mkdir()
        shutil.copy(run_dir / "metrics.json", tmp_path / name)
        config = (run_dir / "config.yaml").read_text().replace("seed: 0\n", f"seed: {seed}\n")
        (tmp_path / name / "config.yaml").write_text(config.replace("name: run\n", f"name: <script>{seed}</script>\n"))
        if content:
            (tmp_path / name / "metrics.csv").write_bytes(content)
    text = (study([tmp_path], html=True) / "study.html").read_text()
    said = "<li>The curves of {0} are missing: The table of metrics {0}/metrics.csv {1}"
    assert said.format("&lt;b&gt;a", "is not text in UTF-8: byte 0xff in line 2") in text
    assert said.format("b", "does not exist; put it there, or correct the path.") in text
    assert "These runs have nothing for it: <code>train/loss</code>." in text
    assert "<script" not in text
    assert "<b>a" not in text


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = call("study.__main__", "empty", "--html", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: No runs in empty; a run folder has config.yaml and metrics.json")
    assert not (tmp_path / "empty" / "study").exists()


def test_an_empty_study_has_a_page(tmp_path: Path) -> None:
    """As of a sweep whose jobs have all failed."""
    Page([], tmp_path).write(tmp_path / "study.html", board(), _table(), ["1 failed: no memory (a)."])
    assert "1 failed: no memory (a)." in (tmp_path / "study.html").read_text()


def _table() -> Any:
    from guided_seg.study.study_table import build

    return build([], 1, 5, None, timing=False)

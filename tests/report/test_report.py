"""Results as file and table, and the figures."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from guided_seg.episode import Episode, Shot
from guided_seg.errors import UserError
from guided_seg.files.writing import write_json
from guided_seg.report.balance import MOST, balance_chart, order
from guided_seg.report.drawing import iou_curve, learning_curve
from guided_seg.report.panels import Panel, PanelShot, panels
from guided_seg.report.results import (
    Results,
    Score,
    parse_setting,
    read_results,
    setting_key,
    sorted_settings,
    table,
)


def score(iou: float, episodes: int = 1200) -> Score:
    return Score(positive_iou=iou, mean_iou=iou - 0.05, ci95=[iou - 0.02, iou + 0.02], episodes=episodes)


RESULTS: Results = {
    "interactive": {"s1_pdense": score(0.8), "s1_p25": score(0.7), "s1_p5": score(0.6), "s1_p1": score(0.5)},
    "semantic": {"s1_p5": score(0.4), "s5_p5": score(0.5)},
}


def test_settings_go_to_keys_and_back() -> None:
    for setting in ((1, 5), (5, "dense"), (2, 0)):
        assert parse_setting(setting_key(*setting)) == setting


@pytest.mark.parametrize("key", ["s1", "s1_p", "s1_pmany", "xs1_p5", "s1_p5 "])
def test_what_is_no_setting_is_refused(key: str) -> None:
    with pytest.raises(UserError, match="such as s1_p5"):
        parse_setting(key)


def test_settings_are_sorted_with_dense_last() -> None:
    assert [points for _, points, _ in sorted_settings(RESULTS["interactive"])] == [1, 5, 25, "dense"]


def test_results_survive_the_file(tmp_path: Path) -> None:
    path = write_json(tmp_path / "metrics.json", RESULTS | {"run": {"seconds": 1.0, "steps": 2}})
    assert read_results(path) == RESULTS
    assert list(tmp_path.iterdir()) == [path]


def test_nan_becomes_null_and_nan_again(tmp_path: Path) -> None:
    path = write_json(tmp_path / "metrics.json", {"video": {"s1_p1": score(math.nan, 0)}})
    assert json.loads(path.read_text())["video"]["s1_p1"]["ci95"] == [None, None]
    assert math.isnan(read_results(path)["video"]["s1_p1"]["positive_iou"])


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_json(tmp_path / "metrics.json", RESULTS)
    with pytest.raises(TypeError):
        write_json(path, {"run": object()})
    assert read_results(path) == RESULTS
    assert list(tmp_path.iterdir()) == [path]


def test_table_fits_a_terminal_and_shows_every_setting() -> None:
    console = Console(width=80, file=sys.stdout, record=True)
    console.print(table(RESULTS | {"video": {"s1_p1": score(math.nan, 0)}}))
    text = console.export_text()
    assert "…" not in text
    assert text.count("interactive") == 1
    rows = [line.split() for line in text.splitlines()]
    assert ["interactive", "1", "1", "50.0", "48.0", "to", "52.0", "45.0", "1,200"] in rows
    assert ["5", "5", "50.0", "48.0", "to", "52.0", "45.0", "1,200"] in rows


def painted(path: Path) -> int:
    """How many colours the picture has: a blank one has a single one."""
    with Image.open(path) as image:
        return len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0))


def test_learning_curve_takes_sparse_cells(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.csv"
    metrics.write_text(
        "step,epoch,train/loss,train/iou,val/positive_iou,test/iou\n"
        "0,0,0.7,0.1,,\n1,0,0.6,0.2,,\n1,0,,,0.3,\n1,0,0.5,nan,,\n2,1,,,,0.9\n"
    )
    assert painted(learning_curve(metrics, tmp_path / "deep" / "curve.png") or Path()) > 10


@pytest.mark.parametrize("name", ["train/loss", "val/interactive", "val/positive_iou"])
def test_learning_curve_of_one_column(tmp_path: Path, name: str) -> None:
    rows = [{"step": step, name: 1 / (step + 1)} for step in range(100)]
    assert learning_curve(rows, tmp_path / "curve.png") == tmp_path / "curve.png"


def test_learning_curve_of_nothing_is_none(tmp_path: Path) -> None:
    assert learning_curve([{"step": 1, "test/iou": 0.5}, {"epoch": 2}], tmp_path / "curve.png") is None
    assert not (tmp_path / "curve.png").exists()


@pytest.mark.parametrize(
    "results",
    [
        RESULTS,
        {"video": {"s1_pdense": score(0.5)}},
        {"video": {"s1_p5": score(0.5)}},
        {"video": {"s1_p0": score(math.nan), "s1_p1": score(0.5)}},
        {},
    ],
)
def test_iou_curve_of_any_settings(tmp_path: Path, results: Results) -> None:
    path = iou_curve(results, tmp_path / "iou.png")
    assert painted(path) > 10


def image(height: int = 12, width: int = 16) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


def labels(height: int = 12, width: int = 16) -> torch.Tensor:
    out = torch.zeros(height, width, dtype=torch.uint8)
    out[3:7, 4:9] = 1
    out[0] = 255
    return out


def test_iou_of_a_panel_leaves_void_out() -> None:
    target, prediction = labels(), torch.zeros(12, 16, dtype=torch.int64)
    prediction[:5, 4:9] = 1
    shot = PanelShot(image(), mask=target)
    assert Panel([shot], image(), prediction, target).iou == pytest.approx(10 / 30)
    empty = torch.zeros(12, 16, dtype=torch.uint8)
    assert math.isnan(Panel([shot], image(), empty, empty).iou)


def test_panels_of_several_labels_tell_them_apart() -> None:
    target = np.array([[0, 1, 2, 255]], np.uint8)
    row = Panel([], image(1, 4), np.array([[0, 2, 2, 1]], np.uint8), target)
    assert row.several
    assert row.iou == pytest.approx(1 / 3)  # label 1: 0 of 1 pixel; label 2: 1 of 2
    assert not Panel([], image(1, 4), target == 1, np.minimum(target, 1)).several
    assert Panel([PanelShot(image(), points=np.array([[1, 1, 2]]))], image(1, 4), target == 1, target == 1).several


def test_panels_of_dots_masks_and_many_shots(tmp_path: Path) -> None:
    dots = torch.tensor([[1, 2, 0], [4, 5, 1]])
    many = dots.repeat(20, 1).numpy()
    shots = [
        PanelShot(image(), dots),
        PanelShot(image(20, 10), mask=labels(20, 10)),
        PanelShot(image(), many),
    ]
    full, none = torch.ones(12, 16, dtype=torch.uint8), torch.zeros(12, 16, dtype=torch.uint8)
    rows = [
        Panel(shots[:1], image(), labels(), labels(), "interactive"),
        Panel(shots + shots, image().numpy(), full.numpy(), labels().numpy(), "semantic · cow"),
        Panel([], image(), none, full),
        Panel([PanelShot(image(), torch.zeros(0, 3, dtype=torch.int64))], image(), none, none),
    ]
    assert painted(panels(rows, tmp_path / "panels.png")) > 100


def test_panel_of_an_episode(tmp_path: Path) -> None:
    shot = Shot(image(), points=torch.tensor([[4, 5, 1]]), is_query=True)
    panel = Panel.of(Episode(image(), labels(), [shot]), labels() == 1, "interactive")
    assert panel.iou == 1
    panels([panel], tmp_path / "panels.png")


def test_panel_of_an_episode_that_is_only_asked(tmp_path: Path) -> None:
    shot = Shot(image(), points=torch.tensor([[4, 5, 1]]), is_query=True)
    asked = Panel.of(Episode(image(), labels(), [shot]), title="interactive")
    assert math.isnan(asked.iou)
    assert not asked.several
    answered = Panel.of(Episode(image(), labels(), [shot]), labels())
    heights = [cv2.imread(str(panels([row], tmp_path / "panels.png"))).shape[0] for row in (asked, answered)]
    assert heights[0] > heights[1]  # three pictures fill the width, not four


def test_balance_is_drawn_from_the_most_to_the_fewest(tmp_path: Path) -> None:
    counts = {"train": {f"class {number}": number for number in range(1, MOST + 9)}, "val": {"class 1": 99}, "test": {}}
    assert order(counts)[:2] == ["class 1", f"class {MOST + 8}"]
    assert painted(balance_chart(counts, "tasks", tmp_path / "classes.png")) > 100


def test_panels_of_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one"):
        panels([], tmp_path / "panels.png")


def test_figures_leave_pyplot_alone() -> None:
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()

"""Pictures of protocols' figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.evaluations import NAMES

from guided_seg.protocols import curves
from guided_seg.protocols.curves import curve
from guided_seg.protocols.scores import Scored, Setting
from guided_seg.protocols.statistics import Interval


def interval(value: float) -> Interval:
    return {"value": value, "ci95": [value - 0.1, value + 0.1], "ci95_seeds": None}


def found(*settings: Setting) -> Scored:
    return {"about": "A.", "source": "shapes test", "episodes_sha256": "0", "unit": "groups", "settings": [*settings]}


def setting(shots: int, points: str, **figures: float) -> Setting:
    shown = {name.replace("_at_", "@"): interval(value) for name, value in figures.items()}
    return {"mode": "video", "shots": shots, "points": points, "episodes": 3, "figures": shown}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is handed on to be drawn."""
    seen: dict[str, Any] = {}

    def draw(results: Any, path: Path, across: str, up: str) -> Path:
        seen.update(results=results, across=across, up=up)
        return path

    monkeypatch.setattr(curves, "iou_curve", draw)
    return seen


def test_the_first_figure_against_the_dots(drawn: dict[str, Any], tmp_path: Path) -> None:
    budgets = [setting(s, p, J=s / 10 + len(p) / 100, F=0.0) for s in (1, 2) for p in ("5", "dense")]
    assert curve(found(*budgets), tmp_path / "x.png") == tmp_path / "x.png"
    assert drawn["up"] == "J"
    values = {key: score["positive_iou"] for key, score in drawn["results"]["video"].items()}
    assert values == pytest.approx({"s1_p5": 0.11, "s1_pdense": 0.15, "s2_p5": 0.21, "s2_pdense": 0.25})
    assert drawn["results"]["video"]["s2_p5"]["ci95"] == pytest.approx([0.11, 0.31])


def test_the_iou_against_clicks(drawn: dict[str, Any], tmp_path: Path) -> None:
    clicks = setting(1, "clicks", NoC_at_80=7.0, IoU_at_1=0.4, IoU_at_20=0.8)
    assert curve(found(clicks), tmp_path / "x.png")
    assert (drawn["across"], drawn["up"]) == ("clicks", "mean IoU")
    assert {key: score["positive_iou"] for key, score in drawn["results"]["video"].items()} == {
        "s1_p1": 0.4,
        "s1_p20": 0.8,
    }


def test_one_budget_makes_no_line(drawn: dict[str, Any], tmp_path: Path) -> None:
    assert curve(found(setting(1, "dense", J=0.5), setting(5, "dense", J=0.6)), tmp_path / "x.png") is None
    assert not drawn


def test_every_protocol_but_those_of_one_budget_leaves_a_picture(scored: tuple[dict[str, Scored], Path]) -> None:
    pictures = {path.stem: path.read_bytes()[:4] for path in (scored[1] / "figures").iterdir()}
    assert pictures == dict.fromkeys(set(NAMES) - {"hsnet"}, b"\x89PNG")

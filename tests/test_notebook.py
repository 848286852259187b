"""The notebook of the examples: it runs as it is, in time, and its plots show what its text says."""

from __future__ import annotations

import json
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from guided_seg.session import Session

NOTEBOOK = Path(__file__).parents[1] / "examples" / "quickstart.ipynb"
LIMIT = 120
"""Seconds that it may take."""


def test_it_is_stored_without_outputs() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    notebook = json.loads(text)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    names = [cell["id"] for cell in notebook["cells"]]
    assert len(set(names)) == len(names) > 10
    for cell in notebook["cells"]:
        assert cell["cell_type"] in ("markdown", "code")
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


def test_it_runs_and_plots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.gcf()))
    mpl.use("Agg")
    shown: list[plt.Figure] = []
    names: dict[str, object] = {}
    began = time.monotonic()
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert time.monotonic() - began < LIMIT
    assert [len(figure.axes) for figure in shown] == [3, 3, 4, 4]
    for figure in shown:
        figure.canvas.draw()  # what is drawn can be
    for figure in shown[:3]:
        for axes in figure.axes:
            labels = np.ma.getdata(axes.images[1].get_array())
            assert 0.1 < (labels == 1).mean() < 0.7, axes.get_title()  # the cup and its saucer, not all and not nothing
    probability = shown[3].axes[0].images[0].get_array()
    assert probability is not None
    assert 0 <= probability.min() < 0.1 < 0.9 < probability.max() <= 1
    (folder,) = (path for path in tmp_path.iterdir() if path.name != "quickstart.session")
    assert any(folder.rglob("*.json"))
    assert Session.open("quickstart.session").annotated == ["coffee"]
    plt.close("all")

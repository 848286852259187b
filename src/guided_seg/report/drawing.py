"""Curves of training and of IoU against dots, drawn without pyplot, which would keep global state."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Literal, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from guided_seg.files.text import read_table
from guided_seg.report.results import Points, Results, Score, sorted_settings

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""The palette of Okabe and Ito, distinguishable with any colour vision."""

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
}
"""The style of all curves, for ``matplotlib.rc_context``."""

DPI = 160
"""Pixels per inch of the figures."""

Rows = Sequence[Mapping[str, object]]
"""Logged metrics: a mapping for each row, in which cells may be absent or empty."""


def learning_curve(metrics: str | os.PathLike[str] | Rows, path: str | os.PathLike[str]) -> Path | None:
    """Draw losses, and IoU in training and validation, against the step.

    Args:
        metrics: a ``metrics.csv`` or its rows, with ``step`` and any of ``train/...`` and ``val/...``.
        path: the picture to write.

    Returns:
        The path, or None if the rows have nothing to draw.
    """
    found = curves(metrics)
    losses = {name: curve for name, curve in found.items() if name.endswith("loss")}
    scores = {name: curve for name, curve in found.items() if _is_score(name)}
    parts = [(title, part) for title, part in (("loss", losses), ("IoU", scores)) if part]
    if not parts:
        return None
    with mpl.rc_context(STYLE):
        figure = new_figure(4.2 * len(parts), 2.9)
        for column, (title, part) in enumerate(parts, start=1):
            axes = figure.add_subplot(1, len(parts), column, title=title, xlabel="step")
            _draw_curves(axes, part)
            if title == "IoU":
                axes.set_ylim(0, 1)
        return save(figure, path)


def iou_curve(
    results: Results, path: str | os.PathLike[str], across: str = "dots per label", up: str = "positive IoU"
) -> Path:
    """Draw positive IoU against dots per label: a line for each mode and S with its 95 % interval, dense at the right.

    Args:
        results: the scores.
        path: the picture to write.
        across: the label of the horizontal axis.
        up: the label of the vertical axis.
    """
    ticks = _ticks(results)
    with mpl.rc_context(STYLE):
        figure = new_figure(4.6, 3.1)
        axes = figure.add_subplot(xlabel=across, ylabel=up, ylim=(0, 1))
        several = len({shots for scores in results.values() for shots, _, _ in sorted_settings(scores)}) > 1
        for colour, (mode, scores) in zip(cycle(COLOURS), results.items(), strict=False):
            for marker, (shots, row) in zip("osD^v", _by_shots(scores).items(), strict=False):
                label = f"{mode}, S = {shots}" if several else mode
                _draw_line(axes, ticks, row, colour, marker, label)
        if ticks:
            set_ticks(axes, ticks)
            axes.legend(fontsize=8)
        return save(figure, path)


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """A figure of this size in inches with an Agg canvas, which needs no display and no global state."""
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: str | os.PathLike[str], dpi: int = DPI) -> Path:
    """Write the figure; missing folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi, facecolor="white")
    return path


def curves(metrics: str | os.PathLike[str] | Rows) -> dict[str, np.ndarray]:
    """Name -> float ``[N, 2]`` of (step, value). If a resumed run logged a step again, the last value holds.

    Args:
        metrics: a ``metrics.csv`` or its rows, with ``step``.

    Raises:
        UserError: the file cannot be read.
    """
    rows = metrics
    if isinstance(metrics, str | os.PathLike):
        rows = read_table(Path(metrics), "table of metrics", ("step",))
    found: dict[str, dict[float, float]] = {}
    for row in cast("Rows", rows):
        step = _float(row.get("step"))
        for name, cell in row.items():
            value = _float(cell)
            if name not in ("step", "epoch") and math.isfinite(step) and math.isfinite(value):
                found.setdefault(name, {})[step] = value
    return {name: np.array(sorted(points.items())) for name, points in found.items()}


def _float(cell: object) -> float:
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def _is_score(name: str) -> bool:
    stage, _, rest = name.partition("/")
    modes = ("interactive", "semantic", "video")
    return stage in ("train", "val") and ("iou" in rest or rest.startswith(modes)) and not rest.endswith("loss")


def _draw_curves(axes: Axes, found: Mapping[str, np.ndarray]) -> None:
    for colour, (name, curve) in zip(cycle(COLOURS), found.items(), strict=False):
        step, value = curve.T
        if len(value) < 30:
            axes.plot(step, value, "o-", color=colour, ms=3.5, lw=1.6, label=name)
            continue
        axes.plot(step, value, color=colour, lw=0.6, alpha=0.3)
        axes.plot(step, _smooth(value), color=colour, lw=1.6, label=name)
    axes.legend(fontsize=8)


def _smooth(value: np.ndarray) -> np.ndarray:
    """A centred running mean over 5 % of the curve; the window shrinks at the ends instead of padding."""
    reach = max(1, len(value) // 40)
    total = np.concatenate([[0.0], np.cumsum(value)])
    centre = np.arange(len(value))
    half = np.minimum(reach, np.minimum(centre, len(value) - 1 - centre))
    return (total[centre + half + 1] - total[centre - half]) / (2 * half + 1)


def _ticks(results: Results) -> dict[Points, float]:
    return point_places({p for scores in results.values() for _, p, _ in sorted_settings(scores)})


def point_places(points: Collection[Points]) -> dict[Points, float]:
    """P -> its place on a log axis; dense is placed to the right of the largest P."""
    numbers = sorted(p for p in points if p != "dense")
    places: dict[Points, float] = {p: math.log2(max(p, 0.5)) for p in numbers}
    if "dense" in points:
        places["dense"] = max(places.values(), default=-1.0) + 1.5
    return places


def set_ticks(axes: Axes, ticks: Mapping[Points, float]) -> None:
    """Label the places of `point_places` on the axis."""
    axes.set_xticks(list(ticks.values()), [str(p) for p in ticks])
    axes.set_xlim(min(ticks.values()) - 0.3, max(ticks.values()) + 0.3)


def _by_shots(scores: Mapping[str, Score]) -> dict[int, list[tuple[Points, Score]]]:
    rows: dict[int, list[tuple[Points, Score]]] = {}
    for shots, points, score in sorted_settings(scores):
        rows.setdefault(shots, []).append((points, score))
    return rows


def _draw_line(
    axes: Axes,
    ticks: Mapping[Points, float],
    row: Sequence[tuple[Points, Score]],
    colour: str,
    marker: str,
    label: str,
) -> None:
    """One line; its part up to dense is dotted, as a mask is not a number of dots."""
    x = np.array([ticks[points] for points, _ in row])
    y = np.array([score["positive_iou"] for _, score in row])
    low, high = np.array([score["ci95"] for _, score in row]).T
    dots = len(row) - (row[-1][0] == "dense")
    axes.plot(x[:dots], y[:dots], color=colour, lw=1.8)
    axes.plot(x[max(dots - 1, 0) :], y[max(dots - 1, 0) :], color=colour, lw=1.4, ls=":")
    axes.plot(x, y, marker, color=colour, ms=5, mec="white", mew=0.8, label=label)
    axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)

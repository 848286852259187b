"""The figures that only the page of a study has: values against the step, last values, and settings with scores."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from statistics import fmean

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullLocator

from guided_seg.dashboard.board import BoardPanel
from guided_seg.report.drawing import STYLE, new_figure
from guided_seg.study.compositions import Composition, natural
from guided_seg.study.runs import Run
from guided_seg.study.study_figures import looks, panel_axes

Curves = Mapping[str, Mapping[str, np.ndarray]]
"""Folder of a run -> name -> float ``[N, 2]`` of (step, value)."""

_MOST = 400
"""The largest number of points of a line."""


def embedded(figure: Figure) -> str:
    """The figure as the address of an image, with the same bytes for the same figure."""
    content = BytesIO()
    with mpl.rc_context({"svg.hashsalt": "guided_seg"}):
        figure.savefig(content, format="svg", metadata={"Date": None}, facecolor="white")
    return f"data:image/svg+xml;base64,{base64.b64encode(content.getvalue()).decode()}"


def lines(panel: BoardPanel, compositions: Sequence[Composition], curves: Curves) -> Figure | None:
    """Axes for each key, a line per run, in the colour of its composition; None if no run logged any."""
    keys = [key for key in panel.keys if any(key in found for found in curves.values())]
    if not keys:
        return None
    with mpl.rc_context(STYLE):
        figure, axes = panel_axes(keys, "step", "")
        for key, place in zip(keys, axes, strict=True):
            for composition, (colour, style) in zip(compositions, looks(), strict=False):
                for run in composition.runs.values():
                    x, y = _thinned(curves.get(run.folder, {}).get(key, np.zeros((0, 2)))).T
                    marker = "o" if len(x) < 20 else ""
                    place.plot(x, y, style, marker=marker, ms=3, color=colour, lw=1.2, alpha=0.85)
            if panel.share:
                place.set_ylim(0, 1)
            if panel.log:
                _logarithmic(place)
        return figure


def _logarithmic(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def _thinned(curve: np.ndarray) -> np.ndarray:
    """The means of groups of neighbours, if there are more than `_MOST` points."""
    return curve if len(curve) <= _MOST else np.array([part.mean(0) for part in np.array_split(curve, _MOST)])


def value_of(run: Run, key: str) -> float:
    """The last value that a run logged under ``test/<mode>/<setting>`` or ``run/<name>``; NaN if it has none."""
    stage, _, rest = key.partition("/")
    if stage == "run":
        return run.facts.get(rest, math.nan)
    mode, _, setting = rest.partition("/")
    score = run.results.get(mode, {}).get(setting)
    return score["positive_iou"] if score else math.nan


def mean_value(runs: Sequence[Run], key: str) -> float:
    """The mean of `value_of` over the runs that have one."""
    found = [value for run in runs if math.isfinite(value := value_of(run, key))]
    return fmean(found) if found else math.nan


def bars(panel: BoardPanel, compositions: Sequence[Composition]) -> Figure | None:
    """Axes for each key, a bar per composition: the mean over its seeds; None if no run has a value."""
    values = {key: [mean_value(list(each.runs.values()), key) for each in compositions] for key in panel.keys}
    values = {key: row for key, row in values.items() if any(map(math.isfinite, row))}
    if not values:
        return None
    with mpl.rc_context(STYLE | {"axes.grid.axis": "x"}):
        figure = new_figure(3.4 * len(values) + 2.0, 0.8 + 0.26 * len(compositions))
        rows = range(len(compositions))
        for number, (key, row) in enumerate(values.items(), 1):
            axes = figure.add_subplot(1, len(values), number, title=key)
            drawn = axes.barh(
                rows, row, height=0.7, color=[colour for _, (colour, _) in zip(rows, looks(), strict=False)]
            )
            axes.bar_label(drawn, fmt="%.3g", padding=2, fontsize=8)
            axes.set_yticks(rows, [each.label for each in compositions] if number == 1 else [""] * len(compositions))
            axes.invert_yaxis()
            axes.set_axisbelow(True)
            axes.margins(x=0.15)
            if panel.share:
                axes.set_xlim(0, 1)
        return figure


def parallel(columns: Mapping[str, Sequence[str]], scores: Sequence[float], title: str) -> Figure:
    """A line per run across its settings to its score, in the colour of the score.

    Args:
        columns: setting -> its value in each run.
        scores: the score of each run, from 0 to 1.
        title: of the axis of scores.
    """
    places, last = {}, len(columns)
    for number, (name, values) in enumerate(columns.items()):
        options = sorted(set(values), key=natural)
        places[name] = (number, {value: (row + 0.5) / len(options) for row, value in enumerate(options)})
    most = max(len(rows) for _, rows in places.values())
    low, high = min(scores), max(scores)
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure = new_figure(1.7 * (last + 1) + 1.0, 3.6)
        axes = figure.add_subplot(xlim=(-0.4, last + 0.5), ylim=(-0.02, 1.02))
        axes.set_xticks(range(last + 1), [*columns, title])
        axes.yaxis.set_visible(False)
        axes.spines["left"].set_visible(False)
        for number, rows in places.values():
            axes.axvline(number, color="#bbbbbb", lw=1)
            for value, height in rows.items():
                label = axes.text(number + 0.04, height, value or "–", fontsize=7.5, va="center", zorder=3)
                label.set_path_effects([withStroke(linewidth=3, foreground="white")])
        axes.axvline(last, color="#bbbbbb", lw=1)
        spread = (high - low) or 1.0
        colours = mpl.colormaps["viridis"]
        for row in sorted(range(len(scores)), key=lambda row: scores[row]):
            share = (scores[row] - low) / spread if high > low else 0.5
            # runs with one value lie side by side, in the order of their scores
            points = [places[name][1][values[row]] + (share - 0.5) * 0.5 / most for name, values in columns.items()]
            axes.plot(range(last + 1), [*points, share], color=colours(0.9 * share), lw=1.4, alpha=0.8)
        for share, score in ((0.0, low), (1.0, high)) if high > low else ((0.5, low),):
            axes.text(last + 0.05, share, f"{score:.3f}", fontsize=7.5, va="center")
        return figure

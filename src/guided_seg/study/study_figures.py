"""The figures of a study: IoU against P, S and update time, and a heat map of choices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from guided_seg.report.drawing import COLOURS, STYLE, new_figure, point_places, save, set_ticks
from guided_seg.report.results import Points
from guided_seg.study.averages import Average, average, modes, settings, shown_at, update_ms
from guided_seg.study.compositions import Composition

_HEAT = ("fusion", "locality", "conditioning")


def draw(compositions: Sequence[Composition], shots: int, points: Points, folder: Path) -> list[Path]:
    """Draw every figure that the runs have data for, and return the paths.

    Args:
        compositions: each is a line, a dot or a cell.
        shots: S of the figure against P, of the update times and of the heat map.
        points: P of the figure against S, of the update times and of the heat map.
        folder: the folder for the pictures.
    """
    with mpl.rc_context(STYLE):
        figures = {
            "iou_against_points": _against_points(compositions, shots),
            "iou_against_shots": _against_shots(compositions, points),
            "iou_against_update_time": _against_time(compositions, shots, points),
            "heat_map": _heat_map(compositions, shots, points),
        }
        return [save(figure, folder / f"{name}.png") for name, figure in figures.items() if figure]


def panel_axes(names: Sequence[str], xlabel: str, ylabel: str = "positive IoU") -> tuple[Figure, list[Axes]]:
    """A figure with axes of these titles side by side."""
    figure = new_figure(3.6 * len(names) + 0.4, 3.4)
    axes = [figure.add_subplot(1, len(names), 1 + i, title=name, xlabel=xlabel) for i, name in enumerate(names)]
    axes[0].set_ylabel(ylabel)
    return figure, axes


def legend_below(figure: Figure, axes: Axes) -> None:
    """One legend below all panels, as labels are long."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + 0.19 * len(labels))
        figure.legend(handles, labels, loc="outside lower center", fontsize=7, frameon=False)


def _against_points(compositions: Sequence[Composition], shots: int) -> Figure | None:
    def at(mode: str) -> list[tuple[int, Points]]:
        return [setting for setting in settings(compositions, mode) if setting[0] == shown_at(mode, shots)]

    names = [mode for mode in modes(compositions) if len(at(mode)) > 1]
    if not names:
        return None
    figure, axes = panel_axes(names, "dots per label")
    for name, place in zip(names, axes, strict=True):
        ticks = point_places({points for _, points in at(name)})
        _lines(place, compositions, name, [(ticks[points], s, points) for s, points in at(name)])
        set_ticks(place, ticks)
    legend_below(figure, axes[0])
    return figure


def _against_shots(compositions: Sequence[Composition], points: Points) -> Figure | None:
    def at(mode: str) -> list[int]:
        return [shots for shots, p in settings(compositions, mode) if p == points]

    names = [mode for mode in modes(compositions) if len(at(mode)) > 1]
    if not names:
        return None
    figure, axes = panel_axes(names, "shots")
    for name, place in zip(names, axes, strict=True):
        _lines(place, compositions, name, [(shots, shots, points) for shots in at(name)])
        place.set_xticks(at(name))
    legend_below(figure, axes[0])
    return figure


def _lines(
    axes: Axes, compositions: Sequence[Composition], mode: str, places: Sequence[tuple[float, int, Points]]
) -> None:
    """A line per composition with its interval as a band; ``places`` are (x, S, P)."""
    for composition, (colour, style) in zip(compositions, looks(), strict=False):
        found = [(x, average(composition, mode, shots, points)) for x, shots, points in places]
        row = [(x, value) for x, value in found if value]
        if not row:
            axes.plot([], [], style, color=colour, label=composition.label)
            continue
        x, mean, low, high = np.array([(x, value.mean, value.low, value.high) for x, value in row]).T
        axes.plot(x, mean, style, color=colour, marker="o", ms=3.5, lw=1.5, label=composition.label)
        axes.fill_between(x, low, high, color=colour, alpha=0.12, lw=0)
    axes.set_ylim(0, 1)


def _against_time(compositions: Sequence[Composition], shots: int, points: Points) -> Figure | None:
    coloured = zip(compositions, looks(), strict=False)
    known = [(update_ms(composition), composition, colour) for composition, (colour, _) in coloured]
    known = [entry for entry in known if math.isfinite(entry[0])]
    if not known:
        return None
    names = modes(compositions)
    figure, axes = panel_axes(names, "ms for a new dot")
    for name, place in zip(names, axes, strict=True):
        for milliseconds, composition, colour in known:
            found = average(composition, name, shown_at(name, shots), points)
            value, bar = (found.mean, _bar(found)) if found else (math.nan, [[0.0], [0.0]])
            place.errorbar(milliseconds, value, bar, fmt="o", color=colour, label=composition.label)
        place.set(xscale="log", ylim=(0, 1))
        place.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        place.xaxis.set_major_formatter("{x:g}")
        place.xaxis.set_minor_locator(NullLocator())
    legend_below(figure, axes[0])
    return figure


def _bar(found: Average) -> list[list[float]]:
    return [[max(found.mean - found.low, 0)], [max(found.high - found.mean, 0)]]


def looks() -> Iterator[tuple[str, str]]:
    """Pairs of colour and line style; the style changes whenever the colours repeat."""
    styles = cycle(("-", "--", ":", "-."))
    while True:
        style = next(styles)
        yield from ((colour, style) for colour in COLOURS)


def _heat_map(compositions: Sequence[Composition], shots: int, points: Points) -> Figure | None:
    """The choices of `_HEAT` that vary, the last of them across. A cell shows the best of its compositions."""
    varying = [key for key in _HEAT if compositions and key in dict(compositions[0].settings)]
    if len(varying) < 2:
        return None
    down, across = _values(compositions, varying[:-1]), _values(compositions, varying[-1:])
    names = modes(compositions)
    figure, axes = panel_axes(names, varying[-1], ", ".join(varying[:-1]))
    for name, place in zip(names, axes, strict=True):

        def best(row: tuple[str, ...], column: tuple[str, ...], mode: str = name) -> float:
            wanted = set(zip(varying, (*row, *column), strict=True))
            mine = [c for c in compositions if wanted <= set(c.settings)]
            found = [average(composition, mode, shown_at(mode, shots), points) for composition in mine]
            return max((value.mean for value in found if value), default=math.nan)

        _draw_grid(place, down, across, best)
    return figure


def _values(compositions: Sequence[Composition], keys: Sequence[str]) -> list[tuple[str, ...]]:
    return sorted({tuple(dict(composition.settings)[key] for key in keys) for composition in compositions})


def _draw_grid(
    axes: Axes,
    down: Sequence[tuple[str, ...]],
    across: Sequence[tuple[str, ...]],
    value: Callable[[tuple[str, ...], tuple[str, ...]], float],
) -> None:
    """Percent in every cell; a cell without a value stays white."""
    grid = np.array([[value(row, column) for column in across] for row in down])
    axes.imshow(grid, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(across)), [", ".join(column) for column in across], rotation=30, ha="right", fontsize=7)
    axes.set_yticks(range(len(down)), [", ".join(row) for row in down], fontsize=7)
    axes.grid(visible=False)
    for (row, column), share in np.ndenumerate(grid):
        if math.isfinite(share):
            colour = "white" if share < 0.6 else "black"
            axes.text(column, row, f"{100 * share:.1f}", ha="center", va="center", color=colour, fontsize=8)

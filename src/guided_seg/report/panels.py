"""Pictures of episodes: a row for each, with its support, the query, the prediction if any, and the truth."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike

from guided_seg.episode import IGNORE, Episode
from guided_seg.report.drawing import new_figure, save

MAX_SHOTS = 3
"""The largest number of support images drawn for an episode."""

# inches: the width of a row, its largest height, the height of its titles, the gap between cells and below titles
_WIDTH, _TALLEST, _HEAD, _GAP, _PAD = 7.6, 2.2, 0.24, 0.05, 0.05
_POSITIVE, _NEGATIVE = "#00B67A", "#E0402A"
_LABELS = ("#2D8CFF", "#E69F00", "#CC79A7", "#009E73", "#D55E00", "#56B4E9")
_STYLE: dict[Any, Any] = {"font.size": 8.5}


@dataclass(frozen=True, slots=True)
class PanelShot:
    """One annotated support image, as arrays or tensors on the CPU.

    Attributes:
        image: float ``[3, H, W]`` in ``[0, 1]``.
        points: int ``[P, 3]`` rows of (row, column, label), or None.
        mask: uint8 ``[H, W]`` labels, 255 not annotated, or None.
    """

    image: ArrayLike
    points: ArrayLike | None = None
    mask: ArrayLike | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """One row of the figure, as arrays or tensors on the CPU.

    Attributes:
        support: the shots; the first `MAX_SHOTS` are drawn.
        query: float ``[3, H, W]`` in ``[0, 1]``.
        prediction: uint8 ``[H, W]`` labels, or None if there is no prediction.
        target: uint8 ``[H, W]`` labels, 255 not scored.
        title: what the row shows, such as ``semantic · cow``.
    """

    support: Sequence[PanelShot]
    query: ArrayLike
    prediction: ArrayLike | None
    target: ArrayLike
    title: str = ""

    @classmethod
    def of(cls, episode: Episode, prediction: ArrayLike | None = None, title: str = "") -> Panel:
        """The panel of an episode, with the labels ``[H, W]`` predicted for its query, if any."""
        shots = [PanelShot(shot.image, shot.points, shot.mask) for shot in episode.support]
        return cls(shots, episode.query, prediction, episode.target, title)

    @property
    def iou(self) -> float:
        """IoU of the positive pixels, summed over labels, without void; NaN if there are none or no prediction."""
        if self.prediction is None:
            return float("nan")
        target, predicted = np.asarray(self.target), np.asarray(self.prediction)
        scored = target != IGNORE
        labels = _positives(target) | _positives(predicted)
        common = sum(int(((predicted == label) & (target == label)).sum()) for label in labels)
        union = sum(int((((predicted == label) & scored) | (target == label)).sum()) for label in labels)
        return common / union if union else float("nan")

    @property
    def several(self) -> bool:
        """Whether there are several positive labels, so that each needs its own colour."""
        dots = [np.asarray(shot.points)[:, 2] for shot in self.support if shot.points is not None]
        masks = [np.asarray(shot.mask) for shot in self.support if shot.mask is not None]
        answer = [] if self.prediction is None else [self.prediction]
        return bool(set().union(*map(_positives, [self.target, *answer, *dots, *masks])) - {1})


def panels(rows: Sequence[Panel], path: str | os.PathLike[str], dpi: int = 200) -> Path:
    """Draw the episodes one below the other, each scaled to the full width, and write the picture.

    Args:
        rows: the episodes.
        path: the picture.
        dpi: pixels per inch; a row is 7.6 inches wide.

    Raises:
        ValueError: no rows were given.
    """
    if not rows:
        raise ValueError("panels got no episodes; give at least one.")
    heights = [_row_height(row) for row in rows]
    total = sum(heights) + _HEAD * len(rows) + _GAP
    with mpl.rc_context(_STYLE):
        figure = new_figure(_WIDTH, total, layout=None)
        # one axes for all cells, in inches: one for each would take most of the time
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, _WIDTH), ylim=(0, total), autoscale_on=False)
        axes.axis("off")
        bottom = total
        for row, height in zip(rows, heights, strict=True):
            bottom -= height + _HEAD
            _draw_row(_cells(axes, row, bottom, height), row)
        return save(figure, path, dpi)


def _images(row: Panel) -> list[ArrayLike]:
    """The image in each cell: the shots, then the query for itself, for the prediction if any, and for the truth."""
    return [shot.image for shot in row.support[:MAX_SHOTS]] + [row.query] * (2 if row.prediction is None else 3)


def _aspects(row: Panel) -> list[float]:
    return [np.shape(image)[2] / np.shape(image)[1] for image in _images(row)]


def _row_height(row: Panel) -> float:
    """The height in inches at which the row fills the width, bounded for rows of few or tall images."""
    aspects = _aspects(row)
    return min(_TALLEST, (_WIDTH - _GAP * (len(aspects) + 1)) / sum(aspects))


class _Cell(NamedTuple):
    """A rectangle of the figure, in inches from its lower left corner."""

    axes: Axes
    left: float
    bottom: float
    width: float
    height: float

    def place(self, pixels: ArrayLike, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """The x and y of pixels ``[2, ...]``, rows and columns in an image of this height and width."""
        rows, columns = np.asarray(pixels)
        x = self.left + (columns + 0.5) / size[1] * self.width
        return x, self.bottom + (1 - (rows + 0.5) / size[0]) * self.height

    def title(self, text: str, **style: Any) -> None:
        """Write above the cell, in the middle."""
        self.axes.text(self.left + self.width / 2, self.bottom + self.height + _PAD, text, **{"ha": "center", **style})

    def show(self, image: Float[np.ndarray, "H W 3"]) -> None:
        """Draw an image."""
        extent = (self.left, self.left + self.width, self.bottom, self.bottom + self.height)
        # nearest shows the pixels of a small image as the network saw them
        self.axes.imshow(image, interpolation="nearest", aspect="auto", extent=extent)


def _cells(axes: Axes, row: Panel, bottom: float, height: float) -> list[_Cell]:
    left, cells = _GAP, []
    for aspect in _aspects(row):
        cells.append(_Cell(axes, left, bottom, height * aspect, height))
        left += height * aspect + _GAP
    return cells


def _draw_row(cells: Sequence[_Cell], row: Panel) -> None:
    support = row.support[:MAX_SHOTS]
    query, *prediction, truth = cells[len(support) :]
    for cell, shot in zip(cells, support, strict=False):
        _draw_shot(cell, shot, row.several)
    query.show(_rgb(row.query))
    _draw_labels(truth, row.query, row.target)
    cells[0].axes.text(cells[0].left, cells[0].bottom + cells[0].height + _PAD, row.title or "support", weight="bold")
    query.title("query")
    truth.title("truth")
    if row.prediction is not None:
        _draw_labels(prediction[0], row.query, row.prediction)
        prediction[0].title(f"prediction · IoU {_fraction(row.iou)}")


def _draw_shot(cell: _Cell, shot: PanelShot, several: bool) -> None:
    if shot.mask is not None:
        _draw_labels(cell, shot.image, shot.mask)
        return
    image = _rgb(shot.image)
    cell.show(image)
    if shot.points is not None:
        _draw_dots(cell, image.shape[:2], np.asarray(shot.points), several)


def _draw_dots(cell: _Cell, size: tuple[int, int], points: Int[np.ndarray, "P 3"], several: bool) -> None:
    """Negatives as red dots with a minus; positives with a plus, in green or, if several, in the labels' colours."""
    diameter = 7.0 if len(points) <= 20 else 4.0
    frame: dict[str, Any] = {"linestyle": "none", "clip_on": False}
    kinds = [(0, _NEGATIVE), *(_colours(points[:, 2]) if several else [(1, _POSITIVE)])]
    for label, colour in kinds:
        x, y = cell.place(points[points[:, 2] == label, :2].T, size)
        cell.axes.plot(x, y, marker="o", ms=diameter, mfc=colour, mec="white", mew=diameter / 9, **frame)
        sign = "+" if label else "_"
        cell.axes.plot(x, y, marker=sign, ms=diameter * 0.55, mec="white", mew=diameter / 7, **frame)


def _draw_labels(cell: _Cell, image: ArrayLike, labels: ArrayLike) -> None:
    """Draw the image with its labels tinted and outlined."""
    labels = np.asarray(labels, dtype=np.uint8)
    cell.show(_overlay(_rgb(image), labels))
    x, y = cell.place(np.indices(labels.shape), labels.shape)
    for label, colour in _colours(labels):
        mask = labels == label
        if not mask.all():
            lines = cell.axes.contour(x, y, mask, levels=[0.5], colors=colour, linewidths=0.9)
            lines.set_path_effects([withStroke(linewidth=1.6, foreground="white")])


def _overlay(image: Float[np.ndarray, "H W 3"], labels: UInt8[np.ndarray, "H W"]) -> Float[np.ndarray, "H W 3"]:
    """The image with positives tinted, negatives pale and void grey."""
    out = 0.35 * image + 0.25 * image.mean(axis=2, keepdims=True) + 0.40
    out[labels == IGNORE] = 0.75
    for label, colour in _colours(labels):
        inside = labels == label
        out[inside] = 0.55 * image[inside] + 0.45 * np.array(to_rgb(colour))
    return out


def _colours(labels: ArrayLike) -> list[tuple[int, str]]:
    return [(label, _LABELS[(label - 1) % len(_LABELS)]) for label in sorted(_positives(labels))]


def _positives(labels: ArrayLike) -> set[int]:
    return {int(label) for label in np.unique(labels) if 0 < label != IGNORE}


def _rgb(image: ArrayLike) -> Float[np.ndarray, "H W 3"]:
    return np.clip(np.moveaxis(np.asarray(image, dtype=np.float32), 0, 2), 0, 1)


def _fraction(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}".removeprefix("0")

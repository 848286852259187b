"""A chart of class balance: a bar for each class, with a part for each split."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np

from guided_seg.report.drawing import COLOURS, STYLE, new_figure, save

MOST = 40
"""The largest number of classes that are drawn."""


def balance_chart(balance: Mapping[str, Mapping[str, int]], what: str, path: str | os.PathLike[str]) -> Path:
    """Draw the number of tasks of each class or object, the most frequent first.

    Args:
        balance: split -> class or object -> its number of tasks.
        what: the label of the axis.
        path: the picture to write.
    """
    names = order(balance)
    shown = names[:MOST]
    with mpl.rc_context(STYLE | {"axes.grid.axis": "x"}):
        figure = new_figure(6.0, 1.2 + 0.19 * len(shown))
        axes = figure.add_subplot(xlabel=what)
        rows, left = range(len(shown)), np.zeros(len(shown))
        for colour, (split, counts) in zip(COLOURS, balance.items(), strict=False):
            width = np.array([counts.get(name, 0) for name in shown], float)
            axes.barh(rows, width, left=left, height=0.75, color=colour, label=split)
            left += width
        axes.set_yticks(rows, shown)  # names given to barh that are numbers make matplotlib log a warning
        axes.set_axisbelow(True)
        axes.margins(y=0.01)
        axes.invert_yaxis()
        axes.legend(fontsize=8, loc="lower right")
        if len(names) > MOST:
            axes.set_title(f"the {MOST} of {len(names)} with the most")
        return save(figure, path)


def order(balance: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The names in all splits, the most frequent first.

    Example:
        >>> order({"train": {"cat": 1, "dog": 2}, "val": {"cow": 3}})
        ['cow', 'dog', 'cat']
    """
    totals: dict[str, int] = {}
    for counts in balance.values():
        for name, number in counts.items():
            totals[name] = totals.get(name, 0) + number
    return sorted(totals, key=lambda name: -totals[name])

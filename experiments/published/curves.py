"""The curves of README.md, from the committed scores: IoU against clicks and dots, J against time.

python experiments/published/curves.py [FOLDER]

FOLDER is that of table.py; curves.png is written into it. What was not scored is left out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from table import HERE, figure

from guided_seg.protocols.statistics import Interval
from guided_seg.report.drawing import COLOURS, STYLE, new_figure, save

Asked = tuple[str, str, str, Sequence[tuple[str, str, Mapping[str, Any]]]]
"""A line in words, its set and protocol, and its points: a tick, a figure and a setting."""


def after_clicks() -> Iterator[Asked]:
    """IoU after a number of clicks, each on the deepest pixel of the errors."""
    clicks = [(str(number), f"IoU@{number}", {}) for number in (1, 2, 3, 5, 10, 20)]
    yield "GrabCut", "grabcut", "clicks", clicks
    yield "Berkeley", "berkeley", "clicks", clicks


def by_dots() -> Iterator[Asked]:
    """IoU of objects and regions by the number of random dots per label."""
    dots = [(each, "mean_iou", {"points": each}) for each in ("1", "3", "5", "10")]
    for folder, words in (("frames", "DAVIS first frames"), ("coco", "COCO"), ("regions", "BSDS regions")):
        yield words, folder, "instances", dots


def over_time() -> Iterator[Asked]:
    """J in each quarter of a video, whose first frame is annotated."""
    for points, words in (("dense", "a mask"), ("5", "5 + 5 dots"), ("1", "1 + 1 dots")):
        quarters = [(str(n), f"J@quarter{n}", {"points": points}) for n in range(1, 5)]
        yield words, "davis", "davis2016", quarters


PANELS = (
    ("clicks", "mean IoU", after_clicks),
    ("random dots per label", "mean IoU", by_dots),
    ("quarter of the DAVIS-2016 video", "J", over_time),
)
STYLES = ("-", "--", ":")
"""A network has a colour, a line of a panel its style."""


def draw(axes: Axes, networks: Sequence[Path], lines: Sequence[Asked]) -> None:
    """Draw the lines of a panel for each network with 95 % intervals."""
    for colour, network in zip(COLOURS, networks, strict=False):
        for style, (words, folder, protocol, points) in zip(STYLES, lines, strict=False):
            found = [(tick, figure(network, folder, protocol, *rest)) for tick, *rest in points]
            there: list[tuple[str, Interval]] = [(tick, each) for tick, each in found if each]
            if not there:
                continue
            ticks, values = zip(*there, strict=True)
            low, high = zip(*(each["ci95"] for each in values), strict=True)
            label = f"{network.name}, {words}"
            axes.plot(ticks, [each["value"] for each in values], style, color=colour, marker="o", ms=3, label=label)
            axes.fill_between(ticks, low, high, color=colour, alpha=0.1, lw=0)


def main(root: Path = HERE) -> None:
    """Write curves.png into a folder."""
    networks = sorted({path.parents[1] for path in root.glob("*/*/protocols.json")})
    with mpl.rc_context(STYLE):
        picture = new_figure(4.2 * len(PANELS), 3.6)
        for column, (across, up, lines) in enumerate(PANELS, 1):
            axes = picture.add_subplot(1, len(PANELS), column, xlabel=across, ylabel=up, ylim=(0, 1))
            draw(axes, networks, list(lines()))
            if axes.lines:
                axes.legend(fontsize=7, loc="lower right")
        save(picture, root / "curves.png", dpi=110)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))

"""The scores of the released network beside the targets: writes reach.md from the committed scores.

python experiments/released_model/reach.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from guided_seg.protocols.scores import read_figure
from guided_seg.report.table import Cells, Table, columns

HERE = Path(__file__).parent
CLASSES = ("dog", "cat", "horse", "cow", "person")
CLICKS = "DAVIS first frames, clicks until IoU 0.80 (NoC@80)"
Asked = tuple[str, str, str, dict[str, Any], float, float]
"""Name, folder, protocol and figure, setting, target and stretch target."""


def asked() -> Iterator[Asked]:
    """The rows of single figures; means over classes are added later."""
    for points, reach, stretch in ((1, 0.66, 0.74), (3, 0.73, 0.80), (5, 0.77, 0.84), (10, 0.81, 0.87)):
        name = f"DAVIS first frames, {points} + {points} dots, mean IoU"
        yield name, "davis", "instances:mean_iou", {"points": str(points)}, reach, stretch
    yield "the same, 5 clicks on errors, IoU", "davis", "clicks:IoU@5", {}, 0.82, 0.87
    for protocol, words in (("davis2016", ""), ("davis2016_memory", ", with memory")):
        for points, reach, stretch in (("dense", 0.72, 0.80), ("5", 0.69, 0.76), ("1", 0.60, 0.70)):
            shown = "dense first frame" if points == "dense" else f"{points} + {points} dots"
            yield f"DAVIS video, {shown}{words}, mean J", "davis", f"{protocol}:J", {"points": points}, reach, stretch
    for points, reach, stretch in ((1, 0.50, 0.60), (5, 0.66, 0.75)):
        name = f"COCO instances, {points} + {points} dots, mean IoU"
        yield name, "coco", "instances:mean_iou", {"points": str(points)}, reach, stretch


def figure(folder: str, name: str, setting: dict[str, Any]) -> tuple[float, list[float]]:
    """A figure of a setting, and its interval."""
    protocol, _, wanted = name.partition(":")
    found = read_figure(HERE / folder / "protocols.json", protocol, wanted, setting)
    return found["value"], found["ci95"]


def verdict(values: list[float], reach: float) -> str:
    """Which value reaches the target: that of a single pass (yes), or only the refined one."""
    ways = ("yes", "refined")
    # a number of clicks is to be small
    good = (value <= reach if reach > 1 else value >= reach for value in values)
    return next((way for way, well in zip(ways, good, strict=False) if well), "no")


def again(folder: str, name: str) -> str:
    """The folder of the refined figure."""
    return "refined/video" if name.startswith("davis2016") else f"refined/{folder}"


def both(folder: str, name: str, setting: dict[str, Any]) -> tuple[list[float], list[str]]:
    """A figure of a single pass and its refined one, as values and as text with intervals."""
    found = [figure(each, name, setting) for each in (folder, again(folder, name))]
    shown = "{:.1f} [{:.1f}, {:.1f}]" if "NoC" in name else "{:.3f} [{:.3f}, {:.3f}]"
    return [value for value, _ in found], [shown.format(value, *interval) for value, interval in found]


def released() -> Table:
    """The released network beside its targets."""
    head = ("test", "single pass [95 % interval]", "refined", "target", "stretch", "reached")
    return Table(columns(head), [*_protocols(), *_held_out(), *_times()])


def _protocols() -> Iterator[Cells]:
    for name, folder, which, setting, reach, stretch in asked():
        values, words = both(folder, which, setting)
        yield name, *words, f"{reach:.2f}", f"{stretch:.2f}", verdict(values, reach)
    values, words = both("davis", "clicks:NoC@80", {})
    yield CLICKS, *words, 6, 4, verdict(values, 6)


def _times() -> Iterator[Cells]:
    """Times of an edit and of a video frame, if they were measured."""
    file = HERE / "times" / "benchmark.json"
    if not file.is_file():
        return
    found = {row["name"]: row["value"] for row in json.loads(file.read_text(encoding="utf-8"))}
    for name, words, reach, stretch in (
        ("released_edit_ms", "an edit at 480p, 2 cores, ms", 5, 2.5),
        ("released_frame_ms", "a frame of a video at 480p, 2 cores, ms", 100, 70),
    ):
        yield words, f"{found[name]:.1f}", None, reach, stretch, verdict([found[name]], reach)


def _held_out() -> Iterator[Cells]:
    """The measured classes, and their mean if all were measured."""
    there = [name for name in CLASSES if (HERE / f"held_out_{name}").is_dir()]
    means = {}
    for shots in (1, 5):
        found = []
        for name in there:
            values, words = both(f"held_out_{name}", "held_out:positive_iou", {"shots": shots, "points": "5"})
            found.append(values)
            yield f"VOC {name}, held out, S = {shots}, 5 + 5 dots, positive IoU", *words, None, None, None
        means[shots] = [fmean(values) for values in zip(*found, strict=True)]
    if len(there) < len(CLASSES):
        return
    gains = [many - one for one, many in zip(means[1], means[5], strict=True)]
    shown = (f"{value:.3f}" for value in means[1])
    yield "mean of the five, S = 1", *shown, "0.70", "0.78", verdict(means[1], 0.70)
    shown = (f"{gain:+.3f}" for gain in gains)
    yield "gain by S = 5", *shown, "+0.03", "+0.06", verdict(gains, 0.03)


if __name__ == "__main__":
    (HERE / "reach.md").write_text(released().markdown("bare"), encoding="utf-8")

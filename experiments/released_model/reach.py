"""What the released network and others that were tried reach, beside what was asked: reach.md and tried/reach.md.

From the scores that are committed here: python experiments/released_model/reach.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from guided_seg.report.table import DASH, Cells, Table, columns

HERE = Path(__file__).parent
CLASSES = ("dog", "cat", "horse", "cow", "person")
CLICKS = "DAVIS first frames, clicks until IoU 0.80 (NoC@80)"
Asked = tuple[str, str, str, dict[str, Any], float, float]
"""Its name, folder, protocol and figure, the setting, and what is to be reached at least and at best."""


def asked() -> Iterator[Asked]:
    """The rows, but for those that are means over classes."""
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
    scores = json.loads((HERE / folder / "protocols.json").read_text(encoding="utf-8"))
    for row in scores[protocol]["settings"]:
        if all(row[key] == value for key, value in setting.items()):
            return row["figures"][wanted]["value"], row["figures"][wanted]["ci95"]
    raise LookupError(f"{folder}/protocols.json has no {name} of {setting}; run run.sh again.")


def tried() -> Table:
    """All networks, the released one first; a dash where one was not scored."""
    others = sorted(folder.name for folder in (HERE / "tried").iterdir() if folder.is_dir())
    names = ["released, asked again", "released", *others]
    rows = [(name, folder, which, setting, f"{reach:.2f}") for name, folder, which, setting, reach, _ in asked()]
    rows.append((CLICKS, "davis", "clicks:NoC@80", {}, "6"))
    for shots in (1, 5):
        name = f"VOC cow, held out, S = {shots}, 5 + 5 dots, positive IoU"
        rows.append((name, "held_out_cow", "held_out:positive_iou", {"shots": shots, "points": "5"}, DASH))
    found = []
    for name, folder, which, setting, reach in rows:
        folders = [again(folder, which), folder, *(f"tried/{name}/{folder}" for name in others)]
        found.append([name, *(_value(each, which, setting) for each in folders), reach])
    return Table(columns(("test", *names, "to reach")), found)


def _value(folder: str, name: str, setting: dict[str, Any]) -> str | None:
    if not (HERE / folder).is_dir():
        return None
    value, _ = figure(folder, name, setting)
    return f"{value:.1f}" if "NoC" in name else f"{value:.3f}"


def verdict(values: list[float], reach: float) -> str:
    """Which of the values for one question and for a question put again reaches what was asked."""
    ways = ("yes", "asked again")
    # a number of clicks is to be small
    good = (value <= reach if reach > 1 else value >= reach for value in values)
    return next((way for way, well in zip(ways, good, strict=False) if well), "no")


def again(folder: str, name: str) -> str:
    """Where the figure is of which questions were put again."""
    return "refined/video" if name.startswith("davis2016") else f"refined/{folder}"


def both(folder: str, name: str, setting: dict[str, Any]) -> tuple[list[float], list[str]]:
    """A figure where each question was asked once, and again, as values and in words with intervals."""
    found = [figure(each, name, setting) for each in (folder, again(folder, name))]
    shown = "{:.1f} [{:.1f}, {:.1f}]" if "NoC" in name else "{:.3f} [{:.3f}, {:.3f}]"
    return [value for value, _ in found], [shown.format(value, *interval) for value, interval in found]


def released() -> Table:
    """The released network, and what it was to reach."""
    head = ("test", "asked once [95 % interval]", "asked again", "to reach", "stretch", "reached")
    return Table(columns(head), [*_protocols(), *_held_out(), *_times()])


def _protocols() -> Iterator[Cells]:
    for name, folder, which, setting, reach, stretch in asked():
        values, words = both(folder, which, setting)
        yield name, *words, f"{reach:.2f}", f"{stretch:.2f}", verdict(values, reach)
    values, words = both("davis", "clicks:NoC@80", {})
    yield CLICKS, *words, 6, 4, verdict(values, 6)


def _times() -> Iterator[Cells]:
    """What an edit and a frame of a video take, where it was measured."""
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
    """The classes that were measured, and their mean where all were."""
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
    for file, table in (("reach.md", released()), ("tried/reach.md", tried())):
        (HERE / file).write_text(table.markdown("bare"), encoding="utf-8")

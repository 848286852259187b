"""Our networks beside published ones: writes clicks.md and table.md from the scores of run.sh.

python experiments/published/table.py [FOLDER]

FOLDER has a folder for each network, and in it one for each set; by default the committed ones. A figure that was not
scored is a dash.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from guided_seg.protocols.scores import number, read_figure, span
from guided_seg.protocols.statistics import Interval
from guided_seg.report.table import Cells, Table, columns

HERE = Path(__file__).parent
Asked = tuple[str, str, str, str, Mapping[str, Any]]
"""The test in words, its set, protocol, figure and setting."""


def asked() -> Iterator[Asked]:
    """The rows of table.md."""
    for folder, words in (("grabcut", "GrabCut"), ("berkeley", "Berkeley")):
        yield from _clicks(folder, words)
    yield from _objects("frames", "DAVIS-2016 val first frames", ("1", "3", "5", "10"))
    yield from _videos()
    yield from _objects("coco", "COCO instances val", ("1", "5", "10"))
    yield from _objects("regions", "BSDS regions test", ("1", "5", "10"))
    for shots, points in product((1, 5), ("1", "5")):
        words = f"VOC, held-out class, {shots} image{'s' if shots > 1 else ''} with {_dots(points)}, positive IoU"
        yield words, "held_out", "held_out", "positive_iou", {"shots": shots, "points": points}


def _clicks(folder: str, words: str) -> Iterator[Asked]:
    for name in ("NoC@85", "NoC@90", "IoU@1", "honoured", "falls", "worst_change"):
        yield f"{words}, clicks at the deepest point, {name}", folder, "clicks", name, {}
    for name in ("NoC@85", "NoC@90", "honoured"):
        yield f"{words}, clicks of simulated people, {name}", folder, "human_clicks", name, {}


def _objects(folder: str, words: str, points: Sequence[str]) -> Iterator[Asked]:
    for each in points:
        yield f"{words}, {_dots(each)}, IoU", folder, "instances", "mean_iou", {"points": each}
    yield f"{words}, {_dots('5')}, + and − exchanged, IoU", folder, "complement", "mean_iou", {"points": "5"}


def _videos() -> Iterator[Asked]:
    for protocol, words in (("davis2016", ""), ("davis2016_memory", ", with memory")):
        for points, name in (("dense", "F"), ("dense", "J"), ("10", "J"), ("5", "J"), ("1", "J")):
            yield f"DAVIS-2016 val, {_dots(points)}{words}, {name}", "davis", protocol, name, {"points": points}
    for shots, points in product((1, 2, 4), ("1", "5")):
        words = f"DAVIS-2016 val, {shots} frame{'s' if shots > 1 else ''} with {_dots(points)}, others scored, J"
        yield words, "davis", "interactive_video", "J", {"shots": shots, "points": points}


def _dots(points: str) -> str:
    return "mask" if points == "dense" else f"{points} + {points} dots"


def figure(network: Path, folder: str, protocol: str, name: str, setting: Mapping[str, Any]) -> Interval | None:
    """A figure of a network, or None if it was not scored."""
    path = network / folder / "protocols.json"
    try:
        return read_figure(path, protocol, name, setting) if path.is_file() else None
    except LookupError:
        return None


def scores(networks: Sequence[Path]) -> Table:
    """Every figure of our networks with its interval."""
    rows: list[Cells] = []
    for words, folder, protocol, name, setting in asked():
        found = [figure(network, folder, protocol, name, setting) for network in networks]
        rows.append((words, *(_shown(name, interval) for interval in found)))
    return Table(columns(("test", *(network.name for network in networks))), rows)


def _shown(name: str, interval: Interval | None) -> str | None:
    return f"{number(name, interval['value'])} [{span(name, interval['ci95'])}]" if interval else None


def clicks(root: Path, networks: Sequence[Mapping[str, Any]]) -> Table:
    """The numbers of clicks of all networks.

    Args:
        root: the folder of our networks.
        networks: the entries of networks.yaml.
    """
    head = ("network", "trained on", "MB", "GrabCut NoC@85 / 90", "Berkeley NoC@85 / 90", "source")
    rows = []
    for entry in networks:
        noc = [entry.get(folder) or _measured(root, entry, folder) for folder in ("grabcut", "berkeley")]
        means = [" / ".join("–" if value is None else f"{value:.2f}" for value in values) for values in noc]
        rows.append((entry["network"], entry["trained_on"], entry["megabytes"], *means, entry.get("source", "here")))
    return Table(columns(head), rows)


def _measured(root: Path, entry: Mapping[str, Any], folder: str) -> list[float | None]:
    found = [figure(root / entry["scores"], folder, "clicks", name, {}) for name in ("NoC@85", "NoC@90")]
    return [interval["value"] if interval else None for interval in found]


def main(root: Path = HERE) -> None:
    """Write both tables into a folder."""
    networks = yaml.safe_load((HERE / "networks.yaml").read_text(encoding="utf-8"))
    ours = sorted({path.parents[1] for path in root.glob("*/*/protocols.json")})
    (root / "clicks.md").write_text(clicks(root, networks).markdown("bare"), encoding="utf-8")
    (root / "table.md").write_text(scores(ours).markdown("bare"), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))

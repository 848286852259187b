"""Compare finished runs with the targets of the main job; print every target, and exit with 1 if one is missed.

python experiments/main_job/check.py outputs/late_global/RUN [FOREGROUND_BACKGROUND_RUN] [ANOTHER_RUN]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

REACH = {"interactive": 0.65, "semantic": 0.55, "video": 0.60}
MARGIN = 0.25
SECONDS, GIGABYTES, WAIT = 300, 3.0, 0.05

Line = tuple[str, str, bool]


def load(run: str) -> dict[str, Any]:
    """The metrics.json of a run folder."""
    return json.loads((Path(run) / "metrics.json").read_text(encoding="utf-8"))


def accuracy(run: dict[str, Any]) -> list[Line]:
    """Positive IoU at S = 1 and 5 + 5 dots, and that it rises with the dots."""
    lines = []
    for mode, reach in REACH.items():
        one, five, many = (run[mode][f"s1_p{points}"]["positive_iou"] for points in (1, 5, 25))
        lines.append((f"{mode}, 5 + 5 dots, >= {reach}", f"{five:.3f}", five >= reach))
        lines.append((f"{mode}, rising over 1, 5, 25 dots", f"{one:.3f} {five:.3f} {many:.3f}", one < five < many))
    return lines


def cost(run: dict[str, Any]) -> list[Line]:
    """Time, memory and waiting."""
    facts = run["run"]
    gigabytes = facts["peak_memory_bytes"] / 1e9
    return [
        (f"seconds <= {SECONDS}", f"{facts['seconds']:.0f}", facts["seconds"] <= SECONDS),
        (f"GB at the peak <= {GIGABYTES}", f"{gigabytes:.2f}", gigabytes <= GIGABYTES),
        (f"share waiting for data <= {WAIT}", f"{facts['data_wait_share']:.3f}", facts["data_wait_share"] <= WAIT),
    ]


def floor(run: dict[str, Any], baseline: dict[str, Any]) -> list[Line]:
    """The distance to the same network without guidance."""
    lines = []
    for mode in REACH:
        best = max(score["positive_iou"] for score in baseline[mode].values())
        gap = run[mode]["s1_p5"]["positive_iou"] - best
        lines.append((f"{mode}, above the floor by >= {MARGIN}", f"{gap:.3f} (floor {best:.3f})", gap >= MARGIN))
    return lines


def same(run: dict[str, Any], again: dict[str, Any]) -> list[Line]:
    """Repeating the command gives the same scores."""
    first, second = ({k: v for k, v in data.items() if k != "run"} for data in (run, again))
    return [("the same metrics.json but for `run`", "", first == second)]


def main(runs: list[str]) -> int:
    """Print a line per check."""
    data = [load(run) for run in runs]
    lines = accuracy(data[0]) + cost(data[0])
    if len(data) > 1:
        lines += floor(data[0], data[1])
    if len(data) > 2:
        lines += same(data[0], data[2])
    for what, figure, holds in lines:
        sys.stdout.write(f"{'ok  ' if holds else 'FAIL'} {what:42} {figure}\n")
    return int(not all(holds for _, _, holds in lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if len(sys.argv) > 1 else f"usage: {__doc__}")

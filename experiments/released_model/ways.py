"""The table of ways.sh: python experiments/released_model/ways.py [FOLDER of its evaluations]."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from guided_seg.report.table import Table, columns

HERE = Path(__file__).parent
FIGURES = HERE / "ways.json"
SOURCES = {"VOC": "VOC", "COCO": "COCO", "FRAMES": "frames of videos"}
POINTS = ("1", "3", "5", "10")
Found = dict[str, dict[str, dict[str, float]]]
"""The IoU by refinement, source, and dots per label."""


def collect(folder: Path) -> Found:
    """The IoU of each refinement in ``folder`` that was evaluated on all sources."""
    found: Found = {}
    for file in sorted(folder.glob("*/ways.txt")):
        scores = {source: file.parent / source / "protocols.json" for source in SOURCES}
        if all(each.is_file() for each in scores.values()):
            ways = " ".join(word.removeprefix("refine.") for word in file.read_text(encoding="utf-8").split())
            found[ways] = {source: _by_points(each) for source, each in scores.items()}
    return found


def _by_points(file: Path) -> dict[str, float]:
    settings = json.loads(file.read_text(encoding="utf-8"))["instances"]["settings"]
    values = {row["points"]: row["figures"]["mean_iou"]["value"] for row in settings}
    return {points: round(values[points], 4) for points in POINTS}


def table(found: Found) -> Table:
    """A row for each combination of refinements, the shorter ones first."""
    rows = []
    for ways in sorted(found, key=lambda ways: (len(ways.split()), ways)):
        each = [found[ways][source] for source in SOURCES]
        rows.append([f"`{ways}`", *(" / ".join(f"{scores[points]:.3f}" for points in POINTS) for scores in each)])
    return Table(columns(("`refine`; 1 / 3 / 5 / 10 dots", *SOURCES.values())), rows)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asked = collect(Path(sys.argv[1]))
        if not asked:
            sys.exit(f"{sys.argv[1]}: nothing asked of all {', '.join(SOURCES)}; see its */*.txt; run.sh comes first.")
        FIGURES.write_text(json.dumps(asked, indent=1) + "\n", encoding="utf-8")
    text = table(json.loads(FIGURES.read_text(encoding="utf-8"))).markdown("bare")
    (HERE / "ways.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)

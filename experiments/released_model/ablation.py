"""The tables of ablation.sh: python experiments/released_model/ablation.py [FOLDER of its runs]."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from statistics import fmean, stdev

from guided_seg.report.table import Table, columns

HERE = Path(__file__).parent
MODES = ("interactive", "semantic", "video")
TABLES = {"brief": "ablation", "onward": "onward"}
"""The file of each kind of training."""
Found = dict[str, list[dict[str, float]]]
"""The scores of the runs of each change, by mode, in the order of seeds; the whole network has no change."""


def collect(folder: Path) -> Found:
    """The validation scores of each complete run in ``folder``."""
    found: Found = {}
    for file in sorted(folder.glob("*/metrics.json")):
        with (file.parent / "metrics.csv").open(encoding="utf-8", newline="") as rows:
            last = [row for row in csv.DictReader(rows) if row.get("val/interactive")][-1]
        words = (file.parent / "change.txt").read_text(encoding="utf-8").split()
        change = " ".join(word for word in words if not word.startswith("seed="))
        found.setdefault(change, []).append({mode: round(float(last[f"val/{mode}"]), 4) for mode in MODES})
    return found


def table(found: Found) -> Table:
    """The whole network, and the difference of each change from it, in points, by seeds."""
    base = [_row(run) for run in found[""]]
    rows = [[f"whole, {len(base)} seeds", *(_spread(column) for column in zip(*base, strict=True))]]
    changes = {name: [_row(run) for run in runs] for name, runs in found.items() if name}
    means = [fmean(column) for column in zip(*base, strict=True)]
    for name, runs in sorted(changes.items(), key=lambda item: fmean(run[-1] for run in item[1])):
        # equal numbers of seeds are paired
        against = base if len(runs) == len(base) else [means] * len(runs)
        apart = [[100 * (a - b) for a, b in zip(*pair, strict=True)] for pair in zip(runs, against, strict=True)]
        rows.append([f"`{name}`", *(_spread(column, "+", 1) for column in zip(*apart, strict=True))])
    return Table(columns(("network", *MODES, "mean")), rows)


def _row(run: dict[str, float]) -> list[float]:
    """The modes and their mean."""
    return [*(run[mode] for mode in MODES), fmean(run[mode] for mode in MODES)]


def _spread(values: tuple[float, ...], sign: str = "", scale: int = 100) -> str:
    mean = f"{scale * fmean(values):{sign}.1f}"
    return mean if len(values) == 1 else f"{mean} ± {scale * stdev(values):.1f}"


if __name__ == "__main__":
    for kind, name in TABLES.items():
        figures = HERE / f"{name}.json"
        if len(sys.argv) > 1:
            found = collect(Path(sys.argv[1], kind))
            if "" not in found:
                sys.exit(f"{sys.argv[1]}/{kind}: no complete run of the whole network; see its */log.txt.")
            figures.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        text = table(json.loads(figures.read_text(encoding="utf-8"))).markdown("bare")
        (HERE / f"{name}.md").write_text(text, encoding="utf-8")
        sys.stdout.write(f"{text}\n")

"""The table of ablation.sh: python experiments/released_model/ablation.py [FOLDER of its runs]."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev

HERE = Path(__file__).parent
FIGURES = HERE / "ablation.json"
MODES = ("interactive", "semantic", "video")


def collect(folder: Path) -> dict[str, dict[str, float]]:
    """What each complete run of ``folder`` reached in validation, by mode."""
    found = {}
    for file in sorted(folder.glob("*/metrics.json")):
        with (file.parent / "metrics.csv").open(encoding="utf-8", newline="") as rows:
            last = [row for row in csv.DictReader(rows) if row.get("val/interactive")][-1]
        change = (file.parent / "change.txt").read_text(encoding="utf-8").strip()
        found[change] = {mode: round(float(last[f"val/{mode}"]), 4) for mode in MODES}
    return found


def lines(found: dict[str, dict[str, float]]) -> Iterator[str]:
    """The table: the whole network, and what each change adds to it or takes from it, in points."""
    whole = [found[name] for name in found if name.startswith("seed=")]
    base = {mode: fmean(run[mode] for run in whole) for mode in MODES}
    yield f"| network | {' | '.join(MODES)} | mean |"
    yield "|---|---|---|---|---|"
    means = [fmean(run.values()) for run in whole]
    shown = [f"{100 * base[mode]:.1f} ± {100 * stdev(run[mode] for run in whole):.1f}" for mode in MODES]
    yield f"| whole, {len(whole)} seeds | {' | '.join(shown)} | {100 * fmean(means):.1f} ± {100 * stdev(means):.1f} |"
    changes = {name: {m: run[m] - base[m] for m in MODES} for name, run in found.items() if run not in whole}
    for name, change in sorted(changes.items(), key=lambda pair: sum(pair[1].values())):
        shown = [f"{100 * change[mode]:+.1f}" for mode in MODES]
        yield f"| `{name}` | {' | '.join(shown)} | {100 * fmean(change.values()):+.1f} |"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        FIGURES.write_text(json.dumps(collect(Path(sys.argv[1])), indent=1) + "\n", encoding="utf-8")
    table = list(lines(json.loads(FIGURES.read_text(encoding="utf-8"))))
    (HERE / "ablation.md").write_text("\n".join(table) + "\n", encoding="utf-8")
    sys.stdout.write("\n".join(table) + "\n")

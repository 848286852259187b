"""The time of a new dot relative to a full pass, for each composition (paper, sections 4.1 and 5.4).

python experiments/update_time/measure.py [--rounds 15] [--height 480] [--width 854] [--points 10] [--backbone NAME]

One annotated image is segmented in two ways: with a full pass, and with cached encoder features, as in a session. All
compositions alternate in one process, so that other load on the machine affects all of them. Weights are random; times
do not depend on them.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import torch
from hydra import compose, initialize_config_module

from guided_seg.cli.run_folders import register_resolvers
from guided_seg.composition.build import build_network
from guided_seg.episode import Batch, Episode, Shot, collate
from guided_seg.model.network import Network
from guided_seg.report.table import Column, Table, columns

HERE = Path(__file__).parent
COMPOSITIONS = {
    "late_global": ["+experiment=late_global"],
    "late_local": ["+experiment=late_local"],
    "prototypes": ["+experiment=prototypes"],
    "parameter_regression": ["+experiment=late_global", "conditioning=parameter_regression"],
    "nearest_neighbors": ["+experiment=nearest_neighbors"],
    "early_mask_regression (OSLSM)": ["+experiment=early_mask_regression"],
    "early_stack, local (DIOS)": ["+experiment=early_stack"],
}
"""Name -> overrides of the main command."""


class Row(NamedTuple):
    """One round of one composition; ``share`` is ``update_ms / full_ms``."""

    composition: str
    round: int
    full_ms: float
    update_ms: float
    share: float


def episode(height: int, width: int, points: int, seed: int = 0) -> Batch:
    """A noise image with ``points`` dots of each label on it, as a batch of one."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(3, height, width, generator=generator)
    places = (torch.rand(2 * points, 2, generator=generator) * torch.tensor([height, width])).long()
    dots = torch.cat([places, torch.arange(2 * points)[:, None] % 2], dim=1)
    target = torch.zeros(height, width, dtype=torch.uint8)
    return collate([Episode(image, target, [Shot(image, points=dots, is_query=True)])])


def networks(backbone: str) -> dict[str, Network]:
    """Every composition, in evaluation mode."""
    register_resolvers()
    fixed = [f"backbone={backbone}", *(["backbone.weights=random"] if backbone != "small" else [])]
    with initialize_config_module("guided_seg.conf", version_base="1.3"):
        return {
            name: build_network(compose("config", [*overrides, *fixed])).eval()
            for name, overrides in COMPOSITIONS.items()
        }


@torch.inference_mode()
def measure(found: dict[str, Network], batch: Batch, rounds: int) -> Iterator[Row]:
    """Each composition once per round, after a warm-up round."""
    kept = {name: network.encode(batch.images, batch.sizes) for name, network in found.items()}
    for number in range(-1, rounds):
        for name, network in found.items():
            full = _milliseconds(network, batch)
            update = _milliseconds(network, batch, kept[name])
            if number >= 0:
                yield Row(name, number, full, update, update / full)


def _milliseconds(work: Callable[..., Any], *arguments: Any) -> float:
    """The median of three, which one interruption does not move."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        work(*arguments)
        times.append(time.perf_counter() - began)
    return 1000 * median(times)


def medians(rows: Sequence[Row]) -> list[Row]:
    """A row per composition with medians over rounds; ``round`` is the number of rounds."""
    found = []
    for name in dict.fromkeys(row.composition for row in rows):
        own = [row for row in rows if row.composition == name]
        full, update, share = (median(getattr(row, field) for row in own) for field in Row._fields[2:])
        found.append(Row(name, len(own), full, update, share))
    return found


def table(rows: Sequence[Row]) -> str:
    """The medians as Markdown."""
    head = [*columns(("composition", "full pass, ms", "new dot, ms"), number=".1f"), Column("share", "right", ".1%")]
    return Table(head, [(r.composition, r.full_ms, r.update_ms, r.share) for r in medians(rows)]).markdown("spaced")


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw bars for a full pass and a new dot, for each composition."""
    middle = medians(rows)
    figure, axes = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
    places = range(len(middle))
    axes.barh([place - 0.2 for place in places], [row.full_ms for row in middle], 0.38, label="everything anew")
    axes.barh([place + 0.2 for place in places], [row.update_ms for row in middle], 0.38, label="a new dot")
    axes.set(yticks=places, yticklabels=[row.composition for row in middle], xscale="log", xlabel="milliseconds (log)")
    axes.invert_yaxis()
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Measure, print, and write times.csv, times.md and times.png."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("rounds", 15), ("height", 480), ("width", 854), ("points", 10)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--out", type=Path, default=HERE)
    options = parser.parse_args()
    batch = episode(options.height, options.width, options.points)
    rows = list(measure(networks(options.backbone), batch, options.rounds))
    with (options.out / "times.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([Row._fields, *rows])
    (options.out / "times.md").write_text(table(rows), encoding="utf-8")
    draw(rows, options.out / "times.png")
    sys.stdout.write(table(rows))


if __name__ == "__main__":
    main()

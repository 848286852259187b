"""Measure the steps a second of 1, 2 and 4 processes, and compute those of more by a model (docs/scaling.md).

python experiments/scaling/measure.py measure --out OUT [--processes 1 2 4] [overrides of the main command]
python experiments/scaling/measure.py model [--episode-ms 1.5] [--fixed-ms 20] [overrides]

Run `measure` on a machine without other work, with as many cores as processes: each uses one thread.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from guided_seg.report.table import Cells, Table, columns

STEPS = 40
WARM_UP = 10  # steps at the beginning that are left out
COMMON = ("logger=csv", "trainer.enable_progress_bar=false", "evaluation.episodes=1", "evaluation.points=[1]")
LENGTH = (f"trainer.max_steps={STEPS}", f"data.training.validate_every={STEPS}", "trainer.limit_val_batches=1")


def timed(out: Path, argv: list[str]) -> None:
    """Run the main command, and write down the seconds between the steps of this process."""
    from guided_seg import run
    from guided_seg.training.module import EpisodicSegmentation

    honest, starts = EpisodicSegmentation.training_step, []

    def training_step(self: EpisodicSegmentation, batch: Any, batch_idx: int) -> Any:
        starts.append(time.perf_counter())
        return honest(self, batch, batch_idx)

    EpisodicSegmentation.training_step = training_step  # type: ignore[method-assign]
    sys.argv = ["run", *argv]
    run.main()
    out.write_text(json.dumps([after - before for before, after in pairwise(starts)]))


def measure(out: Path, numbers: list[int], overrides: list[str]) -> None:
    """Time the same global batch in each number of processes, and one that grows with it."""
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in numbers:
        for kind, batch in {"the same batch": 16, "a batch of 16 per process": 16 * number}.items():
            with tempfile.TemporaryDirectory() as folder:
                times = Path(folder) / "times.json"
                words = (f"data.training.batch_size={batch}", f"trainer.devices={number}", "trainer.accelerator=cpu")
                line = [sys.executable, __file__, "timed", str(times), *COMMON, *LENGTH, *words, *overrides]
                subprocess.run(
                    [*line, f"output_dir={folder}/run"], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
                )
                seconds = median(json.loads(times.read_text())[WARM_UP:])
            rows.append([kind, number, batch, round(1000 * seconds, 1), round(batch / seconds, 2)])
            print(*rows[-1], sep="\t", flush=True)  # noqa: T201
    with (out / "scaling.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([["kind", "processes", "batch", "step_ms", "episodes_per_second"], *rows])


def sizes(overrides: list[str]) -> tuple[int, int, int]:
    """Of a run: trained parameters, layers with shared batch statistics, and the batch size."""
    from hydra import compose, initialize_config_module
    from torch.nn.modules.batchnorm import _BatchNorm

    from guided_seg.cli.run_folders import register_resolvers
    from guided_seg.composition.build import build_network

    register_resolvers()
    with initialize_config_module("guided_seg.conf", version_base="1.3"):
        cfg = compose("config", overrides)
    network = build_network(cfg).train()
    trained = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
    norms = sum(isinstance(each, _BatchNorm) and each.training for each in network.modules())
    return trained, norms, cfg.data.training.batch_size


def model(episode_ms: float, fixed_ms: float, overrides: list[str]) -> None:
    """Print the computed steps a second for 1 to 512 GPUs, eight to a machine."""
    trained, norms, batch = sizes(overrides)
    megabytes = 4 * trained / 1e6
    print(f"{trained:,} trained parameters, {megabytes:.1f} MB a step; {norms} layers share statistics")  # noqa: T201
    head = ("GPUs", "batch", "step, ms", "of it waiting for others, ms", "episodes a second", "efficiency")
    rows: list[Cells] = []
    for grows in (False, True):
        for gpus in (1, 8, 64, 512):
            total = max(batch, gpus) if not grows else batch * gpus
            if gpus > total:
                continue
            waits = waiting_ms(gpus, megabytes, norms)
            step = fixed_ms + episode_ms * total / gpus + waits
            alone = batch / (fixed_ms + episode_ms * batch)
            share = total / step / alone / gpus
            rows.append((gpus, total, f"{step:.1f}", f"{waits:.2f}", f"{1000 * total / step:,.0f}", f"{share:.0%}"))
    print(Table(columns(head), rows).markdown("bare"))  # noqa: T201


def waiting_ms(gpus: int, megabytes: float, norms: int) -> float:
    """Milliseconds of a step that a process waits for others, if none of it is hidden behind the backward pass."""
    if gpus == 1:
        return 0.0
    gigabytes_per_second = 400.0 if gpus <= 8 else 40.0
    latency = (0.02 if gpus <= 8 else 0.03) * math.log2(gpus) / 3
    gradients = 2 * (gpus - 1) / gpus * megabytes / gigabytes_per_second + latency * math.ceil(megabytes / 25)
    return gradients + latency * (1 + 4 * norms)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("timed")
    one.add_argument("out", type=Path)
    one.add_argument("overrides", nargs="*")
    two = commands.add_parser("measure")
    two.add_argument("--out", type=Path, required=True)
    two.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    two.add_argument("overrides", nargs="*", default=["+experiment=late_global"])
    three = commands.add_parser("model")
    three.add_argument("--episode-ms", type=float, default=1.5)
    three.add_argument("--fixed-ms", type=float, default=20.0)
    three.add_argument("overrides", nargs="*", default=["+experiment=late_global"])
    asked = parser.parse_args()
    if asked.command == "timed":
        timed(asked.out, asked.overrides)
    elif asked.command == "measure":
        measure(asked.out, asked.processes, asked.overrides)
    else:
        model(asked.episode_ms, asked.fixed_ms, asked.overrides)


if __name__ == "__main__":
    main()

"""Time of an edit and of a video frame next to another busy process, as on most machines."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import numpy as np
from omegaconf import DictConfig

from guided_seg.benchmark.suites.released import MODEL
from guided_seg.benchmark.suites.update import annotated, editor
from guided_seg.benchmark.suites.video import streamed
from guided_seg.benchmark.timing import Row, by_turns, row
from guided_seg.machine.openmp import OTHERS, SETTINGS
from guided_seg.release.load import load_network

PHASES = 3
"""How often idle and busy phases alternate."""

# each ends with the benchmark, even if that crashes
_ONE_CORE = "print('busy', flush=True)\nwhile os.getppid() == parent: pass"
_ALL_CORES = """import torch
images, conv = torch.rand(1, 64, 120, 200), torch.nn.Conv2d(64, 64, 3)
with torch.inference_mode():
    conv(images)
    print('busy', flush=True)
    while os.getppid() == parent: conv(images)"""
NEIGHBOURS = {"busy": _ONE_CORE, "torch": _ALL_CORES}
"""Programs by name: one that keeps one core busy, and a default torch program on all cores."""

_OF = {"busy": "a process that keeps one core busy", "torch": "a process of torch that keeps all cores busy"}


def rows(cfg: DictConfig) -> Iterator[Row]:
    """Measure `MODEL`, or another checkpoint, next to each neighbour and without one."""
    network = load_network(cfg.checkpoint or MODEL)[0]
    session = annotated(network, cfg, np.random.default_rng(cfg.seed), images=1, labels=2)
    edit = editor(session, cfg, np.random.default_rng(cfg.seed))
    edits: dict[str, list[float]] = {name: [] for name in ("quiet", *NEIGHBOURS)}
    frames: dict[str, list[float]] = {name: [] for name in edits}
    for _ in range(PHASES):
        for name, own in edits.items():
            with neighbour(NEIGHBOURS.get(name)):
                own.append(by_turns({"edit": edit}, cfg.rounds)["edit"])
                frames[name].append(streamed(network, cfg)[0])
    what = f"{cfg.checkpoint or MODEL}, {cfg.height} x {cfg.width}, {os.cpu_count()} cores"
    for figure, times in {"edit": edits, "frame": frames}.items():
        quiet = median(times["quiet"])
        for name in NEIGHBOURS:
            of = f"beside {_OF[name]}, {what}; reference: without it"
            yield row(f"{figure}_beside_{name}_ms", 1e3 * median(times[name]), "ms", of, 1e3 * quiet)


@contextmanager
def neighbour(program: str | None) -> Iterator[None]:
    """Run a program of `NEIGHBOURS` during the block; None for none."""
    if program is None:
        yield
        return
    code = f"import os\nparent = {os.getpid()}\n{program}"
    plain = {name: value for name, value in os.environ.items() if name not in (*SETTINGS, *OTHERS, "OMP_NUM_THREADS")}
    with subprocess.Popen([sys.executable, "-c", code], env=plain, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise RuntimeError("The neighbour did not start; what it printed above says why.")
            yield
        finally:
            process.kill()

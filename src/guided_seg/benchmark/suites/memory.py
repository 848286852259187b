"""Memory growth over thousands of edits of more images than the cache can hold."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from guided_seg.benchmark.models import LITE0, build
from guided_seg.benchmark.timing import Row, row
from guided_seg.session import Session

IMAGES, CACHE_MB = 50, 200.0
STAY = 20
"""Edits of an image before the next one."""


def rows(cfg: DictConfig) -> Iterator[Row]:
    """Measure memory growth, after a first visit to every image."""
    rng = np.random.default_rng(cfg.seed)
    session = Session(build(*LITE0), precision="auto", cache_mb=CACHE_MB)
    session.add_label("object")
    for number in range(IMAGES):
        session.add_image(f"{number}", rng.integers(0, 256, (cfg.height, cfg.width, 3), np.uint8))
    visits = max(1, cfg.edits // STAY)
    for number in range(IMAGES):
        _visit(session, cfg, rng, number)
    before, encodes = resident(), sum(session.encodes.values())
    for _ in range(visits):
        _visit(session, cfg, rng, int(rng.integers(IMAGES)))
    after = resident()
    of = f"{visits * STAY:,} edits of {IMAGES} images of {cfg.height} x {cfg.width}, {CACHE_MB:g} MB of cache"
    size = f"{before / 2**20:,.0f} MB before, {after / 2**20:,.0f} MB after"
    if before:
        yield row("memory_growth", after / before - 1, "share", f"{of}; {size}")
    again = (sum(session.encodes.values()) - encodes) / visits
    yield row("memory_encodes_per_visit", again, "encodes", f"per visit of an image, which has {STAY} edits; at most 1")


def _visit(session: Session, cfg: DictConfig, rng: np.random.Generator, number: int) -> None:
    """Add, undo and remove dots of one image, and predict after each edit."""
    for turn in range(STAY):
        dots = session.dots(f"{number}")
        if turn % 5 == 4:
            session.undo()
        elif len(dots) > 2 * cfg.points:
            session.remove(f"{number}", *dots[int(rng.integers(len(dots)))][:2])
        else:
            pixel = int(rng.integers(cfg.height)), int(rng.integers(cfg.width))
            session.dot(f"{number}", *pixel, session.labels[turn % 2])
        session.segment(f"{number}")


def resident() -> int:
    """Resident memory of this process in bytes, on Linux; 0 elsewhere."""
    gc.collect()
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * 4096 if status.is_file() else 0

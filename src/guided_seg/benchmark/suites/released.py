"""Time of an edit and of a video frame with a released network at its own resolution."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from omegaconf import DictConfig

from guided_seg.benchmark.suites.update import annotated, editor
from guided_seg.benchmark.suites.video import streamed
from guided_seg.benchmark.timing import Row, by_turns, row
from guided_seg.release.load import load_network

MODEL = "guided-lite0"


def rows(cfg: DictConfig) -> Iterator[Row]:
    """Measure `MODEL`, or another checkpoint."""
    network = load_network(cfg.checkpoint or MODEL)[0]
    session = annotated(network, cfg, np.random.default_rng(cfg.seed), images=1, labels=2)
    edit = by_turns({"edit": editor(session, cfg, np.random.default_rng(cfg.seed))}, 20 * cfg.rounds)["edit"]
    what = f"{cfg.checkpoint or MODEL}, {cfg.height} x {cfg.width}"
    yield row("released_edit_ms", 1e3 * edit, "ms", f"one dot more or less, {cfg.points} + {cfg.points} dots, {what}")
    seconds, _ = streamed(network, cfg)
    yield row("released_frame_ms", 1e3 * seconds, "ms", f"read, encode and segment a video frame, {what}")

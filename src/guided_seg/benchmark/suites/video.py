"""Time of a video frame, including reading and mask."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from omegaconf import DictConfig

from guided_seg.benchmark.models import LITE0, build
from guided_seg.benchmark.timing import Row, by_turns, row
from guided_seg.model.network import Network
from guided_seg.predict.encoder import Encoder
from guided_seg.session import NEGATIVE, Session


def rows(cfg: DictConfig) -> Iterator[Row]:
    """Measure video segmentation."""
    network = build(*LITE0)
    seconds, encodes = streamed(network, cfg)
    encoder, image = Encoder(network, torch.device("cpu"), "auto"), torch.rand(3, cfg.height, cfg.width)
    alone = by_turns({"encode": lambda: encoder(image[None])}, cfg.rounds)["encode"]
    of = f"EfficientNet-Lite0 in {encoder.precision} (auto) at {cfg.height} x {cfg.width}, a video file"
    of += "; reference: its encoder alone"
    yield row("video_ms_per_frame", 1e3 * seconds, "ms", of, 1e3 * alone)
    yield row("video_encodes_per_frame", encodes, "encodes", f"over {cfg.frames} frames")


def streamed(network: Network, cfg: DictConfig) -> tuple[float, float]:
    """Median seconds per frame of a video file with dots on its first frame, and of encoding a frame."""
    rng = np.random.default_rng(cfg.seed)
    with tempfile.TemporaryDirectory() as folder:
        path = write_video(Path(folder) / "video.avi", cfg.height, cfg.width, cfg.frames, rng)
        session = Session(network, precision="auto")
        session.warm_up(cfg.height, cfg.width)
        session.add_video("video", path)
        first = session.frame("video", 0)
        for label in (NEGATIVE, session.add_label("object")):
            for _ in range(cfg.points):
                session.dot(first, int(rng.integers(cfg.height)), int(rng.integers(cfg.width)), label)
        times, began = [], time.perf_counter()
        for _ in session.segment_video("video"):
            now = time.perf_counter()
            times.append(now - began)
            began = now
    return median(times[3:] or times), session.encodes["video"] / len(times)


def write_video(path: Path, height: int, width: int, frames: int, rng: np.random.Generator) -> Path:
    """Write a video of a square moving over smooth noise, as motion JPEG."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (width, height))
    ground = cv2.resize(rng.integers(0, 256, (height // 16, width // 16, 3), np.uint8), (width, height))
    for number in range(frames):
        frame = ground.copy()
        column = (5 * number) % (width - width // 4)
        frame[height // 4 : height // 2, column : column + width // 4] = (40, 200, 240)
        writer.write(frame)
    writer.release()
    return path

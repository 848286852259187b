"""How fast `guided-seg segment` is, what it waits for, and whether its memory stays the same.

python experiments/segment_speed/measure.py [--photos 200] [--many 5000] [--format coco] [--ray]

The photos are crops of the samples of the page, 480 x 640. Everything is written into a temporary folder.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from guided_seg.formats import write_files  # before torch, see "Beside other programs" in docs/session.md
from guided_seg.formats.inputs import Input
from guided_seg.formats.kept import KeptMaps
from guided_seg.formats.saving import Step
from guided_seg.segment.on_ray import on_ray
from guided_seg.segment.progress import Bar
from guided_seg.session import Session

import cv2  # isort: skip
import numpy as np  # isort: skip
import psutil  # isort: skip
from omegaconf import OmegaConf  # isort: skip

SAMPLES = Path(__file__).parents[2] / "src" / "guided_seg" / "app" / "samples"
WARM_UP = 10
"""Photos that are not counted."""


def write_photos(folder: Path, number: int, height: int, width: int) -> dict[str, Path]:
    """Crops of the samples at random places, some of them mirrored."""
    rng = np.random.default_rng(0)
    samples = [cv2.imread(str(path)) for path in sorted(SAMPLES.glob("*.jpg"))]
    folder.mkdir()
    for index in range(number):
        sample = samples[index % len(samples)]
        scale = 1.2 * max(height / sample.shape[0], width / sample.shape[1])
        sample = cv2.resize(sample, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        row, column = (int(rng.integers(0, most + 1)) for most in (sample.shape[0] - height, sample.shape[1] - width))
        crop = sample[row : row + height, column : column + width, :: rng.choice((-1, 1))]
        cv2.imwrite(str(folder / f"{index:05d}.jpg"), crop)
    return {path.name: path for path in sorted(folder.iterdir())}


def new_session() -> Session:
    """A session that shows a cat."""
    session = Session.load("guided-lite0")
    session.add_image("shown", SAMPLES / "chelsea.jpg")
    session.add_label("cat")
    session.dot("shown", 150, 200, "cat")
    session.dot("shown", 10, 10, "negative")
    return session


@contextmanager
def timed(owner: Any, name: str) -> Iterator[list[float]]:
    """The seconds of each call of a method meanwhile."""
    honest, found = getattr(owner, name), list[float]()

    def measured(*words: Any, **more: Any) -> Any:
        began = time.perf_counter()
        try:
            return honest(*words, **more)
        finally:
            found.append(time.perf_counter() - began)

    setattr(owner, name, measured)
    try:
        yield found
    finally:
        setattr(owner, name, honest)


def speed(folder: Path, files: Mapping[str, Path], kind: str) -> float:
    """Print photos a second, and the share of the network; return the seconds of a photo."""
    session, times = new_session(), list[float]()
    with timed(Session, "segment_pixels") as network:
        out = folder / f"out-{kind}"
        write_files(session, out, kind, files, list(files), lambda _: times.append(time.perf_counter()))
    seconds = times[-1] - times[WARM_UP - 1]
    share = sum(network[WARM_UP:]) / seconds
    each = seconds / (len(times) - WARM_UP)
    say(f"{kind}: {1 / each:.1f} photos a second ({session.precision}); the network is {share:.1%} of the time")
    return each


def memory(folder: Path, files: Mapping[str, Path], kind: str) -> None:
    """Print the memory of the process as images pass."""
    process, every = psutil.Process(), max(1, len(files) // 10)

    def told(step: Step) -> None:
        if step.done % every == 0:
            say(f"{step.done:,} images: {process.memory_info().rss / 2**20:,.0f} MB")

    write_files(new_session(), folder / "out-many", kind, files, list(files), told)


def ray(folder: Path, files: Mapping[str, Path], kind: str, workers: int = 2) -> None:
    """Print photos a second of processes of Ray, between the first and the last label map that they keep."""
    cfg = OmegaConf.create({"device": "cpu", "cache_mb": 1024, "refined": False, "workers": workers, "address": None})
    session, bar = new_session(), Bar()
    begun: list[float] = []

    def begin(inner: Callable[..., None], missing: list[Input], kept: KeptMaps) -> None:
        begun.append(time.time())
        inner(missing, kept)
        kept_at = sorted(path.stat().st_mtime for path in kept.folder.glob("[!.]*.png"))
        rate = (len(kept_at) - 1 - WARM_UP) / (kept_at[-1] - kept_at[WARM_UP])
        say(
            f"ray: {rate:.1f} photos a second, after {kept_at[0] - begun[0]:.0f} s for the start of {workers} processes"
        )

    inner = on_ray(cfg, session, bar)
    write_files(
        session, folder / "out-ray", kind, files, list(files), begin=lambda missing, kept: begin(inner, missing, kept)
    )


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--many", type=int, default=5000)
    parser.add_argument("--format", default="coco")
    parser.add_argument("--ray", action="store_true")
    words = parser.parse_args()
    with TemporaryDirectory() as made:
        folder = Path(made)
        if words.photos:
            photos = write_photos(folder / "photos", words.photos, 480, 640)
            speed(folder, photos, words.format)
            if words.ray:
                ray(folder, photos, words.format)
        if words.many:
            memory(folder, write_photos(folder / "many", words.many, 96, 128), words.format)


if __name__ == "__main__":
    main()

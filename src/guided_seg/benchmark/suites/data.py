"""Number of interactive training episodes that one core samples per second.

The data is a temporary archive in the VOC layout: 500 x 375 JPEG images of smooth noise at quality 90 and palette PNG
masks, with sizes as in the real archive. The methods take turns of a few episodes each, so that a busy moment of the
machine affects all of them, and the median turn is reported.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float64
from omegaconf import DictConfig
from PIL import Image

from guided_seg.benchmark.timing import Row, row
from guided_seg.data.sampling.points import PointRange
from guided_seg.data.sampling.transforms import Augment
from guided_seg.data.sources.pascal import VOC_CLASSES
from guided_seg.data.sources.voc import Voc
from guided_seg.data.training_episodes import TrainEpisodes
from guided_seg.machine.allocation import keep_freed_memory
from guided_seg.settings.episode_options import EpisodeOptions

HEIGHT, WIDTH = 375, 500
PLAIN = "disk, plain method"
DECODE = "cv2.imdecode alone"
IMAGES, EPISODES = 50, 25
"""Images in the archive, and episodes per turn."""
NAMES = {
    "decoded images": "episodes_per_second_decoded",
    "decoded images, crop 256": "episodes_per_second_decoded_crop",
    "disk": "episodes_per_second_disk",
    "disk, crop 256": "episodes_per_second_disk_crop",
    DECODE: "images_decoded_per_second",
}

Way = Callable[[int], object]


def rows(cfg: DictConfig) -> Iterator[Row]:
    """Measure sampling."""
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_freed_memory()  # as data-loading processes do
    try:
        with tempfile.TemporaryDirectory() as folder:
            draw_archive(Path(folder), IMAGES)
            rates = measure(ways(Path(folder)), 2 * cfg.rounds, EPISODES)
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])
    for name, rate in rates.items():
        if name != PLAIN:
            of = f"{name}, one core, {WIDTH} x {HEIGHT}; reference: the plain method, from disk"
            found = row(NAMES[name], rate, "1/s", of, rates[PLAIN])
            yield {**found, "ratio": rate / rates[PLAIN]}


def measure(ways: dict[str, Way], turns: int, episodes: int) -> dict[str, float]:
    """Episodes per second of each method: the median over turns."""
    return {name: 1 / float(np.median(times)) for name, times in seconds(ways, turns, episodes).items()}


def seconds(ways: dict[str, Way], turns: int, episodes: int) -> dict[str, Float64[np.ndarray, " turns"]]:
    """Seconds per episode in each turn of each method, after a warm-up turn."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, sample in ways.items():
            began = time.perf_counter()
            for index in range(turn * episodes, (turn + 1) * episodes):
                sample(index)
            found[name].append((time.perf_counter() - began) / episodes)
    return {name: np.array(times[1:]) for name, times in found.items()}


def ways(root: Path) -> dict[str, Way]:
    """The methods to compare; each takes the number of an episode."""
    cached, disk = Voc(root, "train", cache_mb=500), Voc(root, "train")
    for _, target in cached.objects:
        cached.load(target.key)
    jpeg = np.frombuffer(next((root / "JPEGImages").iterdir()).read_bytes(), np.uint8)
    return {
        "decoded images": _sampler(cached, None),
        "decoded images, crop 256": _sampler(cached, Augment(256)),
        "disk": _sampler(disk, None),
        "disk, crop 256": _sampler(disk, Augment(256)),
        PLAIN: PlainEpisodes(root),
        DECODE: lambda _: cv2.imdecode(jpeg, cv2.IMREAD_COLOR),
    }


def _sampler(source: Voc, augment: Augment | None) -> Way:
    data = TrainEpisodes(source, {"interactive": 1.0}, PointRange(), EpisodeOptions(), augment, seed=0)
    return lambda index: data[(0, index)]


class PlainEpisodes:
    """The simple method: decode query and support separately, and search for every pixel of a label."""

    def __init__(self, root: Path) -> None:
        self.images = sorted((root / "JPEGImages").iterdir())
        self.masks = sorted((root / "SegmentationObject").iterdir())
        self.points = PointRange()

    def __call__(self, index: int) -> tuple[torch.Tensor, ...]:
        """Query, target, support image and its sparse mask."""
        rng = np.random.default_rng(index)
        item = int(rng.integers(len(self.images)))
        query, labels = self._load(item)
        value = rng.choice([v for v in np.unique(labels) if v not in (0, 255)])
        target = np.where(labels == 255, 255, labels == value).astype(np.uint8)
        support, again = self._load(item)
        dense = np.where(again == 255, 255, again == value).astype(np.uint8)
        sparse = self._sparse(dense, self.points.draw(rng), rng)
        return torch.from_numpy(query), torch.from_numpy(target), torch.from_numpy(support), torch.from_numpy(sparse)

    def _load(self, item: int) -> tuple[np.ndarray, np.ndarray]:
        image = np.array(Image.open(self.images[item]), np.float32) / 255
        return np.ascontiguousarray(image.transpose(2, 0, 1)), np.array(Image.open(self.masks[item]), np.uint8)

    def _sparse(self, mask: np.ndarray, points: int | None, rng: np.random.Generator) -> np.ndarray:
        if points is None:
            return mask
        sparse = np.full_like(mask, 255)
        for label in (0, 1):
            rows, columns = np.where(mask == label)
            chosen = rng.choice(len(rows), size=min(points, len(rows)), replace=False)
            sparse[rows[chosen], columns[chosen]] = label
        return sparse


def draw_archive(root: Path, images: int) -> None:
    """Write ``images`` images with class and instance masks, all on the train list."""
    names = [f"2012_{number:06d}" for number in range(images)]
    folders = ("JPEGImages", "SegmentationClass", "SegmentationObject", "ImageSets/Segmentation")
    for folder in folders:
        (root / folder).mkdir(parents=True)
    (root / folders[3] / "train.txt").write_text("\n".join(names))
    for number, name in enumerate(names):
        rng = np.random.default_rng(number)
        cv2.imwrite(str(root / folders[0] / f"{name}.jpg"), _picture(rng), [cv2.IMWRITE_JPEG_QUALITY, 90])
        classes, objects = _masks(rng)
        _save_mask(root / folders[1] / f"{name}.png", classes)
        _save_mask(root / folders[2] / f"{name}.png", objects)


def _picture(rng: np.random.Generator) -> np.ndarray:
    """Noise with more power at coarser scales, as in photographs; 50 to 100 kB as a JPEG."""
    picture = np.full((HEIGHT, WIDTH, 3), 128, np.float32)
    for cell, strength in ((64, 60), (16, 30), (4, 18), (1, 7)):
        grid = rng.standard_normal((HEIGHT // cell + 2, WIDTH // cell + 2, 3), dtype=np.float32)
        picture += strength * cv2.resize(grid, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return picture.clip(0, 255).astype(np.uint8)


def _masks(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Class and instance labels of one to four ellipses with void rims."""
    classes, objects = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    for number in range(1, int(rng.integers(2, 6))):
        centre = int(rng.integers(60, WIDTH - 60)), int(rng.integers(60, HEIGHT - 60))
        axes = int(rng.integers(25, 130)), int(rng.integers(25, 110))
        angle = float(rng.uniform(0, 180))
        for mask, value in ((classes, int(rng.integers(1, len(VOC_CLASSES) + 1))), (objects, number)):
            cv2.ellipse(mask, centre, axes, angle, 0, 360, value, thickness=-1)
            cv2.ellipse(mask, centre, axes, angle, 0, 360, 255, thickness=5)
    return classes, objects


def _save_mask(path: Path, labels: np.ndarray) -> None:
    mask = Image.fromarray(labels)
    mask.putpalette(np.random.default_rng(0).integers(256, size=768).tolist())
    mask.save(path)

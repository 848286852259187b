"""Labelled images in memory, of sizes that differ, with a count of how often each is loaded."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Hashable, Mapping

import numpy as np

from guided_seg.data.indexed import IndexedSource
from guided_seg.data.source import Sample, Target


class Boxes(IndexedSource):
    """Noise with a strip of each value, brighter by its number; ``VIDEO/FRAME`` names the frame of a video.

    Args:
        images: the values in each image; in a video, an object may be missing from some frames.
    """

    def __init__(self, images: Mapping[str, tuple[int, ...]]) -> None:
        self.images, self.loads = dict(images), Counter[Hashable]()
        every = sorted({value for values in images.values() for value in values})
        objects = [(f"{key} {value}", Target(key, value)) for key, values in images.items() for value in values]
        classes = {
            f"class {value}": [Target(key, value) for key, values in images.items() if value in values]
            for value in every
        }
        super().__init__("boxes", objects, classes, dict(self._videos()))

    def _videos(self) -> list[tuple[str, list[Target]]]:
        frames: dict[str, list[str]] = {}
        for key in self.images:
            if "/" in key:
                frames.setdefault(key.split("/")[0], []).append(key)
        found = []
        for video, keys in frames.items():
            for value in sorted({value for key in keys for value in self.images[key]}):
                first = next(i for i, key in enumerate(keys) if value in self.images[key])
                shown = [Target(key, value, value in self.images[key]) for key in keys[first:]]
                found.append((f"{video} {value}", shown))
        return found

    def load(self, key: Hashable) -> Sample:
        """23 to 36 pixels high and wide, with a column of void."""
        self.loads[key] += 1
        assert isinstance(key, str)
        rng = np.random.default_rng(zlib.crc32(key.encode()))
        height, width = rng.integers(23, 37, size=2).tolist()
        image, labels = rng.integers(0, 90, (height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
        for place, value in enumerate(self.images[key]):
            labels[3:-4, 1 + 5 * place : 5 + 5 * place] = value
        labels[:, -2] = 255
        return Sample(image + (40 * (labels[..., None] % 5)).astype(np.uint8), labels)

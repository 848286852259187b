"""A page without a browser: what it receives, and photos for it."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable
from pathlib import Path
from threading import Condition
from typing import Any

import cv2
import numpy as np

BASE = "http://localhost"
ORIGIN = {"origin": BASE}
LIMIT = 60
"""Seconds that a page waits for an answer."""

MESSAGES: list[dict[str, Any]] = [
    {"do": "look", "image": "a"},
    {"do": "dot", "image": "a", "row": 1, "column": 2, "label": 1},
    {"do": "move", "image": "a", "start": [1, 2], "end": [3, 4]},
    {"do": "remove", "image": "a", "row": 1, "column": 2},
    {"do": "scribble", "image": "a", "points": [[1, 2], [3, 4]], "label": 1},
    {"do": "box", "image": "a", "box": [1, 2, 3, 4], "label": 1},
    {"do": "paint", "image": "a", "label": 1, "runs": "AAAA"},
    *({"do": "clear", "image": image} for image in ("a", None)),
    *({"do": each} for each in ("undo", "redo", "fill", "stop", "next", "clear")),
    {"do": "label", "name": "größe"},
    {"do": "hover", "image": "a", "row": 1, "column": 2, "label": 0},
    *({"do": each, "image": "a"} for each in ("refine", "other")),
    *({"do": "view", "image": "a", "what": what, "label": 1} for what in ("heat", "similarity")),
    {"do": "play", "video": "v"},
    {"do": "play", "video": "v", "start": 3, "memory": "map", "corrections": "forward", "backward": True},
    {"do": "frame", "video": "v", "index": 3},
]
"""A message of each kind, without its number."""


class Page:
    """What a page has received, and a way to wait for more."""

    full = False

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self._more = Condition()

    def send(self, message: str | bytes) -> None:
        """Called by the desk."""
        with self._more:
            self.received.append(json.loads(message) if isinstance(message, str) else unpacked(message))
            self._more.notify_all()

    def wait(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first message of this kind."""
        with self._more:
            found = self._more.wait_for(lambda: next((each for each in self.received if wanted(each)), None), LIMIT)
        assert found, f"it did not come; there are {[each['type'] for each in self.received]}"
        return found

    def of(self, kind: str, **content: Any) -> dict[str, Any]:
        """The first message of a type with this content."""
        return self.wait(lambda each: each["type"] == kind and content.items() <= each.items())


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.005)


def unpacked(data: bytes) -> dict[str, Any]:
    """A message of bytes: its header, with the label map or the grey map as ``pixels``."""
    (length,) = struct.unpack("<I", data[:4])
    header, payload = json.loads(data[4 : 4 + length]), data[4 + length :]
    if header["type"] == "mask":
        number = len(payload) // 5
        lengths = np.frombuffer(payload[: 4 * number], "<u4")
        flat = np.repeat(np.frombuffer(payload[4 * number :], np.uint8), lengths)
    else:
        flat = np.frombuffer(payload, np.uint8)
    return header | {"pixels": flat.reshape(header["height"], header["width"])}


def picture(seed: int, size: tuple[int, int] = (40, 52)) -> np.ndarray:
    """A photo of noise."""
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Write pixels in RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", pixels[..., ::-1])[1].tobytes())

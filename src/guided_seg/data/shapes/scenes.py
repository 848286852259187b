"""Scenes of the built-in `shapes`: moving objects in drawing order, rendered at any time."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from guided_seg.data.shapes.materials import texture

# new sensor noise for each frame would take longer than the rest of the frame
_NOISE = np.round(5 * np.random.default_rng(0).standard_normal((512, 512, 3))).astype(np.int16)
ABSENT = 254
"""The label value of a material that is not in a scene; no scene has that many objects."""
_SHIFT = 4  # sub-pixel bits of OpenCV's polygon coordinates


@dataclass(frozen=True, slots=True)
class Thing:
    """A moving object: its outline around the origin, in pixels, and its motion."""

    material: int
    outline: np.ndarray
    position: np.ndarray
    velocity: np.ndarray
    angle: float
    spin: float
    zoom: float

    def pose(self, time: int, size: int) -> np.ndarray:
        """The 2 x 3 matrix from object to image coordinates at ``time``; objects bounce off the border."""
        angle = self.angle + self.spin * time
        x, y = _bounce(self.position + self.velocity * time, size)
        cos, sin = np.cos(angle), np.sin(angle)
        return np.array([[cos, -sin, x], [sin, cos, y]])


@dataclass(frozen=True, slots=True)
class Scene:
    """Objects in drawing order over a background, under one light."""

    things: tuple[Thing, ...]
    background: Thing
    gain: np.ndarray
    noise_seed: int

    def value(self, material: int) -> int:
        """The label value of a material: that of its first object, or `ABSENT`."""
        return next((i for i, thing in enumerate(self.things, start=1) if thing.material == material), ABSENT)


def draw_labels(scene: Scene, time: int, size: int) -> UInt8[np.ndarray, "H W"]:
    """Render the label map: the visible object at each pixel, from 1; 0 is background."""
    labels = np.zeros((size, size), np.uint8)
    for value, thing in enumerate(scene.things, start=1):
        pose = thing.pose(time, size)
        vertices = thing.outline @ pose[:, :2].T + pose[:, 2]
        cv2.fillPoly(labels, [np.round(vertices * (1 << _SHIFT)).astype(np.int32)], value, shift=_SHIFT)
    return labels


def paint(scene: Scene, labels: UInt8[np.ndarray, "H W"], time: int) -> UInt8[np.ndarray, "H W 3"]:
    """Render the RGB image of the scene at ``time``, given its label map."""
    image = _surface(scene.background, time, labels.shape[0], (0, 0, labels.shape[1], labels.shape[0]))
    for value, thing in enumerate(scene.things, start=1):
        mask = (labels == value).view(np.uint8)
        x, y, width, height = cv2.boundingRect(mask)
        if width:
            window = np.s_[y : y + height, x : x + width]
            cv2.copyTo(_surface(thing, time, labels.shape[0], (x, y, width, height)), mask[window], image[window])
    image = cv2.GaussianBlur(image, (3, 3), 0.6)
    lit = cv2.transform(image, np.diag(scene.gain))
    row, column = np.random.default_rng((scene.noise_seed, time)).integers(_NOISE.shape[0] // 2, size=2)
    return cv2.add(lit, np.resize(_NOISE[row:, column:], lit.shape), dtype=cv2.CV_8U)


def merge_classes(scene: Scene, labels: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """Merge objects of one material into one label, that of its first object."""
    values = [0, *(scene.value(thing.material) for thing in scene.things)]
    return np.array(values, np.uint8)[labels]


def outline(rng: np.random.Generator) -> np.ndarray:
    """``[V, 2]`` vertices of an ellipse, box, star or blob of about unit radius."""
    kind = rng.integers(4)
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.ones_like(turn)
    if kind == 1:  # a superellipse: a box with round corners
        radius = (np.abs(np.cos(turn)) ** 6 + np.abs(np.sin(turn)) ** 6) ** (-1 / 6)
    elif kind == 2:
        radius = 1 + 0.3 * np.cos(turn * rng.integers(3, 7))
    elif kind == 3:
        for k in (2, 3, 4):
            radius = radius + rng.normal(0, 0.14) * np.cos(k * turn + rng.uniform(0, 6.3))
    stretch = np.sqrt(rng.uniform(0.6, 1.0))
    return np.stack([np.cos(turn) * radius * stretch, np.sin(turn) * radius / stretch], axis=1)


def spread(number: int, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Random positions with little overlap: each is the farthest of a few candidates from the previous ones."""
    positions: list[np.ndarray] = []
    for _ in range(number):
        candidates = rng.uniform(0.16 * size, 0.84 * size, size=(5, 2))
        gaps = [min((float(np.hypot(*(c - p))) for p in positions), default=0.0) for c in candidates]
        positions.append(candidates[int(np.argmax(gaps))])
    order = rng.permutation(number)
    return [positions[i] for i in order]


def _surface(thing: Thing, time: int, size: int, box: tuple[int, int, int, int]) -> np.ndarray:
    """The object's texture, moved and rotated with it, over a box (x, y, width, height) of the image."""
    x, y, width, height = box
    pose = thing.pose(time, size) - [[0, 0, x], [0, 0, y]]
    pose = np.hstack([pose[:, :2] * thing.zoom, pose[:, 2:]])
    return cv2.warpAffine(texture(thing.material), pose, (width, height), borderMode=cv2.BORDER_WRAP)


def _bounce(position: np.ndarray, size: int) -> np.ndarray:
    """Reflect positions at the image border."""
    low, span = 0.12 * size, 0.76 * size
    folded = np.mod(position - low, 2 * span)
    return low + np.where(folded > span, 2 * span - folded, folded)

"""`shapes`: endless procedural scenes of textured, overlapping, moving objects; no download, no files.

A *material* (palette x pattern) is a class, an object is an instance, a scene in time is a video. Every scene holds
several objects over a textured background, so the same scene serves several tasks and none can be solved without
its support. Some objects share the palette but not the pattern (colour alone does not tell them apart), and some
scenes hold *twins*: two objects of one material, which global guidance must confuse and local guidance need not
(paper, figure 3c). Palettes of validation and test are never seen in training.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from guided_seg.data.classes import as_split
from guided_seg.data.materials import PATTERNS
from guided_seg.data.scenes import Scene, Thing, draw_labels, merge_classes, outline, paint, spread
from guided_seg.data.source import MODES, SPLITS, DataError, Mode, Sample, Source, Split, Task, View, halving_order

PALETTES: dict[Split, range] = {"train": range(80), "val": range(80, 100), "test": range(100, 140)}
"""Palettes of each split: 480 training classes, 120 validation classes and 240 test classes."""


class Shapes(Source):
    """Procedural scenes; a key is ``(kind, scene, material, frame)`` with kind ``instance`` or ``class``.

    Args:
        split: decides palettes and scenes; no scene or palette is in two splits.
        size: height and width in pixels.
        frames: frames of a video.
        objects: least and most objects of a scene.
        twins: the share of scenes in which two objects have one material.
        siblings: the share of scenes in which two objects share their palette but not their pattern.
        min_pixels: an object with fewer visible pixels is no task.
        tasks: how many fixed evaluation tasks there are in each mode.
        seed: another seed is another world.

    Raises:
        DataError: an unknown split, or numbers that leave no scenes or tasks.

    Example:
        >>> source = Shapes("train", size=64)
        >>> task = source.sample("semantic", shots=2, rng=np.random.default_rng(0))
        >>> len(task.support), source.load(task.query.key).image.shape
        (2, (64, 64, 3))
    """

    name = "shapes"
    modes = MODES

    def __init__(
        self,
        split: str,
        size: int = 96,
        frames: int = 9,
        objects: Sequence[int] = (3, 5),
        twins: float = 0.12,
        siblings: float = 0.3,
        min_pixels: int = 120,
        tasks: int = 256,
        seed: int = 0,
    ) -> None:
        if size < 32:
            raise DataError(f"data.size={size} leaves no room for objects; use at least 32 pixels.")
        most = len(PALETTES["val"]) - 1  # each object and the background have palettes of their own
        if not 2 <= objects[0] <= objects[1] <= most:
            raise DataError(f"data.objects={list(objects)}: expected [least, most] with 2 <= least <= most <= {most}.")
        if not 2 <= frames <= tasks + 1:
            raise DataError(f"data.frames={frames}, data.tasks={tasks}: expected 2 <= frames <= tasks + 1.")
        if not (0 <= twins <= 1 and 0 <= siblings <= 1):
            raise DataError(f"data.twins={twins}, data.siblings={siblings}: shares lie in 0..1.")
        self.split, self.size, self.frames = as_split(split), size, frames
        self.objects, self.twins, self.siblings = objects, twins, siblings
        self.min_pixels, self.tasks, self.seed = min_pixels, tasks, seed
        self._remember_scenes()

    def __getstate__(self) -> dict[str, Any]:
        # a cache cannot be sent to a data-loading worker, where processes are spawned
        return {name: value for name, value in vars(self).items() if name != "_scene"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._remember_scenes()

    def _remember_scenes(self) -> None:
        # one scene is asked for twice: once to pose a task and once to load it
        self._scene = lru_cache(maxsize=64)(self._make_scene)

    def load(self, key: Hashable) -> Sample:
        """Draw one frame."""
        assert isinstance(key, tuple)
        kind, number, material, time = key
        scene = self._scene(number, material)
        labels = draw_labels(scene, time, self.size)
        image = paint(scene, labels, time)
        return Sample(image, labels if kind == "instance" else merge_classes(scene, labels))

    def sample(self, mode: Mode, shots: int, rng: np.random.Generator) -> Task:
        """A random task on scenes that are as many as 64-bit numbers."""
        number = int(rng.integers(1 << 62))
        if mode == "semantic":
            return self._semantic(self._material(rng), number, shots, rng)
        time = int(rng.integers(self.frames))
        if mode == "interactive":
            return self._interactive(number, time, rng)
        return self._random_video(number, time, shots, rng)

    def count(self, mode: Mode) -> int:
        """The number of fixed tasks; for video whole videos, of all frames but the first."""
        return self.tasks if mode != "video" else self.tasks // (self.frames - 1) * (self.frames - 1)

    def fixed(self, mode: Mode, index: int, shots: int, rng: np.random.Generator) -> Task:
        """The task ``index`` of this split: every class in turn, every frame of a video in turn."""
        if mode == "semantic":
            palettes = PALETTES[self.split]
            material = (palettes.start + index % len(palettes)) * len(PATTERNS) + int(rng.integers(len(PATTERNS)))
            return self._semantic(material, index, shots, rng)
        if mode == "interactive":
            return self._interactive(index, 0, rng)
        video, frame = divmod(index, self.frames - 1)
        rng = np.random.default_rng((self.seed, video))  # all frames of a video ask for the same object
        value = self._visible(video, 0, rng)
        order = halving_order(self.frames)[:shots]
        return _object_task(video, value, frame + 1, order)

    def _material(self, rng: np.random.Generator) -> int:
        return int(rng.choice(PALETTES[self.split])) * len(PATTERNS) + int(rng.integers(len(PATTERNS)))

    def _interactive(self, number: int, time: int, rng: np.random.Generator) -> Task:
        task = _object_task(number, self._visible(number, time, rng), time, [])
        return Task(task.query, (task.query,), task.group)

    def _random_video(self, number: int, time: int, shots: int, rng: np.random.Generator) -> Task:
        others = [int(t) for t in rng.permutation(self.frames) if t != time]
        return _object_task(number, self._visible(number, time, rng), time, others[:shots])

    def _semantic(self, material: int, number: int, shots: int, rng: np.random.Generator) -> Task:
        numbers = [number, *(int(n) for n in rng.integers(1 << 62, size=shots))]
        views = []
        for scene in numbers:
            key = ("class", scene, material, 0)
            views.append(View(key, (self._scene(scene, material).value(material),), {"image": f"scene {scene}"}))
        return Task(views[0], tuple(views[1:]), f"material {material}")

    def _visible(self, number: int, time: int, rng: np.random.Generator) -> int:
        """A thing of the scene of which enough is seen at ``time``; the topmost if none is."""
        scene = self._scene(number, -1)
        areas = np.bincount(draw_labels(scene, time, self.size).ravel(), minlength=len(scene.things) + 1)[1:]
        seen = np.flatnonzero(areas >= self.min_pixels)
        return 1 + int(rng.choice(seen) if len(seen) else areas.argmax())

    def _make_scene(self, number: int, material: int) -> Scene:
        rng = np.random.default_rng((self.seed, SPLITS.index(self.split), number, material + 1))
        materials = self._materials(material, rng)
        positions = spread(len(materials) - 1, self.size, rng)
        things = [self._thing(m, p, rng) for m, p in zip(materials[1:], positions, strict=True)]
        background = self._thing(materials[0], np.full(2, self.size / 2), rng)
        if material >= 0:  # the asked class is drawn last, so that it is always seen
            things.sort(key=lambda thing: thing.material == material)
        gain = rng.uniform(0.8, 1.12) * rng.uniform(0.94, 1.06, size=3)
        return Scene(tuple(things), background, gain, int(rng.integers(1 << 31)))

    def _materials(self, wanted: int, rng: np.random.Generator) -> list[int]:
        """Background first, then one per thing; palettes differ except for siblings and twins."""
        low, high = self.objects
        number = int(rng.integers(low, high + 1))
        palettes = rng.choice(PALETTES[self.split], size=number + 1, replace=False)
        materials = [int(p) * len(PATTERNS) + int(rng.integers(len(PATTERNS))) for p in palettes]
        if wanted >= 0:
            materials = [m for m in materials if m // len(PATTERNS) != wanted // len(PATTERNS)][:number]
            materials.append(wanted)
        else:
            rng.shuffle(materials)
        if rng.random() < self.siblings:
            pattern = (materials[-1] + 1 + int(rng.integers(len(PATTERNS) - 1))) % len(PATTERNS)
            materials[1] = materials[-1] // len(PATTERNS) * len(PATTERNS) + pattern
        if rng.random() < self.twins and number > 2:
            materials[2] = materials[-1]
        return materials

    def _thing(self, material: int, position: np.ndarray, rng: np.random.Generator) -> Thing:
        radius = self.size * rng.uniform(0.15, 0.26)
        return Thing(
            material,
            outline(rng) * radius,
            position,
            velocity=rng.normal(0, 0.02 * self.size, size=2),
            angle=rng.uniform(0, 2 * np.pi),
            spin=rng.normal(0, 0.12),
            zoom=rng.uniform(0.85, 1.2) * self.size / 96,
        )


def _object_task(number: int, value: int, time: int, support: list[int]) -> Task:
    def view(frame: int) -> View:
        meta = {"image": f"scene {number}", "video": number, "frame": frame, "instance": value}
        return View(("instance", number, -1, frame), (value,), meta)

    return Task(view(time), tuple(view(frame) for frame in support), f"scene {number} object {value}")

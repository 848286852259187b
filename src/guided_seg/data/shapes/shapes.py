"""`shapes`: unlimited procedural scenes of textured, overlapping, moving objects, without download or files.

A *material* (palette x pattern) is a class, an object is an instance, a scene over time is a video. Every scene has
several objects on a textured background, so one scene serves several tasks, and none can be solved without its support.
Some objects share the palette but not the pattern, so colour alone does not separate them. Some scenes have *twins*:
two objects of one material, which local guidance can separate and global guidance cannot (paper, figure 3c). Palettes
of validation and test are never in training.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from guided_seg.data.indexed import halving_order
from guided_seg.data.shapes.materials import PATTERNS
from guided_seg.data.shapes.scenes import Scene, Thing, draw_labels, merge_classes, outline, paint, spread
from guided_seg.data.source import MODES, SPLITS, Mode, Sample, Source, Split, Task, View
from guided_seg.data.sources.classes import as_split
from guided_seg.errors import DataError

PALETTES: dict[Split, range] = {"train": range(80), "val": range(80, 100), "test": range(100, 140)}
"""Palettes of each split: 480 training classes, 120 validation classes and 240 test classes."""

Asked = int | tuple[int, ...]
"""The material or materials that a scene must contain; -1 for none."""


class Shapes(Source):
    """Procedural scenes; a key is ``(kind, scene, asked, frame)`` with kind ``instance`` or ``class``.

    Args:
        split: determines palettes and scenes; splits share neither.
        size: height and width in pixels.
        frames: frames per video.
        objects: range of the number of objects in a scene.
        twins: share of scenes with two objects of one material.
        siblings: share of scenes with two objects of one palette but different patterns.
        min_pixels: an object with fewer visible pixels is not a task.
        tasks: number of fixed evaluation tasks per mode.
        seed: random seed of all scenes.
        oracle: train and val also use the test palettes, but never test scenes.

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
        oracle: bool = False,
    ) -> None:
        if size < 32:
            raise DataError(f"data.size={size} leaves no room for objects; use at least 32 pixels.")
        most = len(PALETTES["val"]) - 1  # each object and the background have different palettes
        if not 2 <= objects[0] <= objects[1] <= most:
            raise DataError(f"data.objects={list(objects)}: expected [least, most] with 2 <= least <= most <= {most}.")
        if not 2 <= frames <= tasks + 1:
            raise DataError(f"data.frames={frames}, data.tasks={tasks}: expected 2 <= frames <= tasks + 1.")
        if not (0 <= twins <= 1 and 0 <= siblings <= 1):
            raise DataError(f"data.twins={twins}, data.siblings={siblings}: shares lie in 0..1.")
        self.split, self.size, self.frames = as_split(split), size, frames
        self.objects, self.twins, self.siblings = objects, twins, siblings
        self.min_pixels, self.tasks, self.seed = min_pixels, tasks, seed
        self.palettes = list(PALETTES[self.split])
        if oracle and self.split != "test":
            self.palettes += PALETTES["test"]
        self._remember_scenes()

    def __getstate__(self) -> dict[str, Any]:
        # caches cannot be pickled for spawned data-loading workers
        return {name: value for name, value in vars(self).items() if name != "_scene"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._remember_scenes()

    def _remember_scenes(self) -> None:
        # a scene is needed twice: to pose a task and to load it
        self._scene = lru_cache(maxsize=64)(self._make_scene)

    def load(self, key: Hashable) -> Sample:
        """Render one frame."""
        assert isinstance(key, tuple)
        kind, number, asked, time = key
        scene = self._scene(number, asked)
        labels = draw_labels(scene, time, self.size)
        image = paint(scene, labels, time)
        return Sample(image, labels if kind == "instance" else merge_classes(scene, labels))

    def most(self, mode: Mode) -> int:
        """See `Source.most`. Classes need different palettes, and one is reserved for the background."""
        return len(self.palettes) - 1 if mode == "semantic" else self.objects[1]

    def sample(self, mode: Mode, shots: int, rng: np.random.Generator, objects: int = 1) -> Task:
        """A random task on a random scene, with a 64-bit scene number."""
        number = int(rng.integers(1 << 62))
        if mode == "semantic":
            return self._semantic(self._draw_materials(objects, rng), number, shots, rng)
        time = int(rng.integers(self.frames))
        if mode == "interactive":
            return self._interactive(number, time, rng, objects)
        return self._random_video(number, time, shots, rng, objects)

    def count(self, mode: Mode, objects: int = 1) -> int:
        """The number of fixed tasks; in video, all frames but the first of whole videos."""
        return self.tasks if mode != "video" else self.tasks // (self.frames - 1) * (self.frames - 1)

    def fixed(self, mode: Mode, index: int, shots: int, rng: np.random.Generator, objects: int = 1) -> Task:
        """The task ``index`` of this split: classes take turns, and frames of a video are consecutive."""
        if mode == "semantic":
            palette = self.palettes[index % len(self.palettes)]
            material = palette * len(PATTERNS) + int(rng.integers(len(PATTERNS)))
            others = self._draw_materials(objects - 1, rng, besides=palette) if objects > 1 else []
            return self._semantic([material, *others], index, shots, rng)
        if mode == "interactive":
            return self._interactive(index, 0, rng, objects)
        video, frame = divmod(index, self.frames - 1)
        rng = np.random.default_rng((self.seed, video))  # all frames of a video have the same targets
        values = self._visible(video, 0, rng, objects)
        order = halving_order(self.frames)[:shots]
        return _object_task(video, values, frame + 1, order)

    def _draw_materials(self, number: int, rng: np.random.Generator, besides: int = -1) -> list[int]:
        if number == 1 and besides < 0:
            palettes = [rng.choice(self.palettes)]
        else:
            free = [palette for palette in self.palettes if palette != besides]
            palettes = rng.choice(free, size=min(number, self.most("semantic")), replace=False).tolist()
        return [int(palette) * len(PATTERNS) + int(rng.integers(len(PATTERNS))) for palette in palettes]

    def _interactive(self, number: int, time: int, rng: np.random.Generator, objects: int) -> Task:
        task = _object_task(number, self._visible(number, time, rng, objects), time, [])
        return Task(task.query, (task.query,), task.groups)

    def _random_video(self, number: int, time: int, shots: int, rng: np.random.Generator, objects: int) -> Task:
        others = [int(t) for t in rng.permutation(self.frames) if t != time]
        return _object_task(number, self._visible(number, time, rng, objects), time, others[:shots])

    def _semantic(self, materials: list[int], number: int, shots: int, rng: np.random.Generator) -> Task:
        """The query contains all classes, or at least two of many; each support image contains one of them."""
        ways = len(materials)
        query: Asked = materials[0]
        if ways > 1:
            kept = int(rng.integers(2, ways + 1))
            query = tuple(materials[i] for i in rng.permutation(ways)[:kept])
        scenes = [int(n) for n in rng.integers(1 << 62, size=shots * ways)]
        support = [self._class_view(scene, materials[i % ways], materials) for i, scene in enumerate(scenes)]
        groups = tuple(f"material {material}" for material in materials)
        return Task(self._class_view(number, query, materials), tuple(support), groups, ways)

    def _class_view(self, number: int, asked: Asked, materials: list[int]) -> View:
        scene = self._scene(number, asked)
        values = tuple(scene.value(material) for material in materials)
        return View(("class", number, asked, 0), values, {"image": f"scene {number}"})

    def _visible(self, number: int, time: int, rng: np.random.Generator, objects: int) -> tuple[int, ...]:
        """Objects that are visible enough at ``time``; the topmost if there are none."""
        scene = self._scene(number, -1)
        areas = np.bincount(draw_labels(scene, time, self.size).ravel(), minlength=len(scene.things) + 1)[1:]
        seen = np.flatnonzero(areas >= self.min_pixels)
        if not len(seen):
            return (1 + int(areas.argmax()),)
        if objects == 1:
            return (1 + int(rng.choice(seen)),)
        return tuple(1 + int(i) for i in rng.permutation(seen)[:objects])

    def _make_scene(self, number: int, asked: Asked) -> Scene:
        wanted = asked if isinstance(asked, tuple) else (asked,)
        rng = np.random.default_rng((self.seed, SPLITS.index(self.split), number, *(m + 1 for m in wanted)))
        materials = self._materials([m for m in wanted if m >= 0], rng)
        positions = spread(len(materials) - 1, self.size, rng)
        things = [self._thing(m, p, rng) for m, p in zip(materials[1:], positions, strict=True)]
        background = self._thing(materials[0], np.full(2, self.size / 2), rng)
        # requested classes are drawn last, so that they are always visible
        things.sort(key=lambda thing: thing.material in wanted)
        gain = rng.uniform(0.8, 1.12) * rng.uniform(0.94, 1.06, size=3)
        return Scene(tuple(things), background, gain, int(rng.integers(1 << 31)))

    def _materials(self, wanted: list[int], rng: np.random.Generator) -> list[int]:
        """Background first, then one per object; palettes differ except for siblings and twins."""
        low, high = self.objects
        number = max(int(rng.integers(low, high + 1)), len(wanted))
        palettes = rng.choice(self.palettes, size=number + 1, replace=False)
        materials = [int(p) * len(PATTERNS) + int(rng.integers(len(PATTERNS))) for p in palettes]
        if wanted:
            taken = {material // len(PATTERNS) for material in wanted}
            materials = [m for m in materials if m // len(PATTERNS) not in taken][: number + 1 - len(wanted)]
            materials += wanted
        else:
            rng.shuffle(materials)
        others = len(materials) - max(1, len(wanted))  # the background and classes that are not requested
        if rng.random() < self.siblings and others > 1:
            pattern = (materials[-1] + 1 + int(rng.integers(len(PATTERNS) - 1))) % len(PATTERNS)
            materials[1] = materials[-1] // len(PATTERNS) * len(PATTERNS) + pattern
        if rng.random() < self.twins and others > 2:
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


def _object_task(number: int, values: tuple[int, ...], time: int, support: list[int]) -> Task:
    def view(frame: int) -> View:
        instance = values[0] if len(values) == 1 else values
        meta = {"image": f"scene {number}", "video": number, "frame": frame, "instance": instance}
        return View(("instance", number, -1, frame), values, meta)

    groups = tuple(f"scene {number} object {value}" for value in values)
    return Task(view(time), tuple(view(frame) for frame in support), groups)

"""Mixture of several sources: each mode samples the sources that have it, by weight."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from guided_seg.data.source import MODES, Mode, Sample, Source, Target, Task, View
from guided_seg.data.sources.classes import as_split, unknown
from guided_seg.errors import DataError


class Mixture(Source):
    """Several parts as one source. A key is ``(part, key of the part)``, a group ``part/group``.

    *Training* samples the part of a task by its weight for the mode. *Validation and test* use the fixed tasks of all
    parts with a weight for the mode, part after part; a smaller number of tasks is one per part, and the rest by weight
    (see `shares`). The weights of the modes are defined elsewhere.

    A video weight for a part without videos turns stills into training videos: an image is the query and each shot of
    an interactive task's object, and the joint augmentation crops it differently each time. (Many video networks begin
    with pairs of deformed stills, such as MaskTrack, Perazzi et al., 2017.)

    Args:
        split: train, val or test.
        sources: part -> its ``source``, a factory that takes the split, and ``weights`` by mode; other entries are
            ignored. A part without a weight above 0 is skipped, and its files are not read.
        held_out: the held-out classes shared by parts, to check that they are names.

    Raises:
        DataError: no part, an invalid weight, or a training weight for a mode that the part lacks; a fold instead of
            names.
    """

    name = "mixture"

    def __init__(self, split: str, sources: Mapping[str, Any], held_out: Any = ()) -> None:
        if isinstance(held_out, int):
            raise DataError(
                f"data.held_out={held_out} would be another fold of classes in each part; expected a list of names."
            )
        for name, part in sources.items():
            if not isinstance(part, Mapping) or "source" not in part or not isinstance(part.get("weights"), Mapping):
                raise DataError(
                    f"data.sources.{name} lacks its source or its weights; give it both (see conf/data/mixture.yaml), "
                    f"or leave it out with '~data.sources.{name}'."
                )
        weights = {name: _weights(name, part["weights"]) for name, part in sources.items()}
        self._weights = {name: of_part for name, of_part in weights.items() if of_part}
        self.parts: dict[str, Source] = {name: sources[name]["source"](split=split) for name in self._weights}
        self._draws = as_split(split) == "train"
        self.modes = tuple(mode for mode in MODES if self._having(mode))
        if self._draws:
            for name in self.parts:
                self._check_drawn(name)
        if not self.modes:
            raise DataError("data.sources has no part with a weight above 0 for a mode that it has; add one.")

    def load(self, key: Hashable) -> Sample:
        """See `Source.load`."""
        assert isinstance(key, tuple)
        name, own = key
        return self.parts[name].load(own)

    def sample(self, mode: Mode, shots: int, rng: np.random.Generator, objects: int = 1) -> Task:
        """See `Source.sample`. Chooses a part by weight, then one of its tasks."""
        self.require(mode)
        names = self._having(mode)
        weights = np.array([self._weights[name][mode] for name in names])
        name = names[int(rng.choice(len(names), p=weights / weights.sum()))]
        part = self.parts[name]
        if mode in part.modes:
            return _of(name, part.sample(mode, shots, rng, objects))
        still = part.sample("interactive", 1, rng, objects)
        return _of(name, replace(still, support=still.support * shots))

    def most(self, mode: Mode) -> int:
        """See `Source.most`."""
        parts = [self.parts[name] for name in self._having(mode)]
        return max(part.most(mode if mode in part.modes else "interactive") for part in parts)

    def count(self, mode: Mode, objects: int = 1) -> int:
        """See `Source.count`; without moving stills."""
        self.require(mode)
        return sum(self._counts(mode, objects).values())

    def fixed(self, mode: Mode, index: int, shots: int, rng: np.random.Generator, objects: int = 1) -> Task:
        """See `Source.fixed`."""
        self.require(mode)
        for name, number in self._counts(mode, objects).items():
            if index < number:
                return _of(name, self.parts[name].fixed(mode, index, shots, rng, objects))
            index -= number
        raise IndexError(index)

    def spread(self, mode: Mode, number: int | None, objects: int = 1) -> list[int]:
        """See `Source.spread`; each part has its share."""
        self.require(mode)
        counts, indices, first = self._counts(mode, objects), [], 0
        wanted = shares(number, [self._weights[name][mode] for name in counts], list(counts.values()))
        for (name, count), share in zip(counts.items(), wanted, strict=True):
            if share:
                indices += [first + index for index in self.parts[name].spread(mode, share, objects)]
            first += count
        return indices

    def targets(self) -> list[Target]:
        """See `Source.targets`."""
        return [
            replace(target, key=(name, target.key)) for name, part in self.parts.items() for target in part.targets()
        ]

    def donor(self, groups: Sequence[str], rng: np.random.Generator, alike: bool = False) -> Target | None:
        """See `Source.donor`. From the same part, as other parts may name the same class differently."""
        name = groups[0].partition("/")[0]
        found = self.parts[name].donor([group.removeprefix(f"{name}/") for group in groups], rng, alike)
        return replace(found, key=(name, found.key)) if found else None

    def image_keys(self) -> list[Hashable]:
        """See `Source.image_keys`."""
        return [(name, key) for name, part in self.parts.items() for key in part.image_keys()]

    def image_files(self) -> set[Path]:
        """See `Source.image_files`."""
        return set().union(*(part.image_files() for part in self.parts.values()))

    def _having(self, mode: Mode) -> list[str]:
        """The parts that have tasks of a mode."""
        return [name for name in self.parts if mode in self._weights[name] and self._can(name, mode)]

    def _can(self, name: str, mode: Mode) -> bool:
        modes = self.parts[name].modes
        return mode in modes or (self._draws and mode == "video" and "interactive" in modes)

    def _counts(self, mode: Mode, objects: int) -> dict[str, int]:
        """The number of fixed tasks of each part."""
        having = [name for name in self._having(mode) if mode in self.parts[name].modes]
        return {name: self.parts[name].count(mode, objects) for name in having}

    def _check_drawn(self, name: str) -> None:
        for mode, weight in self._weights[name].items():
            if not self._can(name, mode):
                raise DataError(
                    f"data.sources.{name}.weights.{mode}={weight:g}, but {name} has no {mode} tasks, only "
                    f"{' and '.join(self.parts[name].modes)}; set this weight to 0."
                )


def shares(number: int | None, weights: Sequence[float], counts: Sequence[int]) -> list[int]:
    """Divide ``number`` tasks: one to each part, and the rest in proportion to the weights, up to the counts.

    Args:
        number: total number; None for all.
        weights: weight of each part, above 0.
        counts: number of tasks of each part.

    Example:
        >>> shares(10, [1, 2, 1], [100, 100, 1])
        [3, 6, 1]
    """
    given = [0] * len(counts)
    for _ in range(min(number or sum(counts), sum(counts))):
        least = min((i for i, count in enumerate(counts) if given[i] < count), key=lambda i: given[i] / weights[i])
        given[least] += 1
    return given


def _weights(name: str, of_part: Mapping[str, Any]) -> dict[Mode, float]:
    """The positive weights of a part."""
    found: dict[Mode, float] = {}
    for mode, weight in of_part.items():
        if mode not in MODES:
            raise unknown(f"mode in data.sources.{name}.weights", mode, MODES)
        if not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            raise DataError(f"data.sources.{name}.weights.{mode}={weight}: expected a number from 0.")
        if weight > 0:
            found[mode] = weight
    return found


def _of(name: str, task: Task) -> Task:
    """Convert a task of a part to one of the mixture."""
    views = _views(name, [task.query, *task.support])
    return replace(
        task, query=views[0], support=tuple(views[1:]), groups=tuple(f"{name}/{group}" for group in task.groups)
    )


def _views(name: str, views: Iterable[View]) -> list[View]:
    return [replace(view, key=(name, view.key), meta={**view.meta, "part": name}) for view in views]

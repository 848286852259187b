"""Fixed evaluation episodes with dense annotations."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.data import Dataset

from guided_seg.data.sampling.points import binarize
from guided_seg.data.source import Mode, Sample, Source, Task, View
from guided_seg.data.training_episodes import names_of, to_tensor
from guided_seg.episode import IGNORE, Episode, Meta, Shot
from guided_seg.errors import BrokenFile


class FixedEpisodes(Dataset[Episode]):
    """The fixed evaluation tasks of one mode, at the original image size, with dense annotations.

    `data.sampling.points.restrict` makes sparse versions, so every (S, P) has the same queries. Keys of ``meta``:
    ``index`` and ``group``; ``shown``, the smallest S at which the support contains the query (video), so that this
    and larger S leave the episode out; ``groups``, one name per positive label if there are several; and ``ways``, the
    number of images per shot if there are several. If a file cannot be read, the episode is left out of every S:
    ``shown`` is 0, nothing is scored, and ``broken`` names the file.

    Args:
        source: the labelled images.
        mode: the mode of the tasks.
        shots: the largest S.
        episodes: number of the source's fixed tasks, see `Source.spread`; None for all.
        seed: random seed of the supports.
        objects: positive labels per task, if the source has such tasks.
    """

    def __init__(
        self, source: Source, mode: Mode, shots: int, episodes: int | None, seed: int, objects: int = 1
    ) -> None:
        self.source, self.mode, self.shots, self.seed, self.objects = source, mode, shots, seed, objects
        self.indices = source.spread(mode, episodes, objects)
        self._images: dict[object, tuple[Sample, torch.Tensor]] = {}

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, key: tuple[int, int]) -> Episode:
        """The episode ``key[1]``; the epoch has no effect."""
        number = key[1]
        rng = np.random.default_rng((self.seed, number))
        task = self.source.fixed(self.mode, self.indices[number], self.shots, rng, self.objects)
        meta = {"mode": self.mode, "source": self.source.name, "index": number, "broken": [], **names_of(task)}
        try:
            return self._episode(task, meta)
        except BrokenFile as error:
            return _left_out(meta | {"shown": 0, "broken": [str(error)]})

    def _episode(self, task: Task, meta: Meta) -> Episode:
        query, image = self._load(task.query)
        target = binarize(query.labels, task.query.values)
        support = [self._shot(view, task) for view in task.support]
        keys = [view.key for view in task.support]
        shown = keys.index(task.query.key) + 1 if self.mode != "interactive" and task.query.key in keys else None
        meta = {**task.query.meta, **meta, "shown": shown}
        return Episode(image, torch.from_numpy(target), support, meta, len(task.query.values) + 1)

    def _shot(self, view: View, task: Task) -> Shot:
        sample, image = self._load(view)
        mask = torch.from_numpy(binarize(sample.labels, view.values))
        return Shot(image, mask=mask, is_query=view.key == task.query.key, meta=view.meta)

    def _load(self, view: View) -> tuple[Sample, torch.Tensor]:
        # neighbouring frames share their support; a shared tensor is encoded once (see collate)
        if view.key not in self._images:
            if len(self._images) >= 32:
                self._images.pop(next(iter(self._images)))
            sample = self.source.load(view.key)
            self._images[view.key] = (sample, to_tensor(sample.image))
        return self._images[view.key]


def _left_out(meta: Meta) -> Episode:
    """An episode without annotations or scores."""
    image, mask = torch.zeros(3, 32, 32), torch.full((32, 32), IGNORE, dtype=torch.uint8)
    return Episode(image, mask, [Shot(image, mask=mask, is_query=True)], meta)

"""Evaluation episodes: the same tasks each time, annotated densely."""

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
    """The evaluation tasks of one mode, always the same, at the images' own size, annotated densely.

    Sparse versions are made from them by `data.sampling.points.restrict`, so that every (S, P) is asked on the same
    queries. ``meta``: ``index`` and ``group``, and ``shown``, the first S at which the query is in its own support
    (video), which such an S must leave out; with several positive labels also ``groups``, one name each, and where
    several images make a shot ``ways``, their number. A file that breaks after the source was opened leaves its episode
    out of every S: ``shown`` is 0, nothing is scored, and ``broken`` names the file.

    Args:
        source: the labelled images.
        mode: which tasks.
        shots: the largest S.
        episodes: how many of the source's fixed tasks, see `Source.spread`; None for all.
        seed: decides random supports.
        objects: positive labels of a task, as far as the source has tasks of so many.
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
        """The episode ``key[1]``; the epoch does not matter."""
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
        # neighbouring tasks of a video share their support; one tensor for both is encoded once (see collate)
        if view.key not in self._images:
            if len(self._images) >= 32:
                self._images.pop(next(iter(self._images)))
            sample = self.source.load(view.key)
            self._images[view.key] = (sample, to_tensor(sample.image))
        return self._images[view.key]


def _left_out(meta: Meta) -> Episode:
    """An episode in which nothing is annotated or scored."""
    image, mask = torch.zeros(3, 32, 32), torch.full((32, 32), IGNORE, dtype=torch.uint8)
    return Episode(image, mask, [Shot(image, mask=mask, is_query=True)], meta)

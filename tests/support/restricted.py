"""The (S, P) version of dense batches by a second way, to compare evaluation episodes with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisodes
from guided_seg.data.frozen.freeze import Plan, select
from guided_seg.data.sampling.points import DENSE, sample_points
from guided_seg.data.source import Mode, Source
from guided_seg.episode import Batch, Episode


def dense_episodes(
    source: Source, mode: Mode, shots: int, episodes: int | None, seed: int = 0, objects: int = 1
) -> list[Episode]:
    """The evaluation episodes of a mode, with full masks."""
    data = EvaluationEpisodes(
        source, select(source, "test", Plan([mode], episodes, "spread", [seed], shots, 0, objects))
    )
    return [data[number].dense for number in range(len(data))]


def restrict(batch: Batch, shots: int, points: int | None, seed: int) -> Batch:
    """Make the (S, P) version of a batch with dense masks: its first S shots, with P dots per label.

    Images are unchanged, so features encoded once serve every (S, P). Dots depend only on ``seed`` and on each
    episode's ``index`` in its meta, so an episode has the same dots in any batch. ``ways`` in the meta is the number of
    images per shot (see `guided_seg.data.source.Task`).
    """
    rank = _rank(batch.shot_episode)
    most = torch.tensor([shots * meta.get("ways", 1) for meta in batch.metas], device=rank.device)
    kept = torch.nonzero(rank < most[batch.shot_episode]).flatten()
    rows, masks = [], []
    for number, shot in enumerate(kept.tolist()):
        mask = batch.masks[int(torch.nonzero(batch.mask_shot == shot))]
        masks.append(mask)
        if points is not DENSE:
            episode = int(batch.shot_episode[shot])
            key = (seed, batch.metas[episode]["index"], int(rank[shot]))
            labels = tuple(range(batch.labels[episode]))
            height, width = batch.sizes[batch.shot_image[shot]].tolist()
            unpadded = mask[:height, :width].cpu().numpy()
            dots = sample_points(unpadded, points, labels, np.random.default_rng(key))
            rows.append(torch.nn.functional.pad(dots, (1, 0), value=number))
    dense = points is DENSE
    device = batch.images.device
    return replace(
        batch,
        shot_image=batch.shot_image[kept],
        shot_episode=batch.shot_episode[kept],
        points=torch.cat(rows).to(device) if rows else batch.points.new_zeros(0, 4),
        masks=torch.stack(masks) if dense else batch.masks[:0],
        mask_shot=torch.arange(len(kept), device=device) if dense else batch.mask_shot[:0],
    )


Fewer = tuple[bool, bool]
"""Whether an episode has fewer shots, and fewer dots of a label, than requested."""


def fewer_than(batch: Batch, shots: int, points: int | None) -> list[Fewer]:
    """Find out whether the episodes of a batch of `restrict` have fewer than S = ``shots`` or P = ``points``.

    A class may have too few images, and a label too few pixels. Labels that are absent from a shot do not count.
    """
    own = torch.bincount(batch.shot_episode, minlength=len(batch.metas)).tolist()
    dots = [False] * len(batch.metas)
    if points is not DENSE and len(batch.points):
        rows, counts = torch.unique(batch.points[:, [0, 3]], dim=0, return_counts=True)
        for shot in rows[counts < points, 0].tolist():
            dots[int(batch.shot_episode[shot])] = True
    return [
        (number < shots * meta.get("ways", 1), lacks)
        for number, meta, lacks in zip(own, batch.metas, dots, strict=True)
    ]


def _rank(episodes: Tensor) -> Tensor:
    """The position of each shot within its episode; shots of an episode are consecutive."""
    first = torch.searchsorted(episodes, episodes)
    return torch.arange(len(episodes), device=episodes.device) - first

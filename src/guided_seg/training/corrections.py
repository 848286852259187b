"""Train on the network's own predictions: corrective dots on errors, and own masks as earlier predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from guided_seg.data.sampling.earlier_masks import shifted
from guided_seg.episode import IGNORE, Batch
from guided_seg.metrics.simulated_clicks import Click, next_click

MOST = 3
"""Maximum number of dots to add to an image in one round."""


def corrected(batch: Batch, prediction: Tensor, rngs: Sequence[np.random.Generator]) -> Batch:
    """Add one to `MOST` dots on errors of each query that is annotated by dots.

    Half of the dots are where the largest error is deepest, as in the simulated clicks of the evaluation. The others
    are random pixels of that error, as people do not measure. (Iterative training: Mahadevan et al., 2018, and RITM.)

    Args:
        batch: B episodes.
        prediction: int ``[B, H, W]``, the predicted labels of the batch.
        rngs: the source of randomness of each episode.
    """
    dense = set(batch.mask_shot.tolist())
    found = prediction.to(torch.uint8).cpu().numpy()
    targets = batch.target.cpu().numpy()
    rows = []
    for shot, (image, episode) in enumerate(zip(batch.shot_image.tolist(), batch.shot_episode.tolist(), strict=True)):
        if image == episode and shot not in dense:  # the queries are the first images
            rng = rngs[episode]
            dots = _dots(found[episode], targets[episode], int(rng.integers(1, MOST + 1)), rng)
            rows += [(shot, row, column, int(targets[episode][row, column])) for row, column in dots]
    more = torch.tensor(rows, dtype=torch.int64, device=batch.points.device).reshape(-1, 4)
    return replace(batch, points=torch.cat([batch.points, more]))


def recalled(batch: Batch, prediction: Tensor, rngs: Sequence[np.random.Generator]) -> Batch:
    """Replace the earlier predictions of a batch by the network's own, slightly shifted.

    Randomly corrupted masks do not have the errors of a network, which confuses similar objects. From its own
    predictions a network learns what to trust; otherwise its errors in a video would reinforce themselves.

    Args:
        batch: B episodes.
        prediction: int ``[B, H, W]``, the labels that the network predicts without an earlier prediction.
        rngs: the source of randomness of each episode.
    """
    if batch.previous is None:
        return batch
    previous = batch.previous.clone()
    having = torch.nonzero((previous != IGNORE).flatten(1).any(1)).flatten()
    answers = prediction[having].to(torch.uint8).masked_fill(batch.target[having] == IGNORE, IGNORE).cpu().numpy()
    for row, answer in zip(having.tolist(), answers, strict=True):
        previous[row] = torch.from_numpy(shifted(answer, rngs[row])).to(previous.device)
    return replace(batch, previous=previous)


def _dots(
    found: UInt8[np.ndarray, "H W"], target: UInt8[np.ndarray, "H W"], number: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    clicks: list[Click] = []
    for _ in range(number):
        if (click := next_click(found, target, clicks)) is None:
            break
        if rng.random() < 0.5:
            true = (target != 0) & (target != IGNORE)
            wrong = (true & (found == 0)) if click.positive else (found != 0) & (target == 0)
            row, column = np.argwhere(wrong)[rng.integers(wrong.sum())].tolist()
            click = Click(row, column, click.positive)
        clicks.append(click)
    return [(click.row, click.column) for click in clicks]

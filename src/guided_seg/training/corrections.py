"""What training makes of the network's own answers: dots where they are wrong, and earlier answers as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from guided_seg.data.sampling.earlier_masks import shifted
from guided_seg.episode import IGNORE, Batch
from guided_seg.metrics.simulated_clicks import Click, next_click

MOST = 3
"""Dots that a round adds to an image at most."""


def corrected(batch: Batch, prediction: Tensor, rng: np.random.Generator) -> Batch:
    """The batch with one to `MOST` more dots on each query that is shown by dots on itself, where the answer is wrong.

    Half of the dots go where the largest error is deepest, as the simulated user of the evaluation does, and half
    anywhere in it, as people do not measure. (Iterative training after Mahadevan et al., 2018, and RITM.)

    Args:
        batch: B episodes.
        prediction: int ``[B, H, W]`` the answers to it.
        rng: the source of randomness.
    """
    dense = set(batch.mask_shot.tolist())
    found = prediction.to(torch.uint8).cpu().numpy()
    targets = batch.target.cpu().numpy()
    rows = []
    for shot, (image, episode) in enumerate(zip(batch.shot_image.tolist(), batch.shot_episode.tolist(), strict=True)):
        if image == episode and shot not in dense:  # the queries are the first images
            dots = _dots(found[episode], targets[episode], int(rng.integers(1, MOST + 1)), rng)
            rows += [(shot, row, column, int(targets[episode][row, column])) for row, column in dots]
    more = torch.tensor(rows, dtype=torch.int64, device=batch.points.device).reshape(-1, 4)
    return replace(batch, points=torch.cat([batch.points, more]))


def recalled(batch: Batch, prediction: Tensor, rng: np.random.Generator) -> Batch:
    """The batch with the network's own answers, a little moved, as the earlier answers of the episodes that have one.

    Masks that are spoilt at random are not wrong where a network is, which takes what resembles the object for the
    object. With its own answers it learns what of them to believe, or a video's errors would confirm themselves.

    Args:
        batch: B episodes.
        prediction: int ``[B, H, W]`` the answers to it without any earlier one.
        rng: the source of randomness.
    """
    if batch.previous is None:
        return batch
    previous = batch.previous.clone()
    having = torch.nonzero((previous != IGNORE).flatten(1).any(1)).flatten()
    answers = prediction[having].to(torch.uint8).masked_fill(batch.target[having] == IGNORE, IGNORE).cpu().numpy()
    for row, answer in zip(having.tolist(), answers, strict=True):
        previous[row] = torch.from_numpy(shifted(answer, rng)).to(previous.device)
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

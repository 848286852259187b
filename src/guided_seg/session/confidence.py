"""How sure an answer is, and where a click would help most: pure functions of scores."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float32

from guided_seg.distance import depth

Scores = Float32[np.ndarray, "K H W"]

CLOSE = 0.8
"""Two labels are close where their probabilities differ by less than this."""

LEAST = 0.01
"""A region in which labels are close counts if it is this deep, as a share of the longer side of the image, and at
least two pixels: there are thin ones along all borders."""

EMPTY = 0.003
"""Share of the image that `confidence` adds to intersection and union, so that an empty answer can be sure too."""

SAMPLED = 120
"""Rows or columns that `confidence` reads at least, of a larger image; networks score a coarser grid than pixels."""


def confidence(scores: Scores) -> float:
    """The IoU that the answer would have with the truth if each pixel were right with the probability that it has.

    That is the expected intersection of the regions found with the true ones, divided by their expected union, in 0..1.
    It grows with the probability of the label that any pixel has. `EMPTY` is added to both.

    Args:
        scores: whose softmax over K gives the probabilities.

    Example:
        >>> certain, torn = np.array([[[0, 9.0]], [[9.0, 0]]]), np.array([[[0, 0.1]], [[0.1, 0]]])
        >>> [round(confidence(scores.astype(np.float32)), 2) for scores in (certain, torn)]
        [1.0, 0.36]
    """
    step = max(1, min(scores.shape[1:]) // SAMPLED)
    shares = torch.softmax(torch.from_numpy(scores[:, ::step, ::step]), dim=0)
    own, label = shares.max(0)
    found = label > 0
    right = float(own[found].sum())
    missed = float((1 - own[~found]).sum())
    spare = EMPTY * found.numel()
    return (right + spare) / (float(found.sum()) + missed + spare)


def next_click(scores: Scores, known: Bool[np.ndarray, "H W"] | None = None) -> tuple[int, int, int] | None:
    """Where a dot would help most: the deepest pixel of the regions in which the two best labels are close.

    Args:
        scores: whose softmax over K gives the probabilities.
        known: pixels that are annotated already; they count as certain.

    Returns:
        Row, column and the second best label there, which a dot would most probably have; None if no region is deep
        enough (`LEAST`).
    """
    shares, labels = torch.softmax(torch.from_numpy(scores), dim=0).topk(2, dim=0)
    open_ = (shares[0] - shares[1] < CLOSE).numpy()
    if known is not None:
        open_ &= ~known
    inside = depth(np.pad(open_, 1))[1:-1, 1:-1]
    row, column = (int(place) for place in np.unravel_index(inside.argmax(), inside.shape))
    if inside[row, column] < max(2.0, LEAST * max(inside.shape)):
        return None
    return row, column, int(labels[1, row, column])

"""Connected components: drop predicted regions in which nothing is annotated."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from guided_seg.episode import IGNORE, Batch
from guided_seg.model.video.previous_frame import likeliest

BEYOND = 5.0
"""Margin by which suppressed labels score below the negative, at least."""


def connected(scores: Float[Tensor, "K H W"], shown: UInt8[Tensor, "H W"]) -> Float[Tensor, "K H W"]:
    """Suppress connected components of a positive label that hold no annotation of that label.

    A label none of whose components is annotated stays as it is.

    Args:
        scores: of one image.
        shown: its positive annotations, see `annotated` and `positives`.

    Example:
        >>> scores = torch.tensor([[[0.0, 0.0, 0.0, 0.0]], [[1.0, 1.0, -1.0, 1.0]]])
        >>> connected(scores, torch.tensor([[1, 0, 0, 0]], dtype=torch.uint8)).argmax(0).tolist()
        [[1, 1, 0, 0]]
    """
    labels, where = likeliest(list(scores)).cpu().numpy(), shown.cpu().numpy()
    drop = np.zeros(labels.shape, bool)
    for label in np.unique(where[where > 0]):
        own = labels == label
        number, regions = cv2.connectedComponents(own.view(np.uint8))
        kept = np.zeros(number, bool)
        kept[regions[where == label]] = True
        kept[0] = False
        if kept.any():
            drop |= own & ~kept[regions]
    there = torch.from_numpy(np.flatnonzero(drop)).to(scores.device)
    out = scores.flatten(1).clone()
    out[1:, there] = torch.minimum(out[1:, there], out[:1, there] - BEYOND)
    return out.view_as(scores)


def annotated(batch: Batch, index: int) -> UInt8[Tensor, "H W"]:
    """The positive labels annotated on the query of an episode itself; 0 elsewhere."""
    own = (batch.shot_image == index) & (batch.shot_episode == index)
    dots = batch.points[own[batch.points[:, 0]], 1:]
    return positives(torch.zeros_like(batch.target[index]), dots, batch.masks[own[batch.mask_shot]])


def positives(
    blank: UInt8[Tensor, "H W"], dots: Int[Tensor, "P 3"], masks: Iterable[UInt8[Tensor, "H W"]]
) -> UInt8[Tensor, "H W"]:
    """The positive labels of dots and masks, and 0 elsewhere.

    Args:
        blank: zeros, which are written on.
        dots: rows of (row, column, label), which lie over the masks.
        masks: a label for each pixel; `IGNORE` where there is none.
    """
    where = blank
    for mask in masks:
        where = torch.where((mask > 0) & (mask != IGNORE), mask, where)
    dots = dots[dots[:, 2] > 0]
    where[dots[:, 0], dots[:, 1]] = dots[:, 2].to(where.dtype)
    return where

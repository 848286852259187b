"""Connected components: drop predicted regions in which nothing is annotated."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

BEYOND = 5.0
"""Margin by which suppressed labels score below the negative, at least."""


def connected(scores: Float[Tensor, "K H W"], shown: UInt8[Tensor, "H W"]) -> Float[Tensor, "K H W"]:
    """Suppress connected components of a positive label that hold no annotation of that label.

    A label none of whose components is annotated stays as it is.

    Args:
        scores: of one image.
        shown: its positive annotations, see `guided_seg.model.refine.annotated`.

    Example:
        >>> scores = torch.tensor([[[0.0, 0.0, 0.0, 0.0]], [[1.0, 1.0, -1.0, 1.0]]])
        >>> connected(scores, torch.tensor([[1, 0, 0, 0]], dtype=torch.uint8)).argmax(0).tolist()
        [[1, 1, 0, 0]]
    """
    labels, where = scores.argmax(0).cpu().numpy(), shown.cpu().numpy()
    drop = np.zeros(labels.shape, bool)
    for label in np.unique(where[where > 0]):
        number, regions = cv2.connectedComponents((labels == label).astype(np.uint8))
        kept = np.zeros(number, bool)
        kept[regions[where == label]] = True
        kept[0] = False
        if kept.any():
            drop |= (labels == label) & ~kept[regions]
    out = scores.clone()
    there = torch.from_numpy(drop).to(out.device)
    out[1:, there] = torch.minimum(out[1:, there], out[:1, there] - BEYOND)
    return out

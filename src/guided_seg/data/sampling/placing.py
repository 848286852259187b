"""Where dots fall in training: anywhere, or as people place them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from guided_seg.data.sampling.points import sample_points
from guided_seg.distance import depth
from guided_seg.episode import IGNORE

BAND = 0.05
"""How far from its border an object's ``border`` dots fall at most, as a share of the square root of its area."""


def place_points(
    mask: UInt8[np.ndarray, "H W"],
    points: int | Mapping[int, int],
    places: Mapping[int, str],
    objects: UInt8[np.ndarray, "H W"],
    rng: np.random.Generator,
) -> Int[Tensor, "D 3"]:
    """As `sample_points`, with the dots of each label where ``places`` says, as far as there is room.

    - ``uniform``: anywhere on the label.
    - ``centre``: well inside; the chance of a pixel grows with the square of its distance to where the label's region
      or the image ends. The simulated user of interactive evaluation clicks on the very maximum (f-BRS, Sofiiuk et
      al., 2020), and people near it.
    - ``border``: of a positive label just inside its outline, of the negative one just outside the object. Xu et al.
      (DIOS, 2016) draw a part of the negative clicks in such a band, where an object must be told from what it touches.
    - ``distractor``: of the negative label, on other objects that the source knows: other instances, classes, and
      what was pasted. DIOS and RITM (Sofiiuk et al., 2022) draw a part of the negative clicks there. Positive labels
      have none and take ``uniform``.

    Args:
        mask: a label per pixel, 0 negative.
        points: P, the number of dots per label, or that of each label.
        places: where, for each label that is annotated.
        objects: the label map of the source; what is neither 0 nor void in it, and negative here, is another object.
        rng: the source of randomness.

    Returns:
        rows of (row, column, label), by label.

    Example:
        >>> mask = np.zeros((60, 60), np.uint8)
        >>> mask[20:40, 20:40] = 1
        >>> dots = place_points(mask, 3, {0: "border", 1: "centre"}, mask, np.random.default_rng(0))
        >>> [max(abs(2 * row - 59), abs(2 * column - 59)) < 24 for row, column, label in dots.tolist() if label == 0]
        [True, True, True]
    """
    wanted = points if isinstance(points, Mapping) else dict.fromkeys(places, points)
    if set(places.values()) == {"uniform"}:
        return sample_points(mask, points, tuple(places), rng)
    rows: list[tuple[int, int, int]] = []
    for label, place in places.items():
        indices = _drawn(_weights(mask, label, place, objects), wanted[label], rng)
        rows += [
            (*divmod(index, mask.shape[1]), label) for index in _topped_up(indices, mask, label, wanted[label], rng)
        ]
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)


def _weights(
    mask: UInt8[np.ndarray, "H W"], label: int, place: str, objects: UInt8[np.ndarray, "H W"]
) -> Float[np.ndarray, "H W"] | None:
    """How likely each pixel is, or None for uniformly."""
    region = mask == label
    if place == "centre":
        return depth(np.pad(region, 1))[1:-1, 1:-1].astype(float) ** 2
    if place == "border":
        return _band(mask, label, region)
    if place == "distractor" and label == 0:
        return (region & (objects > 0)).astype(float)
    return None


def _band(
    mask: UInt8[np.ndarray, "H W"], label: int, region: Bool[np.ndarray, "H W"]
) -> Float[np.ndarray, "H W"] | None:
    """The rim of a positive label, or of what is around all of them. Void between the two is passed over."""
    positive = (mask > 0) & (mask != IGNORE)
    inside = region if label else ~positive
    if not region.any() or not positive.any() or inside.all():
        return None
    distance = depth(inside).astype(float)
    width = BAND * np.sqrt((region if label else positive).sum())
    return (region & (distance <= distance[region].min() + width)).astype(float)


def _drawn(weights: Float[np.ndarray, "H W"] | None, number: int, rng: np.random.Generator) -> list[int]:
    """Up to ``number`` distinct pixels, by weight."""
    if weights is None:
        return []
    flat = weights.ravel()
    there = np.flatnonzero(flat)
    if not len(there):
        return []
    chances = flat[there] / flat[there].sum()
    found: list[int] = there[rng.choice(len(there), min(number, len(there)), replace=False, p=chances)].tolist()
    return found


def _topped_up(
    indices: list[int], mask: UInt8[np.ndarray, "H W"], label: int, number: int, rng: np.random.Generator
) -> list[int]:
    """``number`` pixels of a label, those that are missing drawn uniformly; fewer where the label has fewer."""
    if len(indices) == number:
        return indices
    others = sample_points(mask, number, (label,), rng).tolist()
    return list(dict.fromkeys([*indices, *(row * mask.shape[1] + column for row, column, _ in others)]))[:number]

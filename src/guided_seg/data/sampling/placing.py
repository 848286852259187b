"""Placement of dots in training: uniform, or as people place them."""

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
"""Width of the band of ``border`` dots, as a share of the square root of the object's area."""


def place_points(
    mask: UInt8[np.ndarray, "H W"],
    points: int | Mapping[int, int],
    places: Mapping[int, str],
    objects: UInt8[np.ndarray, "H W"],
    rng: np.random.Generator,
) -> Int[Tensor, "D 3"]:
    """Like `sample_points`, but place the dots of each label as in ``places``, if there is room.

    - ``uniform``: anywhere in the label.
    - ``centre``: well inside. The probability of a pixel grows with the square of its distance to the border of the
      region or image. Simulated clicks in interactive evaluation use the exact maximum (f-BRS, Sofiiuk et al., 2020);
      people click near it.
    - ``border``: for a positive label just inside its outline, for the negative one just outside the object. Xu et al.
      (DIOS, 2016) draw some of the negative clicks in such a band, to separate touching objects.
    - ``distractor``: for the negative label, on other objects of the source: other instances, other classes and pasted
      objects. DIOS and RITM (Sofiiuk et al., 2022) draw some of the negative clicks there. Positive labels use
      ``uniform`` instead.

    Args:
        mask: a label per pixel, 0 negative.
        points: P, the number of dots per label, or that of each label.
        places: the placement for each annotated label.
        objects: label map of the source; negative pixels that are neither 0 nor void in it belong to other objects.
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
    """The sampling weight of each pixel; None for uniform."""
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
    """The inner rim of a positive label, or the outer rim of all of them. Void pixels between are skipped."""
    positive = (mask > 0) & (mask != IGNORE)
    inside = region if label else ~positive
    if not region.any() or not positive.any() or inside.all():
        return None
    distance = depth(inside).astype(float)
    width = BAND * np.sqrt((region if label else positive).sum())
    return (region & (distance <= distance[region].min() + width)).astype(float)


def _drawn(weights: Float[np.ndarray, "H W"] | None, number: int, rng: np.random.Generator) -> list[int]:
    """Draw up to ``number`` distinct pixels by weight."""
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
    """Fill up to ``number`` pixels of a label uniformly; fewer if the label has fewer."""
    if len(indices) == number:
        return indices
    others = sample_points(mask, number, (label,), rng).tolist()
    return list(dict.fromkeys([*indices, *(row * mask.shape[1] + column for row, column, _ in others)]))[:number]

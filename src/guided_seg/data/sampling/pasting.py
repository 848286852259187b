"""Copy-paste: an object of another image in front of a crop, as something that the task does not ask for."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from guided_seg.data.source import Sample
from guided_seg.episode import IGNORE

Donor = Callable[[np.random.Generator], tuple[Sample, int] | None]
"""Draws an image and the value of an object in it; None where there is no other."""

SIDES = (0.2, 0.7)
"""The least and most of a pasted object's longer side, as shares of the crop's."""
PASTED = 254
"""The value of a pasted object, or the next one below that is not asked for."""
HIDDEN = 0.5
"""The most of a positive label that a pasted object may hide, as a share."""


def paste(crop: Sample, values: tuple[int, ...], donor: Sample, value: int, rng: np.random.Generator) -> Sample:
    """The crop with the object ``value`` of ``donor`` in front of it: mirrored or not, of any size and anywhere.

    It is cut out by its mask, and blended over a pixel at its edge (Ghiasi et al., 2021, find no finer blending
    needed). What it covers has a value that is not asked for, and so is negative. Where it would hide more than half of
    a label, the crop stays as it is.

    Args:
        crop: an image and its labels.
        values: those of its labels that are positive.
        donor: another image and its labels.
        value: the label of the object in it.
        rng: decides size, mirror and place.
    """
    inside = (donor.labels == value).view(np.uint8)
    left, top, width, height = cv2.boundingRect(inside)
    places = np.argwhere(crop.labels != IGNORE)
    if not width or not len(places):
        return crop
    zoom = float(np.exp(rng.uniform(*np.log(SIDES)))) * max(crop.labels.shape) / max(width, height)
    linear = np.diag([zoom * (-1.0 if rng.random() < 0.5 else 1.0), zoom])
    centre = places[int(rng.integers(len(places)))][::-1]
    matrix = np.column_stack([linear, centre - linear @ [left + width / 2, top + height / 2]])
    shape = crop.labels.shape[::-1]
    alpha = cv2.warpAffine(inside * np.float32(1), matrix, shape, flags=cv2.INTER_LINEAR)[..., None]
    over = cv2.warpAffine(donor.image, matrix, shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    covered = alpha[..., 0] >= 0.5
    if any(_share(covered, crop.labels == label) > HIDDEN for label in values):
        return crop
    image = np.rint(crop.image * (1 - alpha) + over * alpha).astype(np.uint8)
    other = next(label for label in range(PASTED, 0, -1) if label not in values)
    return Sample(image, np.where(covered, np.uint8(other), crop.labels))


def _share(covered: np.ndarray, region: np.ndarray) -> float:
    """How much of a region is covered."""
    return float((covered & region).sum() / max(1, region.sum()))

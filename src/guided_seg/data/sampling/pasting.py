"""Copy-paste augmentation: paste an object of another image onto a crop as a hard negative."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from guided_seg.data.source import Sample
from guided_seg.episode import IGNORE

Donor = Callable[[np.random.Generator], tuple[Sample, int] | None]
"""Draws an image and the value of an object in it; None if there is none."""

SIDES = (0.2, 0.7)
"""Range of a pasted object's longer side, as a share of the crop's side."""
PASTED = 254
"""The value of a pasted object, or the next lower one that is not positive."""
HIDDEN = 0.5
"""Largest share of a positive label that a pasted object may hide."""


def paste(crop: Sample, values: tuple[int, ...], donor: Sample, value: int, rng: np.random.Generator) -> Sample:
    """Paste the object ``value`` of ``donor`` onto a crop, with random mirroring, size and position.

    The object is cut out by its mask and blended over one pixel at its edge (Ghiasi et al., 2021, find that more is not
    needed). It gets a value that is not positive, so it is negative. The crop is unchanged if the object would hide
    more than half of a positive label.

    Args:
        crop: an image and its labels.
        values: the positive values of its labels.
        donor: another image and its labels.
        value: the label of the object in it.
        rng: the source of randomness.
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
    """The share of a region that is covered."""
    return float((covered & region).sum() / max(1, region.sum()))

"""The input of a predictor: images and annotated images."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from guided_seg.episode import Shot
from guided_seg.model.features import Features

Annotation = tuple[Int[Tensor, "P 3"] | None, UInt8[Tensor, "H W"] | None]
"""Dots, rows of (row, column, label); or a label for each pixel. One of the two is None."""


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """An image that is read only if its features are not kept.

    Attributes:
        key: identifies the pixels; images with equal keys share features.
        size: height and width in pixels.
        read: returns float32 ``[3, H, W]``, RGB in 0..1, on the predictor's device.
        features: if they were computed before.
        pixels: uint8 ``[H, W, 3]``, if they are in memory.
    """

    key: Hashable
    size: tuple[int, int]
    read: Callable[[], Float[Tensor, "3 H W"]]
    features: Features | None = None
    pixels: UInt8[np.ndarray, "H W 3"] | None = None

    def rgb(self) -> UInt8[np.ndarray, "H W 3"]:
        """Its pixels."""
        if self.pixels is not None:
            return self.pixels
        return (self.read().permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy()


def _passing(_: int) -> None:
    """The version of annotations that come only once."""


@dataclass(frozen=True, slots=True, eq=False)
class Annotated:
    """An annotated image of the support.

    Attributes:
        image: the image. It is the query itself if their keys are equal.
        labels: those that are annotated in it.
        annotation: gives its dots or mask, on the predictor's device.
        version: gives another value whenever the annotation of a label changed; None where nothing that depends on the
            annotation of this label is to be kept.
    """

    image: Image
    labels: frozenset[int]
    annotation: Callable[[], Annotation]
    version: Callable[[int], Hashable] = _passing

    @classmethod
    def of_shot(cls, image: Image, shot: Shot, device: torch.device) -> Annotated:
        """A shot of an episode, whose annotation stays as it is."""
        points, mask = (None if each is None else each.to(device) for each in (shot.points, shot.mask))
        return cls(image, frozenset(shot.labels()), lambda: (points, mask))

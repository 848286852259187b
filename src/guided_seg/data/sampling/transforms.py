"""Joint augmentation of an image and its labels: scale, flip, crop, colour."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from guided_seg.data.sampling.pasting import Donor, paste
from guided_seg.data.sampling.points import sample_points
from guided_seg.data.source import Sample
from guided_seg.episode import IGNORE
from guided_seg.errors import DataError

_SMALLEST, _LARGEST = 0.6, 4.0


@dataclass(frozen=True)
class Augment:
    """Random scale, flip, crop and colour, with one warp for image and labels.

    Attributes:
        size: side of the square crop, in pixels; labels beyond the image are `IGNORE`.
        scale: range of magnification.
        relative: magnification 1 makes the image's longest side ``size``, so that images of all sizes have similar
            scales.
        flip: probability of a left-right mirror.
        colour: strength of changes of brightness, contrast and saturation, 0 for none.
        inside: keep the crop inside the image if the image is larger, else the image inside the crop.
        variants: number of crops of an image for the same values, independent of the run's seed; None for unlimited.
        paste: share of crops with a pasted object of another image, see `guided_seg.data.sampling.pasting`.
        extent: range of the object's longer side as a share of the crop, instead of ``scale``, so that small objects of
            large photos are trained on. No image becomes smaller than `_SMALLEST` of the crop or is magnified more than
            `_LARGEST` times. None for ``scale``.

    Raises:
        DataError: a size, scale, strength or number is invalid.
    """

    size: int
    scale: Sequence[float] = (0.7, 1.4)
    flip: float = 0.5
    colour: float = 0.3
    variants: int | None = None
    relative: bool = False
    inside: bool = False
    paste: float = 0.0
    extent: Sequence[float] | None = None

    def __post_init__(self) -> None:
        shares = 0 <= self.flip <= 1 and 0 <= self.colour < 1 and 0 <= self.paste <= 1
        if self.size < 16 or not 0 < self.scale[0] <= self.scale[1] or not shares:
            raise DataError(
                f"augment: size={self.size}, scale={list(self.scale)}, flip={self.flip}, colour={self.colour}, "
                f"paste={self.paste}; expected size >= 16, 0 < least scale <= most scale, 0 <= flip <= 1, 0 <= colour "
                "< 1 and 0 <= paste <= 1."
            )
        if self.extent is not None and not 0 < self.extent[0] <= self.extent[1]:
            raise DataError(f"augment.extent={list(self.extent)}: expected 0 < least share <= most share, or null.")
        if self.variants is not None and (type(self.variants) is not int or self.variants < 1):
            raise DataError(f"augment.variants={self.variants}: expected a whole number from 1, or null for no limit.")

    def __call__(
        self, sample: Sample, values: tuple[int, ...], rng: np.random.Generator, donor: Donor | None = None
    ) -> Sample:
        """Crop ``sample`` around a pixel of one of ``values``, if it has any.

        Args:
            sample: an image and its labels.
            values: the positive labels.
            rng: the source of randomness.
            donor: draws an object to paste.
        """
        if self.variants is not None:
            rng = np.random.default_rng((_checksum(sample.image), *values, int(rng.integers(self.variants))))
        zoom = self._zoom(sample.labels, values, rng)
        matrix = self._matrix(sample.labels.shape, zoom, self._centre(sample, values, rng), rng)
        shape = (self.size, self.size)
        image = cv2.warpAffine(sample.image, matrix, shape, flags=cv2.INTER_LINEAR)
        labels = cv2.warpAffine(sample.labels, matrix, shape, flags=cv2.INTER_NEAREST, borderValue=IGNORE)
        crop = Sample(image, labels)
        if self.paste and donor and rng.random() < self.paste and (found := donor(rng)):
            crop = paste(crop, values, *found, rng)
        return Sample(self._tint(crop.image, rng), crop.labels) if self.colour else crop

    def _centre(self, sample: Sample, values: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        dots = sample_points(sample.labels, 1, values, rng)
        if len(dots):
            row, column, _ = dots[int(rng.integers(len(dots)))].tolist()
            return np.array([column, row], float)
        height, width = sample.labels.shape
        return rng.uniform(0, [width, height])

    def _zoom(self, labels: np.ndarray, values: tuple[int, ...], rng: np.random.Generator) -> float:
        if self.extent is None:
            unit = self.size / max(labels.shape) if self.relative else 1.0
            return unit * float(np.exp(rng.uniform(*np.log(self.scale))))
        *_, width, height = cv2.boundingRect(np.isin(labels, values).view(np.uint8))
        wanted = self.size * float(np.exp(rng.uniform(*np.log(self.extent)))) / max(width, height, 1)
        return min(max(wanted, _SMALLEST * self.size / max(labels.shape)), _LARGEST)

    def _matrix(self, shape: tuple[int, ...], zoom: float, centre: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        mirror = -1.0 if rng.random() < self.flip else 1.0
        linear = np.diag([zoom * mirror, zoom])
        # the chosen pixel is anywhere except in the outer sixth of the crop; on a pixel, so that it is never lost
        place = rng.integers(self.size // 6, self.size * 5 // 6 + 1, size=2)
        offset = place - linear @ centre
        if self.inside:
            offset += self._into(shape, linear, offset)
        return np.column_stack([linear, offset])

    def _into(self, shape: tuple[int, ...], linear: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """The shortest shift, in whole pixels, that puts image or crop inside the other."""
        corner = linear @ [shape[1] - 1, shape[0] - 1]
        to_first, to_last = -(offset + np.minimum(corner, 0)), self.size - 1 - (offset + np.maximum(corner, 0))
        # between aligning the first edges and the last edges, one contains the other
        return np.trunc(np.clip(0, np.minimum(to_first, to_last), np.maximum(to_first, to_last)))

    def _tint(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        low, high = 1 - self.colour, 1 + self.colour
        gain, saturation = rng.uniform(low, high, size=2)
        grey = np.full((3, 3), 1 / 3)
        linear = gain * (saturation * np.eye(3) + (1 - saturation) * grey)
        offset = rng.uniform(-40, 40) * self.colour + 128 * (1 - gain) * rng.random()
        return cv2.transform(image, np.column_stack([linear, np.full(3, offset)]))


def _checksum(image: np.ndarray) -> int:
    """A checksum of the pixels, independent of the file's location."""
    return zlib.crc32(np.ascontiguousarray(image).data)

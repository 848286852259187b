"""Segmentation in a session: label maps of images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Literal, get_args, overload

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy.typing import NDArray
from torch import Tensor

from guided_seg.errors import UserError
from guided_seg.machine.waiting import waiting
from guided_seg.model.features import Features
from guided_seg.model.network import Network, UpdateCost
from guided_seg.model.precision import Precision
from guided_seg.model.refine import patient
from guided_seg.predict.encoder import Encoder
from guided_seg.predict.predictor import Maps, best, labels_touch_each_other, predictor_for
from guided_seg.predict.refining import refined_maps
from guided_seg.predict.support import Annotated, Annotation, Image
from guided_seg.session.annotating import Annotating
from guided_seg.session.annotations import Annotations
from guided_seg.session.arguments import RGB, check_rgb, flag, megabytes, one_of, shown, usable_device, whole_number
from guided_seg.session.store import Labels

Scores = Float32[np.ndarray, "K H W"]

_PASSING = ""
"""The id of an image that is not one of the session. No image of a session can have it."""


class Answering(Annotating):
    """An annotated store with a network that segments its images.

    Args:
        network: see `guided_seg.session.Session`, also for the other arguments.
        device: device of the network.
        precision: precision of the encoder.
        cache_mb: size of the feature cache, in megabytes.
        compiled: compile the encoder.

    Raises:
        UserError: an argument is invalid.
    """

    def __init__(
        self, network: Network, device: str | torch.device, precision: Precision, cache_mb: float, compiled: bool
    ) -> None:
        if not isinstance(network, Network):
            raise UserError(f"The network is {shown(network)}; Session.load(...) makes a session of a name or a file.")
        device = check_settings(device, precision, cache_mb, compiled)
        network = network.to(device).eval()
        super().__init__(together=labels_touch_each_other(network))
        self._encoder = Encoder(network, device, precision, compiled)
        self._predictor = predictor_for(network, self._encoder, cache_mb)
        self._predictor.on_encode = self._count
        self._ways = patient(network)
        self._encodes: Counter[str] = Counter()

    def _count(self, image: Image, features: Features) -> None:
        if image.key != _PASSING:
            self._encodes[self._images[str(image.key)].counted_as] += 1
        cache = self._predictor.cache
        if not cache.fits(features):
            name = "the image" if image.key == _PASSING else repr(image.key)
            raise UserError(
                f"The features of {name} take {features.nbytes / 2**20:,.1f} MB and the session may keep "
                f"{cache.megabytes:,g}; give it more (cache_mb), or a smaller image."
            )

    @property
    def network(self) -> Network:
        """The network, in evaluation mode."""
        return self._predictor.network

    @property
    def precision(self) -> str:
        """The precision of the encoder: ``fp32`` or ``bf16``, also where ``auto`` has chosen it."""
        return self._encoder.precision

    @property
    def encodes(self) -> Mapping[str, int]:
        """The number of encoder passes for each image and each video (all frames together)."""
        return dict(self._encodes)

    def warm_up(self, height: int, width: int) -> None:
        """Encode an empty image of this size, so that one-time setup does not delay the first real image."""
        size = whole_number(height, "The height", least=1), whole_number(width, "The width", least=1)
        with waiting("Preparing the encoder"):
            self._encoder(torch.zeros(1, 3, *size, device=self._encoder.device))

    @property
    def update_cost(self) -> UpdateCost:
        """What the network recomputes for a new dot: ``none``, its ``head``, or a ``full`` pass."""
        return self._predictor.network.update_cost

    @overload
    def segment(self, image_id: str, return_scores: Literal[False] = False) -> Labels: ...

    @overload
    def segment(self, image_id: str, return_scores: Literal[True]) -> tuple[Labels, Scores]: ...

    @torch.inference_mode()
    def segment(self, image_id: str, return_scores: bool = False) -> Labels | tuple[Labels, Scores]:
        """The label map of an image: uint8 ``[H, W]``, indices into ``labels``.

        Args:
            image_id: id of an image or a `frame`.
            return_scores: also return scores, float32 ``[K, H, W]``. Their softmax over K gives probabilities. They are
                -inf for labels without dots and masks, where another positive label has some.

        Raises:
            UserError: there is no such image, no label but the negative, or an image changed on disk.
        """
        labels, maps = self._answer(image_id, self._annotations)
        return (labels, torch.stack(maps).cpu().numpy()) if return_scores else labels

    def preview(self, image_id: str, row: int, column: int, label: str | int) -> Labels:
        """The label map that the image would have after ``dot(...)`` with these arguments: uint8 ``[H, W]``.

        Nothing changes: there is no dot and no step to undo, and what was computed before is kept. It costs as much
        as an edit.

        Raises:
            UserError: as `dot` and `segment`.
        """
        pixel, number = self._pixel(image_id, row, column), self._number(label)
        return self._answer(image_id, self._annotations.supposing(image_id, pixel, number))[0]

    @torch.inference_mode()
    def refined(self, image_id: str) -> Labels:
        """A better label map of an image, for more time: uint8 ``[H, W]``.

        The network runs once more, with its own confident pixels as one more annotated image. Where the image itself
        is annotated, positive labels must beat the negative by a margin, and connected regions without an annotation
        are dropped (`guided_seg.model.refine.patient`). With late fusion it costs a few edits. It uses the same
        features as `segment`, so no image is encoded again.

        Raises:
            UserError: as `segment`.
        """
        self.picture(image_id)
        self._check_labels()
        with waiting(f"Refining {image_id}"):
            return self._refined(self._image(image_id))

    def _refined(self, image: Image) -> Labels:
        support = self._support(self._annotations)
        return best(refined_maps(self._predictor, self._ways, image, support, len(self.labels)))

    @torch.inference_mode()
    def segment_pixels(self, pixels: NDArray[Any], image_id: str | None = None, refined: bool = False) -> Labels:
        """The label map of an image that need not be one of the session: uint8 ``[H, W]``.

        Features of images outside the session are not cached, so many of them take no more memory than one.

        Args:
            pixels: uint8 ``[H, W, 3]`` RGB.
            image_id: id of the image or `frame` of the session with these pixels, so that they are not read again;
                None if the session does not have it.
            refined: answer as `refined` does.

        Raises:
            UserError: ``pixels`` is not an RGB image, or not that of ``image_id``; or as `segment`.
        """
        rgb = check_rgb("image", pixels)
        self._check_labels()
        if image_id is not None:
            self.picture(image_id).check_same(rgb)
            image = self._image(image_id, rgb)
        else:
            image = Image(_PASSING, (len(rgb), len(rgb[0])), lambda: self._tensor(rgb), pixels=rgb)
        try:
            if refined:
                return self._refined(image)
            return best(self._predictor.maps(image, self._support(self._annotations), len(self.labels)))
        finally:
            if image_id is None:
                self._predictor.forget(_PASSING)

    @torch.inference_mode()
    def _answer(self, image_id: str, annotations: Annotations) -> tuple[Labels, Maps]:
        self.picture(image_id)
        self._check_labels()
        with waiting(f"Segmenting {image_id}"):
            maps = self._predictor.maps(self._image(image_id), self._support(annotations), len(self.labels))
        return best(maps), maps

    def _image(self, name: str, pixels: RGB | None = None) -> Image:
        """An image in the form that the predictor expects."""
        picture = self._images[name]
        return Image(
            name, picture.size, lambda: self._tensor(picture.read() if pixels is None else pixels), pixels=pixels
        )

    def _tensor(self, pixels: RGB) -> Float[Tensor, "3 H W"]:
        """Pixels as a tensor in 0..1 on the device of the network."""
        return torch.from_numpy(pixels).to(self._encoder.device).permute(2, 0, 1) / 255

    def _support(self, annotations: Annotations, hidden: frozenset[str] = frozenset()) -> list[Annotated]:
        """The annotated images, without the ``hidden`` ones, in the order of their first annotation."""
        return [self._annotated(name, annotations) for name in annotations.images() if name not in hidden]

    def _annotated(self, name: str, annotations: Annotations) -> Annotated:
        return Annotated(
            self._image(name),
            annotations.labels(name),
            partial(self._annotation, name, annotations),
            partial(annotations.changed, image=name),
        )

    def _annotation(self, name: str, annotations: Annotations) -> Annotation:
        """The dots of an image, or its label map."""
        mask = annotations.mask(name)
        if mask is not None:
            return None, torch.from_numpy(mask).to(self._encoder.device)
        points = torch.tensor(annotations.points(name), dtype=torch.int64, device=self._encoder.device)
        return points.reshape(-1, 3), None

    def _check_labels(self) -> None:
        if len(self._labels) < 2:
            raise UserError("There is nothing to segment yet; add_label names it.")

    def segment_all(self, batch: int = 1) -> Iterator[tuple[str, Labels]]:
        """Segment each of `images` in turn and yield its id and label map.

        Args:
            batch: number of images to encode together if they have the same size. This is faster for small images
                and on a GPU. If an image cannot be read, nothing of its batch is segmented.

        Raises:
            UserError: ``batch`` is not a whole number from 1, or an image cannot be read.
        """
        number = whole_number(batch, "batch")
        if number < 1:
            raise UserError(f"batch={number}: expected how many images to encode together, from 1.")
        return self._one_by_one(number)

    def _one_by_one(self, batch: int) -> Iterator[tuple[str, Labels]]:
        names = self.images
        for first in range(0, len(names), batch):
            together = names[first : first + batch]
            if batch > 1:
                self._predictor.encode_all([self._image(name) for name in together])
            for name in together:
                yield name, self.segment(name)


def check_settings(device: object, precision: object, cache_mb: object, compiled: object) -> torch.device:
    """Check the settings of a `Session` before a network is loaded, and return the device.

    Raises:
        UserError: a setting is invalid, or the device is not available.
    """
    megabytes(cache_mb, "cache_mb")
    one_of(precision, "precision", get_args(Precision))
    flag(compiled, "compiled")
    return usable_device(device)

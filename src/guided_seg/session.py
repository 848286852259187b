"""Interactive use: images are encoded once, and every new dot guides the segmentation of all of them (paper, 5.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from guided_seg.episode import Episode, Shot, check_points, collate
from guided_seg.errors import UserError
from guided_seg.model.features import Features, stack
from guided_seg.model.network import Network
from guided_seg.model.one_vs_rest import k_way

KWay = Literal["native", "one_vs_rest"]

NEGATIVE = "negative"
"""The label 0 that every session has: what is not to be segmented."""


@dataclass
class _Image:
    pixels: Float[Tensor, "3 H W"]
    features: Features
    dots: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[2]

    def shot(self, is_query: bool) -> Shot:
        points = torch.tensor(self.dots, dtype=torch.int64).reshape(-1, 3)
        return Shot(self.pixels, points=points, is_query=is_query)


class Session:
    """Images, labels, and dots that show which pixels have which label; the dots of all images guide each of them.

    A network whose guidance keeps positions, such as ``late_local``, is guided by the dots of the same image alone.

    Args:
        network: in evaluation mode, as `guided_seg.build.load_network` gives it.
        device: where it runs.

    Example:
        >>> session = Session.load("outputs/late_global/RUN/checkpoints/best.ckpt")  # doctest: +SKIP
        >>> session.add_image("cat", "cat.jpg")  # doctest: +SKIP
        >>> session.dot("cat", 40, 61, session.add_label("cat"))  # doctest: +SKIP
        >>> session.segment("cat")  # doctest: +SKIP
    """

    def __init__(self, network: Network, device: str | torch.device = "cpu") -> None:
        self.network, self.device = network.to(device).eval(), torch.device(device)
        self.labels = [NEGATIVE]
        self._images: dict[str, _Image] = {}

    @classmethod
    def load(cls, checkpoint: str | Path, device: str | torch.device = "cpu", reading: KWay = "native") -> Session:
        """A session with the network of a checkpoint of the main command.

        Args:
            checkpoint: a ``best.ckpt`` or ``last.ckpt``.
            device: where it runs.
            reading: how several labels are answered, all at once or ``one_vs_rest``, which suits any network.

        Raises:
            UserError: see `guided_seg.build.load_network`.
        """
        from guided_seg.build import load_network  # Hydra and Lightning, which a session does without

        return cls(k_way(reading, load_network(checkpoint)[0]), device)

    @torch.inference_mode()
    def add_image(self, image_id: str, image: str | Path | NDArray[Any]) -> None:
        """Encode an image, once; its dots and those of all others can then be set in any order.

        Args:
            image_id: a name of its own.
            image: uint8 ``[H, W, 3]``, RGB, or a file.

        Raises:
            UserError: the name is taken, the file cannot be read, or the array is no RGB image.
        """
        if image_id in self._images:
            raise UserError(f"There is an image {image_id!r} already; give each a name of its own.")
        from guided_seg.data.images import read_image  # OpenCV and Pillow

        array = read_image(Path(image)) if isinstance(image, (str, Path)) else image
        if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
            raise UserError(f"The image {image_id!r} is {array.dtype} {array.shape}; expected uint8 (H, W, 3), RGB.")
        pixels = (torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1) / 255).to(self.device)
        features = self.network.encode(pixels[None], torch.tensor([pixels.shape[1:]], device=self.device))
        self._images[image_id] = _Image(pixels, features)

    def add_label(self, name: str) -> str:
        """A further thing to segment, which needs no dots yet; its number is its place in ``labels``.

        Raises:
            UserError: there is one of that name.
        """
        if name in self.labels:
            raise UserError(f"There is a label {name!r} already; labels are {', '.join(self.labels)}.")
        self.labels.append(name)
        return name

    def dot(self, image_id: str, row: int, column: int, label: str) -> None:
        """Say that a pixel has a label, `NEGATIVE` included; an earlier dot there is replaced.

        Raises:
            UserError: there is no such image or label, or the pixel lies outside the image.
        """
        image = self._image(image_id)
        if label not in self.labels:
            raise UserError(f"There is no label {label!r}; labels are {', '.join(self.labels)}; add_label makes more.")
        number = self.labels.index(label)
        check_points(torch.tensor([[row, column, number]]), *image.size)
        self.remove(image_id, row, column)
        image.dots.append((row, column, number))

    def remove(self, image_id: str, row: int, column: int) -> None:
        """Take the dot at a pixel away, if there is one.

        Raises:
            UserError: there is no such image.
        """
        image = self._image(image_id)
        image.dots = [dot for dot in image.dots if dot[:2] != (row, column)]

    @torch.inference_mode()
    def segment(self, image_id: str) -> UInt8[np.ndarray, "H W"]:
        """The label of every pixel, by its place in ``labels``.

        Raises:
            UserError: there is no such image, or no label but the negative.
        """
        query = self._image(image_id)
        if len(self.labels) < 2:
            raise UserError("There is nothing to segment yet; add_label names it.")
        support = self._support(image_id)
        target = torch.zeros(query.size, dtype=torch.uint8, device=self.device)
        shots = [image.shot(image is query) for image in support]
        batch = collate([Episode(query.pixels, target, shots, num_labels=len(self.labels))]).to(self.device)
        # as collate orders the images: the query, then what else is annotated
        features = stack([query.features, *(image.features for image in support if image is not query)])
        scores = self.network(batch, features)[0]
        return scores.argmax(0).to(torch.uint8).cpu().numpy()

    def _support(self, image_id: str) -> Sequence[_Image]:
        own = self.network.needs_same_image
        return [i for name, i in self._images.items() if i.dots and (name == image_id or not own)]

    def _image(self, image_id: str) -> _Image:
        if image_id not in self._images:
            known = ", ".join(self._images) or "none; add_image adds one"
            raise UserError(f"There is no image {image_id!r}; there are: {known}.")
        return self._images[image_id]

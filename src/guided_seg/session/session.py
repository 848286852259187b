"""Session: interactive segmentation. Images are encoded once, and each new dot guides all of them (paper, 5.4)."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from guided_seg.episode import IGNORE, Episode, Shot
from guided_seg.files.writing import sha256
from guided_seg.machine.waiting import waiting
from guided_seg.model.network import Network
from guided_seg.model.precision import Precision
from guided_seg.model.wrappers.one_vs_rest import k_way
from guided_seg.predict.similarity import similarity
from guided_seg.session import file
from guided_seg.session.answering import check_settings
from guided_seg.session.arguments import local_path, one_of
from guided_seg.session.confidence import confidence, next_click
from guided_seg.session.content import KWay
from guided_seg.session.playing import Playing


class Model(NamedTuple):
    """The origin of a session's network: checkpoint, its SHA-256, and how several labels are segmented."""

    checkpoint: Path
    sha256: str
    reading: KWay


class Session(Playing):
    """Images, videos, labels and annotations. All annotations together guide each segmentation.

    An image is encoded when it is first needed, and again only if its features were evicted from the cache. With late
    fusion, an edit recomputes only the labels that it changes, or all labels if the head scores them jointly; see
    `update_cost`. The result is the same as computing from scratch. If the guidance keeps positions (``late_local``),
    annotations guide only their own image.

    Args:
        network: a network as `guided_seg.load` returns it.
        device: device of the network.
        precision: precision of the encoder: ``fp32``, ``bf16``, or ``auto`` for the faster one; see `Encoder`.
        cache_mb: size of the LRU cache of features and score maps, in megabytes.
        model: origin of the network, for `save`.
        compiled: compile the encoder, for videos or many images of one size; see `Encoder` and `warm_up`.

    Example:
        >>> session = Session.load("outputs/late_global/RUN")  # doctest: +SKIP
        >>> session.add_image("cat", "cat.jpg")  # doctest: +SKIP
        >>> session.dot("cat", 40, 61, session.add_label("cat"))  # doctest: +SKIP
        >>> session.segment("cat")  # doctest: +SKIP
    """

    def __init__(
        self,
        network: Network,
        device: str | torch.device = "cpu",
        precision: Precision = "fp32",
        cache_mb: float = 1024,
        model: Model | None = None,
        compiled: bool = False,
    ) -> None:
        super().__init__(network, device, precision, cache_mb, compiled)
        self.model = model

    @classmethod
    def load(
        cls,
        checkpoint: str | PathLike[str],
        device: str | torch.device = "cpu",
        precision: Precision = "fp32",
        reading: KWay = "native",
        cache_mb: float = 1024,
        compiled: bool = False,
    ) -> Session:
        """A session with a trained network.

        This takes seconds, mostly for imports. A terminal shows a spinner meanwhile.

        Args:
            checkpoint: a run folder, a checkpoint, or a released model; see `guided_seg.release.load.checkpoint_file`.
            device: see `Session`.
            precision: see `Session`.
            reading: how several labels are segmented: all at once (``native``), or ``one_vs_rest``, which works with
                any network.
            cache_mb: see `Session`.
            compiled: see `Session`.

        Raises:
            UserError: an argument is invalid, or `guided_seg.release.load.load_network` raises it.
        """
        check_settings(device, precision, cache_mb, compiled)
        one_of(reading, "reading", get_args(KWay))
        with waiting(f"Loading {checkpoint}"):
            # slow: these import everything that can build a network
            from guided_seg.release.load import checkpoint_file, load_network

            file = checkpoint_file(checkpoint).absolute()
            network = k_way(reading, load_network(file)[0])
            return cls(network, device, precision, cache_mb, Model(file, sha256(file), reading), compiled)

    def save(self, path: str | PathLike[str]) -> Path:
        """Save labels, dots, masks, and the paths of images, videos and network. The undo history is not saved.

        Images added as arrays, and frames of streams, are stored in the file. Streams themselves cannot be saved.

        Args:
            path: the file, written with an atomic write.

        Returns:
            The absolute path.

        Raises:
            UserError: the file cannot be written. The session and an older file of that name stay unchanged.
        """
        model, where = self.model._asdict() if self.model else None, local_path(path, "The session's file")
        file.write(self, model, where)
        return where

    @classmethod
    def open(
        cls,
        path: str | PathLike[str],
        device: str | torch.device = "cpu",
        precision: Precision = "fp32",
        cache_mb: float = 1024,
        network: Network | None = None,
        compiled: bool = False,
    ) -> Session:
        """Open a saved session.

        Args:
            path: a file written by `save`.
            device: see `Session`.
            precision: see `Session`.
            cache_mb: see `Session`.
            network: used instead of the checkpoint named in the file.
            compiled: see `Session`.

        Raises:
            UserError: the file is not a session, or the network, an image or a video is missing or has changed.
        """
        check_settings(device, precision, cache_mb, compiled)
        where = local_path(path, "The session's file")
        saved = file.read(where)
        file.check_there(saved, where)
        if network is None:
            checkpoint, reading = file.network_of(saved, where)
            session = cls.load(checkpoint, device, precision, reading, cache_mb, compiled)
        else:
            session = cls(network, device, precision, cache_mb, compiled=compiled)
        with waiting(f"Opening {where}"):
            file.fill(session, saved, where)
        return session

    def confidence(self, image_id: str) -> float:
        """How sure the answer to an image is, in 0..1; see `guided_seg.session.confidence.confidence`.

        Raises:
            UserError: as `segment`.
        """
        return confidence(self.segment(image_id, return_scores=True)[1])

    def next_click(self, image_id: str) -> tuple[int, int, int] | None:
        """Where a dot would help most: row, column and the number of the label that it may well have.

        None if the answer is certain everywhere; see `guided_seg.session.confidence.next_click`.

        Raises:
            UserError: as `segment`.
        """
        scores = self.segment(image_id, return_scores=True)[1]
        return next_click(scores, self._map(image_id).cpu().numpy() != IGNORE)

    def next_image(self) -> str | None:
        """The one of `images` with the least `confidence`; None if there are no images. It segments all of them.

        Raises:
            UserError: as `segment`.
        """
        return min(self.images, key=self.confidence, default=None)

    @torch.inference_mode()
    def similarity(self, image_id: str, label: str | int) -> Float32[np.ndarray, "h w"]:
        """How similar an image is to what is annotated as a label: cosines in -1..1, on the grid of the features.

        Each is the cosine between the features there and z, the guidance of the label; the largest one, if z is a set
        of features. With local guidance it is the cosine between the features and z at the same position.

        Args:
            image_id: id of an image or a `frame`.
            label: name, or number in `labels`.

        Raises:
            UserError: there is no such image or label, nothing that guides the image is annotated with the label, or
                the network has no z to compare with (early fusion, and networks that read no dots).
        """
        self.picture(image_id)
        number, support = self._number(label), self._support(self._annotations)
        found = similarity(self._predictor, self._image(image_id), support, number, self.labels)
        return found.cpu().numpy()

    def episodes(self) -> Iterator[Episode]:
        """Training episodes: each annotated image as the query, its annotation as target, all of them as support."""
        names = self._annotations.images()
        shots = {name: Shot(self._tensor(self.picture(name).read()), mask=self._map(name)) for name in names}
        for query in names:
            support = [Shot(s.image, mask=s.mask, is_query=name == query) for name, s in shots.items()]
            target = shots[query].mask
            assert target is not None
            yield Episode(shots[query].image, target, support, {"group": query}, len(self.labels))

    def _map(self, name: str) -> Tensor:
        """The dots and masks of an image as a label map."""
        labels = self._annotations.mask(name)
        if labels is None:
            labels = np.full(self.picture(name).size, IGNORE, np.uint8)
            for row, column, label in self._annotations.points(name):
                labels[row, column] = label
        return torch.from_numpy(labels).to(self._encoder.device)

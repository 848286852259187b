"""Interactive use: images are encoded once, and every new dot guides the segmentation of all of them (paper, 5.4)."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from guided_seg.episode import IGNORE, Episode, Shot
from guided_seg.files.writing import sha256
from guided_seg.machine.waiting import waiting
from guided_seg.model.network import Network
from guided_seg.model.precision import Precision
from guided_seg.model.wrappers.one_vs_rest import k_way
from guided_seg.session import file
from guided_seg.session.answering import Answering, check_settings
from guided_seg.session.arguments import local_path, one_of
from guided_seg.session.content import KWay


class Model(NamedTuple):
    """Where a session's network came from."""

    checkpoint: Path
    sha256: str
    reading: KWay


class Session(Answering):
    """Images, videos, labels, and dots that show which pixels have which label; all of them guide each answer.

    An image is encoded when it is first needed, and again only if its features had to go from the memory of
    ``cache_mb``. With late fusion an edit then costs the labels that it touches, and equals computing from scratch; see
    `update_cost`. A network whose guidance keeps positions, such as ``late_local``, is guided by the same image alone.

    Args:
        network: in evaluation mode, as `guided_seg.load` gives it.
        device: where it runs.
        precision: of the encoder: ``fp32``, ``bf16``, or ``auto``, which takes the faster one; see `Encoder`.
        cache_mb: megabytes of features and score maps that are kept; the least recently used go first.
        model: where the network came from, for `save`.
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
            checkpoint: a run folder, a checkpoint in it, or a released model; see `checkpoints.checkpoint_file`.
            device: where it runs.
            precision: see `Session`.
            reading: how several labels are answered, all at once or ``one_vs_rest``, which suits any network.
            cache_mb: see `Session`.
            compiled: see `Session`.

        Raises:
            UserError: an argument makes no sense, or see `guided_seg.release.load.load_network`.
        """
        check_settings(device, precision, cache_mb, compiled)
        one_of(reading, "reading", get_args(KWay))
        with waiting(f"Loading {checkpoint}"):
            # which know how to build any network, and take time
            from guided_seg.release.load import checkpoint_file, load_network

            file = checkpoint_file(checkpoint).absolute()
            network = k_way(reading, load_network(file)[0])
            return cls(network, device, precision, cache_mb, Model(file, sha256(file), reading), compiled)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write labels, dots, masks, and where images, videos and the network are; undo begins anew after `open`.

        Images that came as arrays, and frames of streams, are stored in the file; a stream itself cannot be.

        Args:
            path: the file to write, whole or not at all.

        Raises:
            UserError: the file cannot be written; the session and an older file of that name stay as they are.
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
        """A session as it was saved.

        Args:
            path: of `save`.
            device: see `Session`.
            precision: see `Session`.
            cache_mb: see `Session`.
            network: another one than that of the checkpoint that the file names.
            compiled: see `Session`.

        Raises:
            UserError: the file is no session, or the network, an image or a video is gone or is another one now.
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

    def episodes(self) -> Iterator[Episode]:
        """Each annotated image as a query whose target is its own annotation, shown by all of them: for training."""
        names = self._annotations.images()
        shots = {name: Shot(self._tensor(self.picture(name).read()), mask=self._map(name)) for name in names}
        for query in names:
            support = [Shot(s.image, mask=s.mask, is_query=name == query) for name, s in shots.items()]
            target = shots[query].mask
            assert target is not None
            yield Episode(shots[query].image, target, support, {"group": query}, len(self.labels))

    def _map(self, name: str) -> Tensor:
        """All that is annotated in an image, as a label map."""
        labels = self._annotations.mask(name)
        if labels is None:
            labels = np.full(self.picture(name).size, IGNORE, np.uint8)
            for row, column, label in self._annotations.points(name):
                labels[row, column] = label
        return torch.from_numpy(labels).to(self._encoder.device)

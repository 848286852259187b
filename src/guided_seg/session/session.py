"""Interactive use: images are encoded once, and every new dot guides the segmentation of all of them (paper, 5.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from os import PathLike
from pathlib import Path
from typing import Literal, NamedTuple, overload

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from guided_seg.episode import IGNORE, Episode, Shot
from guided_seg.errors import UserError
from guided_seg.model.memory import Memory, certain, check_memory, reads_map, reads_shot
from guided_seg.model.motion import Places
from guided_seg.model.network import Network, UpdateCost
from guided_seg.model.one_vs_rest import k_way
from guided_seg.precision import Precision
from guided_seg.session import file
from guided_seg.session.encoder import Encoder
from guided_seg.session.engine import Earlier, best, engine_for, labels_touch_each_other
from guided_seg.session.pictures import RGB, ahead
from guided_seg.session.store import Labels, Store
from guided_seg.writing import sha256

KWay = Literal["native", "one_vs_rest"]
Corrections = Literal["all", "forward"]
Scores = Float32[np.ndarray, "K H W"]


class Model(NamedTuple):
    """Where a session's network came from."""

    checkpoint: Path
    sha256: str
    reading: KWay


class Session(Store):
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
        network, self.model = network.to(device).eval(), model
        super().__init__(together=labels_touch_each_other(network))
        encoder = Encoder(network, torch.device(device), precision, compiled)
        self._engine = engine_for(network, encoder, self._images, self._annotations, cache_mb)

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

        Args:
            checkpoint: a run folder, a checkpoint in it, or a released model; see `checkpoints.checkpoint_file`.
            device: where it runs.
            precision: see `Session`.
            reading: how several labels are answered, all at once or ``one_vs_rest``, which suits any network.
            cache_mb: see `Session`.
            compiled: see `Session`.

        Raises:
            UserError: see `guided_seg.checkpoints.load_network`.
        """
        # which know how to build any network, and take time
        from guided_seg.checkpoints import checkpoint_file, load_network

        file = checkpoint_file(checkpoint)
        network = k_way(reading, load_network(file)[0])
        return cls(network, device, precision, cache_mb, Model(file, sha256(file), reading), compiled)

    @property
    def encodes(self) -> Mapping[str, int]:
        """How often each image, or some frame of each video, went through the encoder."""
        return dict(self._engine.encodes)

    def warm_up(self, height: int, width: int) -> None:
        """Encode an empty image of a size, so that the first real one need not wait for what happens only once."""
        self._engine.encoder(torch.zeros(1, 3, height, width, device=self._engine.encoder.device))

    @property
    def update_cost(self) -> UpdateCost:
        """What a new dot makes the network compute again: ``none``, its ``head``, or a ``full`` pass."""
        return self._engine.network.update_cost

    @overload
    def segment(self, image_id: str, return_scores: Literal[False] = False) -> Labels: ...

    @overload
    def segment(self, image_id: str, return_scores: Literal[True]) -> tuple[Labels, Scores]: ...

    @torch.inference_mode()
    def segment(self, image_id: str, return_scores: bool = False) -> Labels | tuple[Labels, Scores]:
        """The label of every pixel, by its place in ``labels``.

        Args:
            image_id: of an image, or of a `frame`.
            return_scores: give the score of each label too, whose softmax over labels are probabilities.

        Raises:
            UserError: there is no such image, no label but the negative, or an image changed on disk.
        """
        labels, maps = self._answer(image_id)
        return (labels, torch.stack(maps).cpu().numpy()) if return_scores else labels

    @torch.inference_mode()
    def _answer(self, image_id: str, earlier: Earlier | None = None) -> tuple[Labels, list[Tensor]]:
        self.picture(image_id)
        if len(self.labels) < 2:
            raise UserError("There is nothing to segment yet; add_label names it.")
        maps = self._engine.maps(image_id, len(self.labels), earlier)
        return best(maps), maps

    def segment_all(self, batch: int = 1) -> Iterator[tuple[str, Labels]]:
        """Each of `images` with its labels, one after the other.

        Args:
            batch: images that are encoded together if they are of one size; it pays for small images, and on a GPU.
                Of an image that cannot be had the whole batch goes without an answer.

        Raises:
            UserError: the batch is no number from 1, or an image cannot be had.
        """
        if batch < 1:
            raise UserError(f"batch={batch}: expected how many images to encode together, from 1.")
        names = self.images
        for first in range(0, len(names), batch):
            together = names[first : first + batch]
            if batch > 1:
                self._engine.encode(together)
            for name in together:
                yield name, self.segment(name)

    def segment_video(
        self, video_id: str, start: int = 0, corrections: Corrections = "all", memory: Memory = "none"
    ) -> Iterator[tuple[int, Labels]]:
        """Each frame's number with its labels, as soon as they are known; later frames are read meanwhile.

        Dots may be set between two frames, on `frame` of the one just given or on any other, and hold from the next one
        on. Every frame goes through the encoder once.

        Args:
            video_id: of `add_video`.
            start: the first frame.
            corrections: whether dots on a frame of this video guide ``all`` frames, or it and those after it.
            memory: of the answer to the frame before, see `guided_seg.model.memory.Memory`; begun anew by each edit.

        Raises:
            UserError: the network cannot read such a memory; there is no such video, or it breaks off; what was given
                until then stays as it is.
        """
        video = self._video(video_id)
        if corrections not in ("all", "forward"):
            raise UserError(f"corrections={corrections}: expected all or forward.")
        check_memory(memory, self._engine.network)
        known: tuple[int, Earlier] | None = None
        frames = video.frames(start)
        with closing(ahead(frames) if video.path else frames) as coming:  # type: ignore[type-var]
            for index, pixels in coming:
                passing = f"{video_id}#{index}" not in self._images
                name = self._add_frame(video_id, index, pixels) if passing else f"{video_id}#{index}"
                try:
                    hidden = self._later(video_id, index) if corrections == "forward" else frozenset()
                    earlier = known[1].at(pixels) if known and known[0] == self._annotations.clock else None
                    labels, maps = self._segment_frame(name, pixels, hidden, earlier)
                    labels = earlier.keep(labels) if earlier else labels
                    if memory != "none":
                        known = self._annotations.clock, self._remember(name, pixels, labels, maps, memory)
                    yield index, labels
                finally:
                    # it could be annotated while it was shown, and what was undone can be done again
                    if passing and not self._annotations.knows(name):
                        del self._images[name]
                        self._engine.forget(name)

    @torch.inference_mode()
    def _remember(self, name: str, pixels: RGB, labels: Labels, maps: list[Tensor], memory: Memory) -> Earlier:
        """What the next frame's answer is told of this one; copies, as what is given away may be painted on."""
        places = Places(labels.copy(), pixels if memory == "moved" else None) if reads_map(memory) else None
        if not reads_shot(memory):
            return Earlier(places, None)
        return Earlier(places, (certain(torch.stack(maps)).cpu().numpy(), pixels, self._engine.features(name)))

    def _segment_frame(
        self, name: str, pixels: RGB, hidden: frozenset[str], earlier: Earlier | None
    ) -> tuple[Labels, list[Tensor]]:
        with torch.inference_mode():
            self._engine.features(name, pixels)
        self._engine.hidden = hidden
        try:
            return self._answer(name, earlier)
        finally:
            self._engine.hidden = frozenset()

    def _later(self, video_id: str, index: int) -> frozenset[str]:
        """The annotated frames of a video after one of them."""
        frames = {name: self._images[name].frame for name in self._annotations.images()}
        return frozenset(name for name, frame in frames.items() if frame and frame[0] == video_id and frame[1] > index)

    # ---- tomorrow ----

    def save(self, path: str | PathLike[str]) -> Path:
        """Write labels, dots, masks, and where images, videos and the network are; undo begins anew after `open`.

        Images that came as arrays, and frames of streams, are stored in the file; a stream itself cannot be.

        Args:
            path: the file to write, whole or not at all.
        """
        model = self.model._asdict() if self.model else None
        file.write(self, model, Path(path))
        return Path(path)

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
        content = file.read(Path(path))
        if network is None:
            checkpoint = file.checkpoint_of(content, Path(path))
            session = cls.load(checkpoint, device, precision, content["model"]["reading"], cache_mb, compiled)
        else:
            session = cls(network, device, precision, cache_mb, compiled=compiled)
        file.fill(session, content, Path(path))
        return session

    def episodes(self) -> Iterator[Episode]:
        """Each annotated image as a query whose target is its own annotation, shown by all of them: for training."""
        names = self._annotations.images()
        shots = {name: Shot(self._engine.tensor(self.picture(name).read()), mask=self._map(name)) for name in names}
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
        return torch.from_numpy(labels).to(self._engine.device)

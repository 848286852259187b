"""Answers of a session: the labels of images, and of the frames of videos as they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Literal, get_args, overload

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from guided_seg.errors import UserError
from guided_seg.machine.waiting import waiting
from guided_seg.model.network import Network, UpdateCost
from guided_seg.model.precision import Precision
from guided_seg.model.video.previous_frame import Memory, check_memory
from guided_seg.session.arguments import RGB, flag, megabytes, one_of, shown, usable_device, whole_number
from guided_seg.session.earlier import Earlier
from guided_seg.session.encoder import Encoder
from guided_seg.session.engine import best, engine_for, labels_touch_each_other
from guided_seg.session.pictures import ahead
from guided_seg.session.store import Labels, Store

Corrections = Literal["all", "forward"]
Scores = Float32[np.ndarray, "K H W"]


class Answering(Store):
    """A store whose images and videos a network segments.

    Args:
        network: see `guided_seg.session.Session`, as for the others.
        device: where it runs.
        precision: of the encoder.
        cache_mb: megabytes that are kept.
        compiled: compile the encoder.

    Raises:
        UserError: an argument makes no sense.
    """

    def __init__(
        self, network: Network, device: str | torch.device, precision: Precision, cache_mb: float, compiled: bool
    ) -> None:
        if not isinstance(network, Network):
            raise UserError(f"The network is {shown(network)}; Session.load(...) makes a session of a name or a file.")
        device = check_settings(device, precision, cache_mb, compiled)
        network = network.to(device).eval()
        super().__init__(together=labels_touch_each_other(network))
        encoder = Encoder(network, device, precision, compiled)
        self._engine = engine_for(network, encoder, self._images, self._annotations, cache_mb)

    @property
    def encodes(self) -> Mapping[str, int]:
        """How often each image, or some frame of each video, went through the encoder."""
        return dict(self._engine.encodes)

    def warm_up(self, height: int, width: int) -> None:
        """Encode an empty image of a size, so that the first real one need not wait for what happens only once."""
        size = whole_number(height, "The height", least=1), whole_number(width, "The width", least=1)
        with waiting("Preparing the encoder"):
            self._engine.encoder(torch.zeros(1, 3, *size, device=self._engine.encoder.device))

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
        self._check_labels()
        with waiting(f"Segmenting {image_id}"):
            maps = self._engine.maps(image_id, len(self.labels), earlier)
        return best(maps), maps

    def _check_labels(self) -> None:
        if len(self._labels) < 2:
            raise UserError("There is nothing to segment yet; add_label names it.")

    def segment_all(self, batch: int = 1) -> Iterator[tuple[str, Labels]]:
        """Each of `images` with its labels, one after the other.

        Args:
            batch: images that are encoded together if they are of one size; it pays for small images, and on a GPU.
                Of an image that cannot be had the whole batch goes without an answer.

        Raises:
            UserError: the batch is no number from 1, or an image cannot be had.
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
            memory: of the answer to the frame before, see `model.video.previous_frame.Memory`; begun anew by each edit.

        Raises:
            UserError: an argument makes no sense, or the network cannot read such a memory. While frames come: the
                video has none from ``start`` on, or it breaks off; what was given until then stays as it is.
        """
        self._video(video_id)
        start = whole_number(start, "start", least=0)
        one_of(corrections, "corrections", get_args(Corrections))
        check_memory(memory, self._engine.network)
        return self._frame_by_frame(video_id, start, corrections, memory)

    def _frame_by_frame(
        self, video_id: str, start: int, corrections: Corrections, memory: Memory
    ) -> Iterator[tuple[int, Labels]]:
        video = self._video(video_id)
        self._check_labels()  # before a stream has lost a frame
        known: tuple[int, Earlier] | None = None
        frames = video.frames(start)
        index = None
        with closing(ahead(frames) if video.path else frames) as coming:  # type: ignore[type-var]
            for index, pixels in coming:
                name, passing = self._shown_frame(video_id, index, pixels)
                try:
                    hidden = self._later(video_id, index) if corrections == "forward" else frozenset()
                    earlier = known[1].at(pixels) if known and known[0] == self._annotations.clock else None
                    labels, maps = self._segment_frame(name, pixels, hidden, earlier)
                    labels = earlier.keep(labels) if earlier else labels
                    if memory != "none":
                        features = self._engine.features(name)
                        known = self._annotations.clock, Earlier.of(memory, pixels, labels, maps, features)
                    yield index, labels
                finally:
                    if passing:
                        self._pass(name)
        if index is None:
            raise UserError(video.ended(start))

    def _shown_frame(self, video_id: str, index: int, pixels: RGB) -> tuple[str, bool]:
        """The id of a frame that a video gives, and whether it is there only while it is shown."""
        name = f"{video_id}#{index}"
        if name in self._images:
            self._images[name].check_same(pixels)  # or features of other pixels would answer for it
            return name, False
        self._passing.add(name)
        return self._add_frame(video_id, index, pixels), True

    def _pass(self, name: str) -> None:
        """Forget a frame that has been shown, unless it was annotated; what was undone can be done again."""
        self._passing.discard(name)
        if not self._annotations.knows(name):
            del self._images[name]
            self._engine.forget(name)

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


def check_settings(device: object, precision: object, cache_mb: object, compiled: object) -> torch.device:
    """The device; see `Session` for what is checked, before a network is loaded.

    Raises:
        UserError: one of these makes no sense, or the device is not there.
    """
    megabytes(cache_mb, "cache_mb")
    one_of(precision, "precision", get_args(Precision))
    flag(compiled, "compiled")
    return usable_device(device)

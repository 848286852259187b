"""Segmentation of the videos of a session, frame by frame."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Literal, NamedTuple, get_args

import torch

from guided_seg.errors import UserError
from guided_seg.machine.waiting import waiting
from guided_seg.model.video.previous_frame import Memory, check_memory
from guided_seg.predict.predictor import Maps
from guided_seg.predict.support import Image
from guided_seg.predict.tracker import Tracker
from guided_seg.session.answering import Answering
from guided_seg.session.arguments import RGB, flag, one_of, whole_number
from guided_seg.session.films.ahead import Frame, ahead
from guided_seg.session.films.videos import every_frame
from guided_seg.session.store import Labels

Corrections = Literal["all", "forward"]


class FrameAnswer(NamedTuple):
    """A segmented frame of a video.

    Attributes:
        number: from 0.
        pixels: uint8 ``[H, W, 3]``, RGB.
        labels: uint8 ``[H, W]``.
        maps: the score map of each label, float32 ``[H, W]``.
    """

    number: int
    pixels: RGB
    labels: Labels
    maps: Maps


class Playing(Answering):
    """Images with their answers, and videos that are segmented frame by frame."""

    def segment_video(
        self,
        video_id: str,
        start: int = 0,
        corrections: Corrections = "all",
        memory: Memory = "none",
        backward: bool = False,
    ) -> Iterator[tuple[int, Labels]]:
        """Segment a video frame by frame and yield each frame number and label map. The next ones are read meanwhile.

        You may set dots between two frames, on the `frame` just yielded or on any other. They take effect from the
        next frame on. Each frame is encoded once.

        Args:
            video_id: id of a video.
            start: number of the first frame.
            corrections: dots on a frame of this video guide ``all`` frames, or only that frame and those that come
                later in this pass (``forward``).
            memory: previous-frame propagation, see `model.video.previous_frame.Memory`. Each edit resets it.
            backward: go from ``start`` down to frame 0, which a stream cannot. A video file is read forward again for
                each 256 MB of its frames (218 frames of 480 x 854), from its beginning, and that much is kept.

        Raises:
            UserError: an argument is invalid, or the network does not support this memory. During iteration: the
                video has no frame ``start``, or it is cut off. Label maps already yielded stay valid.
        """
        steps = self._pass_over(video_id, start, corrections, memory, backward)
        return ((frame.number, frame.labels) for frame in steps)

    def frames(self, video_id: str) -> Iterator[Frame]:
        """The frames of a video, as number and pixels. The next ones of a file are read meanwhile.

        Raises:
            UserError: there is no such video. During iteration: it has no frame, or is cut off.
        """
        return every_frame(self._video(video_id))

    def segment_frames(
        self,
        video_id: str,
        start: int = 0,
        corrections: Corrections = "all",
        memory: Memory = "none",
        backward: bool = False,
    ) -> Iterator[FrameAnswer]:
        """As `segment_video`, and yield pixels and scores of each frame as well; pixels are read only once."""
        return self._pass_over(video_id, start, corrections, memory, backward)

    def _pass_over(
        self, video_id: object, start: object, corrections: object, memory: object, backward: object
    ) -> Iterator[FrameAnswer]:
        """Check the arguments of `segment_video`, and begin."""
        video, name = self._video(video_id), str(video_id)
        first = whole_number(start, "start", least=0)
        one_of(corrections, "corrections", get_args(Corrections))
        memory = check_memory(memory, self._predictor.network)
        reverse = flag(backward, "backward")
        frames = video.backward(first) if reverse else video.frames(first)
        later = operator.lt if reverse else operator.gt
        return self._frame_by_frame(name, first, frames, later if corrections == "forward" else _never, memory)

    def _frame_by_frame(
        self, video_id: str, start: int, frames: Iterator[Frame], hides: Callable[[int, int], bool], memory: Memory
    ) -> Iterator[FrameAnswer]:
        """Segment frames. Dots on frame ``other`` do not guide frame ``index`` where ``hides(other, index)``."""
        video = self._video(video_id)
        self._check_labels()  # before a frame of the stream is consumed
        tracker, clock = Tracker(self._predictor, memory), self._annotations.clock
        index = None
        with closing(ahead(frames) if video.path else frames) as coming:  # type: ignore[type-var]
            for index, pixels in coming:
                name, passing = self._shown_frame(video_id, index, pixels)
                try:
                    if clock != self._annotations.clock:
                        tracker.forget()
                        clock = self._annotations.clock
                    hidden = self._hidden(video_id, index, hides)
                    answer = self._segment_frame(tracker, self._image(name, pixels), hidden)
                    yield FrameAnswer(index, pixels, *answer)
                finally:
                    if passing:
                        self._pass(name)
        if index is None:
            raise UserError(video.ended(start))

    def _shown_frame(self, video_id: str, index: int, pixels: RGB) -> tuple[str, bool]:
        """The id of a frame, and whether it is temporary."""
        name = f"{video_id}#{index}"
        if name in self._images:
            self._images[name].check_same(pixels)  # or features of other pixels would be reused
            return name, False
        self._passing.add(name)
        return self._add_frame(video_id, index, pixels), True

    def _pass(self, name: str) -> None:
        """Drop a temporary frame, unless it was ever annotated: redo may still need it."""
        self._passing.discard(name)
        if not self._annotations.knows(name):
            del self._images[name]
            self._predictor.forget(name)

    @torch.inference_mode()
    def _segment_frame(self, tracker: Tracker, frame: Image, hidden: frozenset[str]) -> tuple[Labels, Maps]:
        self._check_labels()
        with waiting(f"Segmenting {frame.key}"):
            return tracker.segment(frame, self._support(self._annotations, hidden), len(self.labels))

    def _hidden(self, video_id: str, index: int, hides: Callable[[int, int], bool]) -> frozenset[str]:
        """The annotated frames of a video that do not guide frame ``index``."""
        frames = {name: self._images[name].frame for name in self._annotations.images()}
        return frozenset(
            name for name, frame in frames.items() if frame and frame[0] == video_id and hides(frame[1], index)
        )


def _never(*_: int) -> bool:
    return False

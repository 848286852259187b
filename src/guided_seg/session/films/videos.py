"""Videos by reference: frames are read when they are needed, forward or backward, and not kept in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from guided_seg.errors import UserError, VideoWarning
from guided_seg.session.arguments import RGB, check_rgb
from guided_seg.session.films.ahead import Frame, ahead, warn
from guided_seg.session.films.containers import is_cut_off, utf8_name
from guided_seg.session.films.times import frame_times

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".wmv", ".ogv")
"""Suffixes by which video files are told from images."""

EXACT = 1e-4
"""Most seconds by which the time of a frame may differ from that in the container's tables."""

PART = 2**28
"""Most bytes of the frames of a file that are kept to be read backward."""


class Video(ABC):
    """A sequence of frames.

    Attributes:
        path: the file or folder; None for a stream, which can be read only once.
        rate: frames per second, as its header says; 0 if nothing says it.
    """

    path: Path | None = None
    rate: float = 0.0

    @abstractmethod
    def frames(self, start: int) -> Iterator[Frame]:
        """The frames from ``start`` on. Raises `UserError` if they cannot be read."""

    @abstractmethod
    def backward(self, start: int) -> Iterator[Frame]:
        """The frames from ``start`` down to 0; none if there is no frame ``start``.

        Raises:
            UserError: they cannot be read.
        """

    @abstractmethod
    def frame(self, index: int) -> RGB:
        """One frame. Raises `UserError` if it cannot be read."""

    def ended(self, start: int) -> str:
        """The error message if there is no frame from ``start`` on."""
        return f"The video {self.path} has no frame {start}, so there is nothing to segment; frames are counted from 0."


class VideoFile(Video):
    """A video file, read by OpenCV, which applies the rotation in the file and converts to 8 bits.

    Of MP4 and MOV files, reading begins at the key frame before the first frame that is asked for; of others, at the
    beginning of the file.

    Raises:
        UserError: the file cannot be opened, or no frame can be decoded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise UserError(f"There is no video {path}; give a video file or a folder of frames.")
        capture = self._open()
        try:
            if not capture.grab():
                raise UserError(f"No frame of the video {path} can be decoded; {self._advice()}.")
            self._frame_bytes = 3 * _pixels(capture)
        finally:
            capture.release()

    def _open(self) -> Any:
        import cv2

        capture = cv2.VideoCapture(utf8_name(str(self.path)))
        if not capture.isOpened():
            raise UserError(f"The video {self.path} cannot be opened; {self._advice()}.")
        self.rate = capture.get(cv2.CAP_PROP_FPS)
        return capture

    def _advice(self) -> str:
        assert self.path
        if not self.path.stat().st_size:
            return "the file is empty: copy it again"
        if is_cut_off(self.path):
            return "the file is cut off: copy it again, or record it again if it was cut off there"
        return "check that it plays and has pictures, and convert it, for instance with ffmpeg -i FILE NEW.mp4"

    def frames(self, start: int) -> Iterator[Frame]:
        """See `Video.frames`. Warns about frames that cannot be decoded; raises at the end if the file is truncated.

        The frame count in the header is not checked, since it can be wrong in intact files too.
        """
        import cv2

        capture, index = self._at(start)
        try:
            said = capture.get(cv2.CAP_PROP_FRAME_COUNT)
            grabbed = index > 0 or capture.grab()
            while grabbed:
                if index >= start and (frame := self._decoded(capture, index)) is not None:
                    yield index, frame
                grabbed, index = capture.grab(), index + 1
        finally:
            capture.release()
        if is_cut_off(self.path or Path()):
            announced = f"of {said:.0f} " if said > index else ""
            raise UserError(
                f"The video {self.path} breaks off after {index} {announced}frames; those before are fine, and their "
                "masks stay. The file is cut off: copy it again for the rest, or make a whole file of what there is "
                "with ffmpeg -i FILE -c copy NEW.mkv."
            )

    def backward(self, start: int) -> Iterator[Frame]:
        """See `Video.backward`. The frames are read forward, in parts of at most `PART` bytes, the last part first.

        Where frames cannot be sought by their times, each part is read from the beginning of the file.
        """
        room = max(1, PART // self._frame_bytes)
        for last in range(start, -1, -room):
            part = self._up_to(last, room)
            if part is None:
                return
            while part:
                yield part.pop()

    def _up_to(self, last: int, number: int) -> list[Frame] | None:
        """At most ``number`` frames up to number ``last``; None if the video ends before that one."""
        found: list[Frame] = []
        for index, pixels in self.frames(max(0, last + 1 - number)):
            if index <= last:  # frame ``last`` itself may be one that cannot be decoded
                found.append((index, pixels))
            if index >= last:
                return found
        return None

    def _at(self, start: int) -> tuple[Any, int]:
        """The opened file with its frame ``start`` grabbed, and that number; 0 if reading has to begin with the first.

        Seeking lands on another frame in some formats, so the frame is recognised by its time.
        """
        import cv2

        capture, times = self._open(), self._times
        if start <= 0 or times is None or start >= len(times):
            return capture, 0
        capture.grab()
        first = capture.get(cv2.CAP_PROP_POS_MSEC)
        capture.set(cv2.CAP_PROP_POS_FRAMES, max(0, int(times[start] * self.rate) - 2))
        while capture.grab():
            late = (capture.get(cv2.CAP_PROP_POS_MSEC) - first) / 1e3 - times[start]
            if abs(late) < EXACT:
                return capture, start
            if late > 0:
                break
        capture.release()
        return self._open(), 0

    @cached_property
    def _times(self) -> Float64[np.ndarray, " N"] | None:
        """When each frame is shown; None if that does not tell frames apart."""
        assert self.path
        times = frame_times(self.path)
        return times if times is not None and len(times) > 1 and np.diff(times).min() > 2 * EXACT else None

    def _decoded(self, capture: Any, index: int) -> RGB | None:
        import cv2

        try:
            found, image = capture.retrieve()
        except cv2.error:
            found, image = False, None
        if not found or image is None:
            warn(VideoWarning(f"Frame {index} of {self.path} cannot be decoded and is left out."))
            return None
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)

    def frame(self, index: int) -> RGB:
        """See `Video.frame`."""
        return _first(self.frames(index), index, str(self.path))


class FrameFolder(Video):
    """A folder with one image file per frame, in natural order.

    Raises:
        UserError: the folder holds no images.
    """

    def __init__(self, path: Path) -> None:
        from guided_seg.data.files.pairs import IMAGE_SUFFIXES, image_files

        self.path = path
        self._files = image_files(path)
        if not self._files:
            raise UserError(f"The folder {path} holds no frames; expected {', '.join(IMAGE_SUFFIXES)} files.")

    def frames(self, start: int) -> Iterator[Frame]:
        """See `Video.frames`."""
        from guided_seg.data.images import read_image

        return ((index, read_image(file)) for index, file in enumerate(self._files[start:], start))

    def backward(self, start: int) -> Iterator[Frame]:
        """See `Video.backward`."""
        from guided_seg.data.images import read_image

        numbers = range(start, -1, -1) if start < len(self._files) else ()
        return ((index, read_image(self._files[index])) for index in numbers)

    def frame(self, index: int) -> RGB:
        """See `Video.frame`."""
        return _first(self.frames(index), index, str(self.path))


class FrameStream(Video):
    """Frames that can be read only once, such as a camera's. A frame can be annotated while it is current."""

    def __init__(self, frames: Iterable[Any]) -> None:
        self._frames, self._next = iter(frames), 0

    def frames(self, start: int) -> Iterator[Frame]:
        """See `Video.frames`. Continues after the last frame read."""
        for frame in self._frames:
            self._next += 1
            if self._next > start:
                # a copy, since the iterable may reuse one array for all frames
                yield self._next - 1, check_rgb(f"frame {self._next - 1}", frame).copy()

    def backward(self, start: int) -> Iterator[Frame]:
        """Raises `UserError`: a stream has no way back."""
        raise UserError("A stream gives frames once, in their order; give the video as a file to go backward.")

    def ended(self, start: int) -> str:
        """See `Video.ended`."""
        return f"No frame from {start} on comes: a stream gives frames once, and its {self._next} have come."

    def frame(self, index: int) -> RGB:
        """See `Video.frame`."""
        raise UserError(
            f"Frame {index} of a stream cannot be had: frames come once, and {self._next} have come. Annotate a frame "
            "while it is shown, or give the video as a file."
        )


def announced_frames(path: Path) -> int | None:
    """The number of frames that a video file or folder announces, which may be wrong; None if it says nothing."""
    if path.is_dir():
        from guided_seg.data.files.pairs import image_files

        return len(image_files(path))
    import cv2

    capture = cv2.VideoCapture(utf8_name(str(path)))
    try:
        number = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    finally:
        capture.release()
    return number if 0 < number < 2**31 else None


def every_frame(video: Video) -> Iterator[Frame]:
    """The frames of a video, read ahead by a thread if it is no stream. Raises `UserError` if there is none."""
    index = None
    with closing(ahead(video.frames(0)) if video.path else video.frames(0)) as coming:  # type: ignore[type-var]
        for index, pixels in coming:
            yield index, pixels
    if index is None:
        raise UserError(video.ended(0))


def _pixels(capture: Any) -> int:
    import cv2

    height, width = capture.get(cv2.CAP_PROP_FRAME_HEIGHT), capture.get(cv2.CAP_PROP_FRAME_WIDTH)
    return int(height * width) or 1920 * 1080  # where a format does not say


def _first(frames: Iterator[Frame], index: int, path: str) -> RGB:
    found = next(frames, None) if index >= 0 else None
    if found is None:
        raise UserError(f"The video {path} has no frame {index}; frames are counted from 0.")
    if found[0] != index:
        raise UserError(f"Frame {index} of {path} cannot be decoded; annotate another one, such as {found[0]}.")
    return found[1]

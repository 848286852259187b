"""Images and videos of a session, by reference: pixels are read when an image has to be encoded, and not kept."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from guided_seg.errors import UserError

RGB = UInt8[np.ndarray, "H W 3"]

AHEAD = 4
"""Frames that are read while an earlier one is segmented."""


class Picture:
    """An image whose pixels can be had again.

    Args:
        name: for messages.
        read: gives the pixels.
        path: the file that they come from, or None where the session itself keeps them.
        pixels: what ``read`` gave when the image was added.
        frame: the video and the number of the frame that it is.
    """

    def __init__(
        self, name: str, read: Callable[[], RGB], path: Path | None, pixels: RGB, frame: tuple[str, int] | None = None
    ) -> None:
        self.name, self.path, self._read, self.frame = name, path, read, frame
        self.counted_as = frame[0] if frame else name
        height, width, _ = pixels.shape
        self.size = (height, width)
        self.checksum = zlib.crc32(pixels.tobytes())

    @classmethod
    def of(cls, name: str, image: str | Path | NDArray[Any]) -> Picture:
        """An image file, or an array, which is kept.

        Raises:
            UserError: the file cannot be read, or the array is no RGB image.
        """
        if isinstance(image, (str, Path)):
            from guided_seg.data.images import read_image  # OpenCV and Pillow come with the first file

            path = Path(image)
            return cls(name, lambda: read_image(path), path, read_image(path))
        pixels = check_rgb(name, image).copy()
        return cls(name, lambda: pixels, None, pixels)

    def read(self) -> RGB:
        """The pixels. Raises `UserError` where they are not those that were added."""
        pixels = self._read()
        if zlib.crc32(pixels.tobytes()) != self.checksum:
            raise UserError(
                f"The image {self.name!r} ({self.path}) changed since it was added; put the old file back, or add the "
                "new one under another name."
            )
        return pixels


def check_rgb(name: str, image: Any) -> RGB:
    """The array, contiguous. Raises `UserError` unless it is an RGB image."""
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or not array.size:
        raise UserError(f"The image {name!r} is {array.dtype} {array.shape}; expected uint8 (H, W, 3), RGB.")
    return np.ascontiguousarray(array)


Frame = tuple[int, RGB]
"""A frame's number, from 0, and its pixels."""


class Video(ABC):
    """Frames in order.

    Attributes:
        path: of the file or folder; None where frames come once.
    """

    path: Path | None = None

    @abstractmethod
    def frames(self, start: int) -> Iterator[Frame]:
        """The frames from ``start`` on. Raises `UserError` where they cannot be had."""

    @abstractmethod
    def frame(self, index: int) -> RGB:
        """One frame. Raises `UserError` where it cannot be had."""


class VideoFile(Video):
    """A video file, read by OpenCV.

    Raises:
        UserError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise UserError(f"There is no video {path}; give a video file or a folder of frames.")
        self._open().release()

    def _open(self) -> Any:
        import cv2

        capture = cv2.VideoCapture(str(self.path))
        if not capture.isOpened():
            raise UserError(f"The video {self.path} cannot be opened; convert it, for instance to MP4, or give frames.")
        return capture

    def frames(self, start: int) -> Iterator[Frame]:
        """See `Video.frames`; a file that says it has more frames than can be read is broken."""
        import cv2

        capture, index = self._open(), 0
        try:
            said = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            # not by seeking, which lands on another frame in some formats
            while capture.grab():
                if index >= start:
                    _, image = capture.retrieve()
                    yield index, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
                index += 1
        finally:
            capture.release()
        if index < said - max(2, said // 100):
            raise UserError(
                f"The video {self.path} breaks off after {index} of {said} frames; those before are fine, and their "
                "masks stay. Get the file again for the rest."
            )

    def frame(self, index: int) -> RGB:
        """See `Video.frame`."""
        return _first(self.frames(index), index, str(self.path))


class FrameFolder(Video):
    """A folder with a file for each frame, in natural order.

    Raises:
        UserError: there are none.
    """

    def __init__(self, path: Path) -> None:
        from guided_seg.data.files import IMAGE_SUFFIXES, image_files

        self.path = path
        self._files = image_files(path)
        if not self._files:
            raise UserError(f"The folder {path} holds no frames; expected {', '.join(IMAGE_SUFFIXES)} files.")

    def frames(self, start: int) -> Iterator[Frame]:
        """See `Video.frames`."""
        from guided_seg.data.images import read_image

        return ((index, read_image(file)) for index, file in enumerate(self._files[start:], start))

    def frame(self, index: int) -> RGB:
        """See `Video.frame`."""
        return _first(self.frames(index), index, str(self.path))


class FrameStream(Video):
    """Frames that come once, from a camera for instance; one can be annotated while it is shown."""

    def __init__(self, frames: Iterable[Any]) -> None:
        self._frames, self._next = iter(frames), 0

    def frames(self, start: int) -> Iterator[Frame]:
        """See `Video.frames`; goes on after the last frame that was given."""
        for frame in self._frames:
            self._next += 1
            if self._next > start:
                yield self._next - 1, check_rgb(f"frame {self._next - 1}", frame)

    def frame(self, index: int) -> RGB:
        """See `Video.frame`."""
        raise UserError(
            f"Frame {index} of a stream cannot be had: frames come once, and {self._next} have come. Annotate a frame "
            "while it is shown, or give the video as a file."
        )


def open_video(video: str | Path | Iterable[Any]) -> Video:
    """A file, a folder of frames, or anything that gives frames.

    Raises:
        UserError: the file or folder cannot be used.
    """
    if not isinstance(video, (str, Path)):
        return FrameStream(video)
    path = Path(video)
    return FrameFolder(path) if path.is_dir() else VideoFile(path)


def ahead(frames: Iterator[Frame], number: int = AHEAD) -> Iterator[Frame]:
    """The same frames, read by a thread while earlier ones are worked on; an error comes in its place."""
    queue: Queue[Frame | Exception | None] = Queue(number)
    stop = Event()

    def read() -> None:
        end: Exception | None = None
        try:
            for frame in frames:
                queue.put(frame)
                if stop.is_set():
                    return
        except Exception as error:  # noqa: BLE001  raised where the frame is waited for
            end = error
        queue.put(end)

    thread = Thread(target=read, daemon=True)
    thread.start()
    try:
        while (found := queue.get()) is not None:
            if isinstance(found, Exception):
                raise found
            yield found
    finally:
        stop.set()
        while thread.is_alive():
            while not queue.empty():
                queue.get_nowait()
            thread.join(0.01)


def _first(frames: Iterator[Frame], index: int, path: str) -> RGB:
    found = next(frames, None) if index >= 0 else None
    if found is None:
        raise UserError(f"The video {path} has no frame {index}; frames are counted from 0.")
    return found[1]

"""Images and videos of a session, by reference: pixels are read when an image has to be encoded, and not kept."""

from __future__ import annotations

import warnings
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from typing import Any

import numpy as np

from guided_seg.errors import UserError, VideoWarning, why_unreadable
from guided_seg.session.arguments import RGB, check_rgb, is_path, local_path, shown
from guided_seg.session.containers import is_cut_off, utf8_name

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
    def of(cls, name: str, image: object) -> Picture:
        """An image file, or an array, which is kept.

        Raises:
            UserError: the file cannot be read, or the array is no RGB image.
        """
        if is_path(image):
            from guided_seg.data.images import read_image  # OpenCV and Pillow come with the first file

            path = local_path(image, f"The image {name!r}")
            return cls(name, partial(read_image, path), path, read_image(path))
        pixels = check_rgb(f"image {name!r}", image).copy()
        return cls.kept(name, pixels)

    @classmethod
    def kept(cls, name: str, pixels: RGB, frame: tuple[str, int] | None = None) -> Picture:
        """An image whose pixels the session keeps."""
        return cls(name, partial(_itself, pixels), None, pixels, frame)

    def read(self) -> RGB:
        """The pixels. Raises `UserError` where they are not those that were added."""
        pixels = self._read()
        self.check_same(pixels)
        return pixels

    def check_same(self, pixels: RGB) -> None:
        """Raise `UserError` unless these are the pixels that were added."""
        if zlib.crc32(pixels.tobytes()) != self.checksum:
            raise UserError(
                f"The image {self.name!r} ({self.path}) changed since it was added; put the old file back, or add the "
                "new one under another name."
            )


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

    def ended(self, start: int) -> str:
        """A sentence for a pass that finds no frame from ``start`` on."""
        return f"The video {self.path} has no frame {start}, so there is nothing to segment; frames are counted from 0."


class VideoFile(Video):
    """A video file, read by OpenCV, which turns the frames as the file says and makes 8 bits of more.

    Raises:
        UserError: it cannot be opened, or none of its frames can be decoded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise UserError(f"There is no video {path}; give a video file or a folder of frames.")
        capture = self._open()
        try:
            if not capture.grab():
                raise UserError(f"No frame of the video {path} can be decoded; {self._advice()}.")
        finally:
            capture.release()

    def _open(self) -> Any:
        import cv2

        capture = cv2.VideoCapture(utf8_name(str(self.path)))
        if not capture.isOpened():
            raise UserError(f"The video {self.path} cannot be opened; {self._advice()}.")
        return capture

    def _advice(self) -> str:
        assert self.path
        if not self.path.stat().st_size:
            return "the file is empty: copy it again"
        if is_cut_off(self.path):
            return "the file is cut off: copy it again, or record it again if it was cut off there"
        return "check that it plays and has pictures, and convert it, for instance with ffmpeg -i FILE NEW.mp4"

    def frames(self, start: int) -> Iterator[Frame]:
        """See `Video.frames`; warns of a frame that cannot be decoded, and ends with an error if the file is cut off.

        The number of frames in the file's header is not checked: it is an estimate in whole files, too.
        """
        import cv2

        capture, index = self._open(), 0
        try:
            said = capture.get(cv2.CAP_PROP_FRAME_COUNT)
            # not by seeking, which lands on another frame in some formats
            while capture.grab():
                if index >= start and (frame := self._decoded(capture, index)) is not None:
                    yield index, frame
                index += 1
        finally:
            capture.release()
        if is_cut_off(self.path or Path()):
            announced = f"of {said:.0f} " if said > index else ""
            raise UserError(
                f"The video {self.path} breaks off after {index} {announced}frames; those before are fine, and their "
                "masks stay. The file is cut off: copy it again for the rest, or make a whole file of what there is "
                "with ffmpeg -i FILE -c copy NEW.mkv."
            )

    def _decoded(self, capture: Any, index: int) -> RGB | None:
        import cv2

        try:
            found, image = capture.retrieve()
        except cv2.error:
            found, image = False, None
        if not found or image is None:
            message = f"Frame {index} of {self.path} cannot be decoded and is left out."
            warnings.warn(message, VideoWarning, stacklevel=2)
            return None
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)

    def frame(self, index: int) -> RGB:
        """See `Video.frame`."""
        return _first(self.frames(index), index, str(self.path))


class FrameFolder(Video):
    """A folder with a file for each frame, in natural order.

    Raises:
        UserError: there are none.
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
                # a copy, as whoever gives frames may fill one array again and again
                yield self._next - 1, check_rgb(f"frame {self._next - 1}", frame).copy()

    def ended(self, start: int) -> str:
        """See `Video.ended`."""
        return f"No frame from {start} on comes: a stream gives frames once, and its {self._next} have come."

    def frame(self, index: int) -> RGB:
        """See `Video.frame`."""
        raise UserError(
            f"Frame {index} of a stream cannot be had: frames come once, and {self._next} have come. Annotate a frame "
            "while it is shown, or give the video as a file."
        )


def open_video(video: object) -> Video:
    """A file, a folder of frames, or anything that gives frames.

    Raises:
        UserError: the file or folder cannot be used, or it is neither of these.
    """
    if not is_path(video):
        if not isinstance(video, Iterable) or isinstance(video, (dict, set)):
            raise UserError(
                f"The video is {shown(video)}; expected a video file, a folder of frames or an iterable of frames. For "
                "a camera give a generator that reads it with cv2.VideoCapture and yields each frame as RGB."
            )
        return FrameStream(video)
    path = local_path(video, "The video")
    try:
        return FrameFolder(path) if path.is_dir() else VideoFile(path)
    except OSError as error:
        raise UserError(why_unreadable(path, error)) from error


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
    if found[0] != index:
        raise UserError(f"Frame {index} of {path} cannot be decoded; annotate another one, such as {found[0]}.")
    return found[1]


def _itself(pixels: RGB) -> RGB:
    """A function that can be pickled, as a lambda cannot."""
    return pixels

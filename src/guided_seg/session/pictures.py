"""Images and videos by reference: pixels are read when an image is encoded, and not kept in memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from guided_seg.errors import UserError, why_unreadable
from guided_seg.session.arguments import RGB, check_rgb, is_path, local_path, shown
from guided_seg.session.films.videos import FrameFolder, FrameStream, Video, VideoFile


class Picture:
    """An image whose pixels can be read repeatedly.

    Args:
        name: id of the image, for messages.
        read: returns the pixels.
        path: source file; None if the session holds the pixels.
        pixels: the pixels at the time the image was added.
        frame: video id and frame number, if the image is a frame.
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
        """A picture of an image file, or of an array, which is copied.

        Raises:
            UserError: the file cannot be read, or the array is not an RGB image.
        """
        if is_path(image):
            from guided_seg.data.images import read_image  # imports OpenCV and Pillow, so only when needed

            path = local_path(image, f"The image {name!r}")
            return cls(name, partial(read_image, path), path, read_image(path))
        pixels = check_rgb(f"image {name!r}", image).copy()
        return cls.kept(name, pixels)

    @classmethod
    def kept(cls, name: str, pixels: RGB, frame: tuple[str, int] | None = None) -> Picture:
        """A picture whose pixels stay in memory."""
        return cls(name, partial(_itself, pixels), None, pixels, frame)

    def read(self) -> RGB:
        """The pixels. Raises `UserError` if they changed since the image was added."""
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


def open_video(video: object) -> Video:
    """Open a video file, a folder of frames, or an iterable of frames.

    Raises:
        UserError: the file or folder cannot be used, or ``video`` is none of these.
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


def _itself(pixels: RGB) -> RGB:
    """Return the pixels. A function, since a lambda cannot be pickled."""
    return pixels

"""What a session is about, without any network: images, videos, labels, and what has been annotated."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import ArrayLike, NDArray

from guided_seg.episode import IGNORE
from guided_seg.errors import UserError
from guided_seg.session.annotations import Annotations, Pixel
from guided_seg.session.pictures import RGB, Picture, Video, open_video

Labels = UInt8[np.ndarray, "H W"]

NEGATIVE = "negative"
"""The label 0 that every session has: what is not to be segmented."""


class Store:
    """Images, videos and labels by name, dots and masks on images and frames.

    Args:
        together: see `Annotations`.

    Attributes:
        labels: in the order of their numbers; the first is `NEGATIVE`.
    """

    def __init__(self, together: bool = False) -> None:
        self.labels = [NEGATIVE]
        self._images: dict[str, Picture] = {}
        self._videos: dict[str, Video] = {}
        self._annotations = Annotations(together)

    @property
    def images(self) -> list[str]:
        """The images, and the frames of videos that are annotated or were asked for, in the order they came."""
        return list(self._images)

    @property
    def videos(self) -> list[str]:
        """The videos in the order in which they came."""
        return list(self._videos)

    def dots(self, image_id: str) -> list[tuple[int, int, str]]:
        """The dots of an image, as row, column and label."""
        return [(row, column, self.labels[label]) for row, column, label in self.annotation(image_id)[1]]

    def add_image(self, image_id: str, image: str | Path | NDArray[Any]) -> None:
        """Add an image; its dots and those of all others can then be set in any order.

        Args:
            image_id: a name of its own.
            image: a file, or uint8 ``[H, W, 3]``, RGB, which is copied.

        Raises:
            UserError: the name is taken, the file cannot be read, or the array is no RGB image.
        """
        self._check_free(image_id)
        self._images[image_id] = Picture.of(image_id, image)

    def add_video(self, video_id: str, video: str | Path | Iterable[NDArray[Any]]) -> None:
        """Add a video, of which no more than a few frames are in memory at any time.

        Args:
            video_id: a name of its own.
            video: a video file, a folder of frames, or anything that gives uint8 ``[H, W, 3]`` frames, RGB, once.

        Raises:
            UserError: the name is taken, or the video cannot be opened.
        """
        self._check_free(video_id)
        self._videos[video_id] = open_video(video)

    def add_label(self, name: str) -> str:
        """A further thing to segment, which needs no dots yet; its number is its place in ``labels``.

        Raises:
            UserError: there is one of that name, or there are as many as a label map can hold.
        """
        if name in self.labels:
            raise UserError(f"There is a label {name!r} already; labels are {', '.join(self.labels)}.")
        if len(self.labels) == IGNORE:
            raise UserError(f"There are {IGNORE} labels, as many as a label map of bytes can tell apart.")
        self.labels.append(name)
        return name

    def frame(self, video_id: str, index: int) -> str:
        """The id under which a frame is annotated and segmented as any image.

        Args:
            video_id: of `add_video`.
            index: of the frame, from 0. Of frames that come once it is the one that `segment_video` gave last.

        Raises:
            UserError: there is no such video or frame.
        """
        video, name = self._video(video_id), f"{video_id}#{index}"
        return name if name in self._images else self._add_frame(video_id, index, video.frame(index))

    # ---- what is annotated ----

    def annotation(self, image_id: str) -> tuple[Labels | None, list[tuple[int, int, int]]]:
        """An image's masks as one label map, or None, and its dots as row, column and number of the label.

        Raises:
            UserError: there is no such image.
        """
        self.picture(image_id)
        return self._annotations.painted(image_id), self._annotations.points(image_id)

    def dot(self, image_id: str, row: int, column: int, label: str) -> None:
        """Say that a pixel has a label, `NEGATIVE` included; an earlier dot there is replaced.

        Raises:
            UserError: there is no such image or label, or the pixel lies outside the image.
        """
        self._annotations.dot(image_id, self._pixel(image_id, row, column), self._number(label))

    def move(self, image_id: str, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Move a dot from one (row, column) to another; a dot that is there is replaced.

        Raises:
            UserError: there is no such image, no dot at ``start``, or ``end`` lies outside the image.
        """
        pixel = self._pixel(image_id, *start)
        if pixel not in {dot[:2] for dot in self.dots(image_id)}:
            raise UserError(f"There is no dot at row {start[0]}, column {start[1]} of {image_id!r} to move.")
        self._annotations.move(image_id, pixel, self._pixel(image_id, *end))

    def remove(self, image_id: str, row: int, column: int) -> None:
        """Take the dot at a pixel away, if there is one.

        Raises:
            UserError: there is no such image, or the pixel lies outside it.
        """
        self._annotations.dot(image_id, self._pixel(image_id, row, column), None)

    def mask(self, image_id: str, pixels: ArrayLike, label: str) -> None:
        """Say that many pixels have a label; what was said of them before is replaced.

        Args:
            image_id: of which image.
            pixels: ``[H, W]``, true or not 0 where the label is.
            label: of ``labels``.

        Raises:
            UserError: there is no such image or label, or the mask has another size than the image.
        """
        size, marked = self.picture(image_id).size, np.asarray(pixels) != 0
        if marked.shape != size:
            raise UserError(f"The mask is {marked.shape} but the image {image_id!r} is {size}; give one of its size.")
        self._annotations.paint(image_id, marked, self._number(label))

    def forget_history(self) -> None:
        """Begin anew what `undo` can take back."""
        self._annotations.forget_history()

    def clear(self, image_id: str | None = None) -> None:
        """Take all dots and masks of an image away, or of all images.

        Raises:
            UserError: there is no such image.
        """
        if image_id is not None:
            self.picture(image_id)
        self._annotations.clear([image_id] if image_id is not None else self._annotations.images())

    def undo(self) -> bool:
        """Take the last change of dots and masks back; False where there is none to take back."""
        return self._annotations.undo()

    def redo(self) -> bool:
        """Do again what was undone last; False where there is nothing to do again."""
        return self._annotations.redo()

    def video_files(self) -> dict[str, Path]:
        """The videos that can be opened again, and where they are."""
        return {name: video.path for name, video in self._videos.items() if video.path}

    def picture(self, image_id: str) -> Picture:
        """An image and where its pixels come from. Raises `UserError` where there is none of that name."""
        if image_id not in self._images:
            raise UserError(f"There is no image {image_id!r}; there are: {_names(self._images, 'add_image adds one')}.")
        return self._images[image_id]

    def _video(self, video_id: str) -> Video:
        if video_id not in self._videos:
            raise UserError(f"There is no video {video_id!r}; there are: {_names(self._videos, 'add_video adds one')}.")
        return self._videos[video_id]

    def _check_free(self, name: str) -> None:
        if name in self._images or name in self._videos:
            raise UserError(f"There is an image or video {name!r} already; give each a name of its own.")

    def _pixel(self, image_id: str, row: int, column: int) -> Pixel:
        height, width = self.picture(image_id).size
        if not (0 <= row < height and 0 <= column < width):
            raise UserError(
                f"The dot at row {row}, column {column} lies outside its {height} x {width} image {image_id!r}; "
                f"rows go from 0 to {height - 1} and columns from 0 to {width - 1}."
            )
        return int(row), int(column)

    def _number(self, label: str) -> int:
        if label not in self.labels:
            raise UserError(f"There is no label {label!r}; labels are {', '.join(self.labels)}; add_label makes more.")
        return self.labels.index(label)

    def _add_frame(self, video_id: str, index: int, pixels: RGB) -> str:
        """Keep a frame under its id; its pixels too where they cannot be had again."""
        video, name = self._videos[video_id], f"{video_id}#{index}"
        kept = None if video.path else pixels.copy()

        def read() -> RGB:
            return video.frame(index) if kept is None else kept

        self._images[name] = Picture(name, read, video.path, pixels, (video_id, index))
        return name


def _names(known: Iterable[str], otherwise: str) -> str:
    return ", ".join(known) or f"none; {otherwise}"

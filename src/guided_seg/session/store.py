"""The data of a session, without a network: images, videos and labels, and reading their annotations."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from guided_seg.episode import IGNORE
from guided_seg.errors import UserError
from guided_seg.session.annotations import Annotations
from guided_seg.session.arguments import RGB, shown, text, whole_number
from guided_seg.session.films.videos import Video
from guided_seg.session.pictures import Picture, open_video

Labels = UInt8[np.ndarray, "H W"]

NEGATIVE = "negative"
"""Label 0, which every session has: the background."""


SHOWN = 10
"""Largest number of names listed in a message."""


class Store:
    """Images, videos and labels by name, and what is annotated on images and frames.

    An invalid argument raises a `UserError` and changes nothing.

    Args:
        together: see `Annotations`.
    """

    def __init__(self, together: bool = False) -> None:
        self._images: dict[str, Picture] = {}
        self._videos: dict[str, Video] = {}
        self._passing: set[str] = set()  # temporary frames, dropped once the next one is read
        self._annotations = Annotations(together)
        self._annotations.names.append(NEGATIVE)

    @property
    def _labels(self) -> list[str]:
        return self._annotations.names

    @property
    def labels(self) -> list[str]:
        """The names of the labels; the index is the label's number, and the first is `NEGATIVE`."""
        return list(self._labels)

    @property
    def images(self) -> list[str]:
        """The ids of images, and of frames that were annotated or requested by `frame`, in the order of addition."""
        return [name for name in self._images if name not in self._passing or self._annotations.knows(name)]

    @property
    def videos(self) -> list[str]:
        """The ids of the videos, in the order of addition."""
        return list(self._videos)

    @property
    def annotated(self) -> list[str]:
        """The ids of the images with dots or masks, in the order of their first annotation."""
        return self._annotations.images()

    @property
    def can_undo(self) -> bool:
        """Whether `undo` would undo something."""
        return self._annotations.steps[0] > 0

    @property
    def can_redo(self) -> bool:
        """Whether `redo` would redo something."""
        return self._annotations.steps[1] > 0

    def path_of(self, name: str) -> Path | None:
        """The file or folder of an image or video; None if its pixels came from Python.

        Raises:
            UserError: there is no such image or video.
        """
        return self._videos[name].path if name in self._videos else self.picture(name).path

    def frame_pixels(self, video_id: str, index: int) -> RGB:
        """The pixels of a video frame, which does not become an image of the session. See `frame` for the arguments."""
        return self._video(video_id).frame(whole_number(index, "The number of a frame", least=0))

    def dots(self, image_id: str) -> list[tuple[int, int, str]]:
        """The dots of an image as (row, column, label name)."""
        return [(row, column, self._labels[label]) for row, column, label in self.annotation(image_id)[1]]

    def add_image(self, image_id: str, image: str | PathLike[str] | NDArray[Any]) -> None:
        """Add an image.

        Args:
            image_id: a unique name, and not that of a frame of a video, such as ``clip#0``.
            image: a file, or uint8 ``[H, W, 3]`` RGB, which is copied.

        Raises:
            UserError: the name is taken, the file cannot be read, or the array is not an RGB image.
        """
        name = self._new_name(image_id, "The id of an image")
        self._images[name] = Picture.of(name, image)

    def add_video(self, video_id: str, video: str | PathLike[str] | Iterable[NDArray[Any]]) -> None:
        """Add a video. At most a few of its frames are in memory at any time.

        Args:
            video_id: a unique name.
            video: a video file, a folder of frames, or an iterable of frames, uint8 ``[H, W, 3]`` RGB.

        Raises:
            UserError: the name is taken, or the video cannot be opened.
        """
        name = self._new_name(video_id, "The id of a video", video=True)
        self._videos[name] = open_video(video)

    def add_label(self, name: str) -> str:
        """Add a label and return its name. Its number is its index in ``labels``.

        Raises:
            UserError: the name is taken, or there are already as many labels as a label map can hold.
        """
        name = self._new_label(name)
        if len(self._labels) == IGNORE:
            raise UserError(f"There are {IGNORE} labels, as many as a label map of bytes can tell apart.")
        self._labels.append(name)
        return name

    def _new_label(self, name: object) -> str:
        """Check that no label has this name."""
        name = text(name, "The name of a label")
        if name in self._labels:
            raise UserError(f"There is a label {name!r} already; labels are {', '.join(self._labels)}.")
        return name

    def frame(self, video_id: str, index: int) -> str:
        """The id of a video frame. With it, the frame can be annotated and segmented like any image.

        Args:
            video_id: id of a video.
            index: number of the frame, from 0. For a stream, only the frame that `segment_video` yielded last.

        Raises:
            UserError: there is no such video or frame.
        """
        video, index = self._video(video_id), whole_number(index, "The number of a frame", least=0)
        name = f"{video_id}#{index}"
        return name if name in self._images else self._add_frame(video_id, index, video.frame(index))

    def frame_rate(self, video_id: str) -> float:
        """The frames per second of a video; 25 if it does not say a usable number. Raises `UserError` if unknown."""
        rate = self._video(video_id).rate  # some headers count ticks instead
        return rate if 1 <= rate <= 240 else 25.0

    def follow(self, other: Store) -> None:
        """Take over the images, videos, labels, dots and masks of another session, in place of what is here.

        Pixels are shared, not read again. Only what differs since the last call is computed again, so that two
        networks can answer the same annotations. The undo history is cleared.

        Raises:
            UserError: ``other`` is no session.
        """
        if not isinstance(other, Store):
            raise UserError(f"The session to follow is {shown(other)}; expected a session, as Session.load makes one.")
        self._videos = dict(other._videos)
        self._images = {name: other.picture(name) for name in other.images}
        self._passing.clear()
        self._annotations.follow(other._annotations)

    # ---- annotations ----

    def annotation(self, image_id: str) -> tuple[Labels | None, list[tuple[int, int, int]]]:
        """The masks of an image as a label map, or None, and its dots as (row, column, label number).

        Raises:
            UserError: there is no such image.
        """
        self.picture(image_id)
        return self._annotations.painted(image_id), self._annotations.points(image_id)

    def why_taken(self, name: str, video: bool = False) -> str | None:
        """Why a new image, or a new video, cannot have this id; None if it can."""
        if name in self._images or name in self._videos:
            return f"There is an image or video {name!r} already; give each a name of its own."
        if (of := _frame_of(name)) in self._videos:
            return f"{name!r} is the id of a frame of the video {of!r}; choose another."
        if video and (taken := next((own for own in (*self._images, *self._videos) if _frame_of(own) == name), None)):
            return (
                f"The frames of a video {name!r} would have ids such as {taken!r}, which is taken; choose another id."
            )
        return None

    def video_files(self) -> dict[str, Path]:
        """The videos that can be opened again, with their paths."""
        return {name: video.path for name, video in self._videos.items() if video.path}

    def picture(self, image_id: str) -> Picture:
        """The `Picture` of an image. Raises `UserError` if there is no such image."""
        return self._images[_known(image_id, self._images, "image")]

    def _video(self, video_id: object) -> Video:
        return self._videos[_known(video_id, self._videos, "video")]

    def _new_name(self, name: object, what: str, video: bool = False) -> str:
        """Check that an id does not clash with any image, video or frame."""
        name = text(name, what)
        if reason := self.why_taken(name, video):
            raise UserError(reason)
        return name

    def _number(self, label: object) -> int:
        """The number of a label, given by name or number."""
        known = ", ".join(self._labels)
        if isinstance(label, str):
            if label not in self._labels:
                raise UserError(f"There is no label {label!r}; labels are {known}; add_label makes more.")
            return self._labels.index(label)
        number = whole_number(label, "A label that is given by its number")
        if not 0 <= number < len(self._labels):
            raise UserError(
                f"There is no label {number}; labels are {known}, with numbers from 0 to {len(self._labels) - 1}; "
                "add_label makes more."
            )
        return number

    def _add_frame(self, video_id: str, index: int, pixels: RGB) -> str:
        """Add a frame as an image. Its pixels are kept only if they cannot be read again."""
        video, name = self._videos[video_id], f"{video_id}#{index}"
        frame = (video_id, index)
        if video.path is None:
            self._images[name] = Picture.kept(name, pixels.copy(), frame)
        else:
            self._images[name] = Picture(name, partial(video.frame, index), video.path, pixels, frame)
        return name


def _frame_of(name: str) -> str | None:
    """The video id in a frame id; None if ``name`` is not a frame id.

    Example:
        >>> _frame_of("clip#12"), _frame_of("clip#twelve")
        ('clip', None)
    """
    video, mark, number = name.rpartition("#")
    return video if mark and number.isdecimal() else None


def _known(name: object, known: Collection[str], kind: str) -> str:
    if not isinstance(name, str) or name not in known:
        found = repr(name) if isinstance(name, str) else f"{shown(name)}; ids are text"
        raise UserError(f"There is no {kind} {found}; there are: {_names(known, f'add_{kind} adds one')}.")
    return name


def _names(known: Collection[str], otherwise: str) -> str:
    few = ", ".join(islice(known, SHOWN))
    return f"{few} and {len(known) - SHOWN} more" if len(known) > SHOWN else few or f"none; {otherwise}"

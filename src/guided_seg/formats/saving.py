"""Segment the images or videos of a session one after another, and hand them to a format."""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from guided_seg.data.sources.classes import unknown
from guided_seg.errors import UserError
from guided_seg.files.disk import disk_refusals
from guided_seg.formats.naming import class_names, kept_names, safe_names
from guided_seg.formats.registry import FORMATS
from guided_seg.formats.segmented import Format, Segmented
from guided_seg.formats.unfinished import filling
from guided_seg.session import Session
from guided_seg.session.arguments import local_path
from guided_seg.session.pictures import Picture
from guided_seg.session.playing import FrameAnswer

log = logging.getLogger(__name__)


class Step(NamedTuple):
    """An image or a frame that is done.

    Attributes:
        done: how many are, with this one.
        total: how many there will be; None for videos, whose length is known at their end.
        image: its id.
        fault: why it was left out; empty if it was written.
    """

    done: int
    total: int | None
    image: str
    fault: str = ""


Progress = Callable[[Step], None]

_Frames = Iterator[FrameAnswer]
_Attempt = tuple[str, Segmented | UserError]


def write(
    session: Session,
    folder: str | PathLike[str],
    format: str,  # noqa: A002
    names: str | Iterable[str] | None = None,
    progress: Progress | None = None,
    annotated: bool = False,
    refined: bool = False,
) -> list[Path]:
    """Segment images or videos of a session and write them in the format of another tool.

    An image that cannot be read is logged and left out. A call that was stopped can be repeated: it fills the folder
    again, as long as the annotations are the same.

    Args:
        session: the session, with a label and dots or masks.
        folder: a new or an empty folder, or one that the same call began to fill.
        format: a name in `FORMATS`.
        names: ids of the images, or for ``davis`` and ``video`` of the videos. None for all videos, or for all images
            and annotated frames.
        progress: called after each image or frame. What it raises stops the work.
        annotated: leave out images without dots and masks, and videos without such a frame.
        refined: write refined answers (`Session.refined`), which take longer; for images only.

    Returns:
        The files.

    Raises:
        UserError: before anything is written: there is no such format, image or video; the session has no label or no
            dots; nothing chosen is annotated; refined answers of videos; the folder is not empty. Or: no image could
            be read, or the disk does not take the files.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    kind, where = FORMATS[format], local_path(folder, "The folder")
    _check_annotated(session)
    if refined and kind.of == "videos":
        images = ", ".join(each.name for each in FORMATS.values() if each.of == "images")
        raise UserError(
            f"The format {kind.name} is of videos, and refined answers are of images; leave out refined, or choose one "
            f"of {images}."
        )
    chosen = _chosen(session, kind, names, annotated)
    work = _Work(session, kind, chosen, refined, progress)
    with disk_refusals(where, "folder"), filling(where, _checksum(session, kind, chosen, refined)):
        written = list(kind.write(where, work, class_names(session.labels)))
        work.check_any()
    return written


def _check_annotated(session: Session) -> None:
    if len(session.labels) < 2:
        raise UserError("The session has no labels, so there is nothing to write; add_label names what to segment.")
    if not any(_is_annotated(session, name) for name in session.images):
        raise UserError("The session has no dots or masks, so there is nothing to write; annotate at least one image.")


def _is_annotated(session: Session, name: str) -> bool:
    mask, dots = session.annotation(name)
    return mask is not None or bool(dots)


def _chosen(session: Session, kind: Format, names: str | Iterable[str] | None, annotated: bool) -> list[str]:
    """The ids of what to write, which `_Work` checks."""
    if names is not None:
        found = list(dict.fromkeys([names] if isinstance(names, str) else names))
    elif kind.of == "videos":
        found = session.videos
    else:
        found = [name for name in session.images if not session.picture(name).frame or _is_annotated(session, name)]
    if not found:
        there = (
            f"the session has none, so choose another format than {kind.name}" if names is None else "names is empty"
        )
        raise UserError(f"There are no {kind.of} to write: {there}.")
    if not annotated:
        return found
    with_dots = [name for name in found if _has_annotation(session, kind, name)]
    if not with_dots:
        raise UserError(
            f"None of the {len(found):,} {kind.of} to write is annotated; annotate one, or write the others too."
        )
    return with_dots


def _has_annotation(session: Session, kind: Format, name: str) -> bool:
    """Whether an image has dots or masks, or a video a frame that has; also true if there is no such video."""
    if kind.of == "images":
        return _is_annotated(session, name)
    frames = (each for each in session.annotated if (frame := session.picture(each).frame) and frame[0] == name)
    return name not in session.videos or any(frames)


class _Work:
    """The chosen images with their label maps, segmented while they are iterated over, once.

    Raises:
        UserError: there is no such image or video.
    """

    def __init__(
        self, session: Session, kind: Format, chosen: Sequence[str], refined: bool, progress: Progress | None
    ) -> None:
        self._session, self._kind, self._progress = session, kind, progress
        self._answer = session.refined if refined else session.segment
        # of all, so that the file name of one does not depend on which others are written with it
        every = dict.fromkeys([*session.images, *session.videos, *chosen])
        own = kind.of == "images" and not kind.listed
        self._files = kept_names({each: _file_name(session, each) for each in every}) if own else safe_names(every)
        self._total: int | None
        if kind.of == "videos":
            self._total, attempts = None, self._frames({name: session.segment_frames(name) for name in chosen})
        else:
            self._total, attempts = len(chosen), self._images({name: session.picture(name) for name in chosen})
        self._attempts, self._any, self._fault = attempts, False, ""

    def __iter__(self) -> Iterator[Segmented]:
        for done, (name, found) in enumerate(self._attempts, 1):
            fault = str(found) if isinstance(found, UserError) else self._kind.refuses(found.labels)
            if fault:
                self._fault = self._fault or fault
                log.warning("Left out %s: %s", name, fault)
            elif not isinstance(found, UserError):
                self._any = True
                yield found
            if self._progress:
                self._progress(Step(done, self._total, name, fault))

    def check_any(self) -> None:
        """Raise `UserError` if everything was left out."""
        if not self._any:
            raise UserError(f"Nothing could be written. {self._fault}")

    def _images(self, pictures: Mapping[str, Picture]) -> Iterator[_Attempt]:
        for name, picture in pictures.items():
            try:
                pixels, labels = picture.read(), self._answer(name)
            except UserError as error:
                yield name, error
            else:
                file = None if picture.frame else picture.path
                yield name, Segmented(name, self._files[name], pixels, labels, file=file)

    def _frames(self, videos: Mapping[str, _Frames]) -> Iterator[_Attempt]:
        for video, frames in videos.items():
            rate = self._session.frame_rate(video)
            try:
                for frame in frames:
                    name, file = f"{video}#{frame.number}", f"{self._files[video]}/{frame.number:05d}"
                    yield name, Segmented(name, file, frame.pixels, frame.labels, rate)
            except UserError as error:
                yield video, error


def _file_name(session: Session, name: str) -> str:
    """The name of the file of an image; empty if it has none."""
    picture = session.picture(name) if name in session.images else None
    return picture.path.name if picture and picture.path and not picture.frame else ""


def _checksum(session: Session, kind: Format, chosen: Sequence[str], refined: bool) -> str:
    """A checksum of all that the result depends on."""
    images = []
    for name in session.images:
        mask, dots = session.annotation(name)
        images.append(
            (
                name,
                _file_name(session, name),
                session.picture(name).checksum,
                mask is not None and zlib.crc32(mask.tobytes()),
                dots,
            )
        )
    model = session.model.sha256 if session.model else None
    return sha256(json.dumps([kind.name, model, session.labels, chosen, refined, images]).encode()).hexdigest()

"""The images and frames to write, in order, each with its file name and a function that reads its pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from guided_seg.data.files.pairs import image_files
from guided_seg.data.images import read_image
from guided_seg.errors import UserError
from guided_seg.formats.naming import kept_names, safe_names
from guided_seg.formats.segmented import Format
from guided_seg.session import Session
from guided_seg.session.arguments import RGB
from guided_seg.session.films.ahead import Frame
from guided_seg.session.films.videos import VIDEO_SUFFIXES, Video, every_frame
from guided_seg.session.pictures import open_video


class Input(NamedTuple):
    """An image or a frame that is to be segmented.

    Attributes:
        image: its id.
        name: its file name without a suffix, unique in the result; ``VIDEO/00012`` for a frame of a whole video.
        read: returns its pixels. Raises `UserError`.
        version: changes when its pixels change; empty if they come only once.
        own: whether the session has it, so that its annotations are its own.
        rate: frames per second of its video.
        file: the image file that it is read from; None for frames and arrays.
    """

    image: str
    name: str
    read: Callable[[], RGB]
    version: str
    own: bool
    rate: float = 25.0
    file: Path | None = None


Unread = tuple[str, UserError]
"""The id of a video, and why it ends here."""


class Inputs:
    """The chosen images, or frames of videos, while they are iterated over, once.

    Args:
        session: the session.
        kind: the format.
        chosen: ids of images or videos of the session, or of ``files``.
        files: further images and videos: id -> file, or folder of frames.

    Attributes:
        total: how many there are; None if there are videos, whose length is known at their end.

    Raises:
        UserError: there is no such image or video.
    """

    def __init__(self, session: Session, kind: Format, chosen: Sequence[str], files: Mapping[str, Path]) -> None:
        self._session, self._kind, self._chosen, self._files = session, kind, chosen, files
        # of all, so that the file name of one does not depend on which others are written with it
        every = dict.fromkeys([*session.images, *session.videos, *chosen])
        own = kind.of == "images" and not kind.listed
        names = {each: "" if self._is_video(each) else file_name(session, each, files) for each in every}
        self._names = kept_names(names) if own else safe_names(every)
        self._taken = {name.casefold() for name in self._names.values()}
        for name in chosen:
            if name in files:
                self._check_fits(name)
            elif kind.of == "videos":
                session.frame_rate(name)
            else:
                session.picture(name)
        self.total = None if any(map(self._is_video, chosen)) else len(chosen)

    def __iter__(self) -> Iterator[Input | Unread]:
        for name in self._chosen:
            if self._is_video(name):
                yield from self._frames(name)
            elif name in self._files:
                yield self._of_file(name, self._files[name])
            else:
                picture = self._session.picture(name)
                file = None if picture.frame else picture.path
                yield Input(name, self._names[name], picture.read, f"{picture.checksum:x}", own=True, file=file)

    def stills(self) -> list[Input]:
        """The image files among them that are not in the session. They can be segmented anywhere, in any order."""
        chosen = (name for name in self._chosen if name in self._files and not self._is_video(name))
        return [self._of_file(name, self._files[name]) for name in chosen]

    def _of_file(self, name: str, path: Path) -> Input:
        return Input(name, self._names[name], partial(read_image, path), version([path]), own=False, file=path)

    def _is_video(self, name: str) -> bool:
        return self._kind.of == "videos" or (name in self._files and is_video(self._files[name]))

    def _check_fits(self, name: str) -> None:
        path = self._files[name]
        if self._kind.of == "videos" and not is_video(path):
            raise UserError(
                f"{path} is an image, and the format {self._kind.name} is of videos; give a video or a folder of "
                "frames, or choose a format of images, such as coco."
            )

    def _frames(self, name: str) -> Iterator[Input | Unread]:
        session = self._session
        try:
            if name in self._files:
                video = open_video(self._files[name])
                rate = video.rate if 1 <= video.rate <= 240 else 25.0
                yield from self._of_video(name, every_frame(video), rate, version(parts(video)))
            else:
                path = session.path_of(name)
                found = version(parts(open_video(path))) if path else ""
                yield from self._of_video(name, session.frames(name), session.frame_rate(name), found)
        except UserError as error:
            yield name, error

    def _of_video(self, video: str, frames: Iterator[Frame], rate: float, found: str) -> Iterator[Input]:
        for number, pixels in frames:
            name = f"{video}#{number}"
            if self._kind.of == "videos":
                file = f"{self._names[video]}/{number:05d}"
            else:
                file = self._unused(f"{self._names[video]}_{number:05d}", name)
            yield Input(name, file, partial(_itself, pixels), found, name in self._session.images, rate)

    def _unused(self, file: str, name: str) -> str:
        """The file name of a frame, with a part of its checksum if an image has this name."""
        return f"{file}-{sha256(name.encode()).hexdigest()[:8]}" if file.casefold() in self._taken else file


def file_name(session: Session, name: str, files: Mapping[str, Path]) -> str:
    """The name of the file of an image; empty if it has none."""
    if name in files:
        return files[name].name
    picture = session.picture(name) if name in session.images else None
    return picture.path.name if picture and picture.path and not picture.frame else ""


def is_video(path: Path) -> bool:
    """Whether a path is that of a video: a file with such a suffix, or a folder of frames."""
    return path.suffix.lower() in VIDEO_SUFFIXES or path.is_dir()


def parts(video: Video) -> list[Path]:
    """The files of a video: itself, or its frames."""
    assert video.path
    return image_files(video.path) if video.path.is_dir() else [video.path]


def version(paths: Iterable[Path]) -> str:
    """A text that changes when one of the files is written again; empty if one is not there."""
    try:
        stats = [path.stat() for path in paths]
    except OSError:
        return ""
    found = " ".join(f"{stat.st_size} {stat.st_mtime_ns}" for stat in stats)
    return found if len(stats) == 1 else sha256(found.encode()).hexdigest()


def _itself(pixels: RGB) -> RGB:
    return pixels

"""What is to be segmented: images, globs, folders and videos, by the words of a command line."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from guided_seg.data.files.pairs import IMAGE_SUFFIXES, image_files, visible
from guided_seg.errors import UserError
from guided_seg.files.text import is_there
from guided_seg.formats.segmented import Format
from guided_seg.session import Session
from guided_seg.session.films.videos import VIDEO_SUFFIXES


class Queries(NamedTuple):
    """Images or videos by their ids, in their order.

    Attributes:
        names: all ids, of ``files`` and of the session.
        files: id -> image file, video or folder of frames; for those that are not images of the session.
    """

    names: list[str]
    files: dict[str, Path]


def find_queries(words: Sequence[str], session: Session, kind: Format, out: Path) -> Queries:
    """The images or videos that words name. An image or video of the session keeps its id there.

    For a format of images, a folder gives its images, and a video its frames. For one of videos, a folder of images is
    a video, and another folder gives the videos in it. Without words it is all of the session.

    Args:
        words: images, globs, folders and videos, as they were written.
        session: the session.
        kind: the format of the result.
        out: the folder of the result. What lies in it is no query.

    Raises:
        UserError: a word names nothing, or there is nothing to segment.
    """
    if not words:
        if not (own := _of_session(session, kind)):
            raise UserError(f"There are no {kind.of} in the support; name what to segment, as in photos/.")
        return Queries(own, {})
    named = {path.resolve(): path for word in words for path in _paths(word, kind)}
    result = out.absolute().resolve()
    paths = [path for whole, path in named.items() if not whole.is_relative_to(result)]
    if not paths:
        raise UserError(f"All of {' '.join(words)} lies in the folder of the result, {out}; choose another output_dir.")
    known = {path.resolve(): name for name in _of_session(session, kind) if (path := session.path_of(name))}
    if kind.of == "images":  # single frames can be annotated in the session
        known |= {path.resolve(): name for name, path in session.video_files().items()}
    names: list[str] = []
    files: dict[str, Path] = {}
    taken = {*session.images, *session.videos}
    for path, short in zip(paths, short_names(paths), strict=True):
        name = known.get(path.resolve()) or _unused(short, taken)
        if name not in session.images and (name not in session.videos or kind.of == "images"):
            files[name] = path
        taken.add(name)
        names.append(name)
    return Queries(names, files)


def _of_session(session: Session, kind: Format) -> list[str]:
    if kind.of == "videos":
        return session.videos
    return [name for name in session.images if not session.picture(name).frame or name in session.annotated]


def _paths(word: str, kind: Format) -> list[Path]:
    """The images or videos that a word names."""
    path = Path(os.path.expanduser(word)).absolute()  # noqa: PTH111  (pathlib fails where the user is unknown)
    if is_there(path):
        return _inside(path, kind) if path.is_dir() else [path]
    if not glob.has_magic(word):
        raise UserError(f"There is no {path}; give images, globs in quotes, folders or videos.")
    found = [Path(each) for each in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207  ("**/" of pathlib
    # before Python 3.13 does not follow links)
    if not found:
        raise UserError(f"No file matches {word}; ** matches folders at any depth, as in 'photos/**/*.jpg'.")
    suffixes = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES) if kind.of == "images" else VIDEO_SUFFIXES
    fit = [each for each in found if each.suffix.lower() in suffixes and each.is_file()]
    if kind.of == "videos":
        fit += [each for each in found if each.is_dir() and image_files(each)]
    if not fit:
        raise UserError(f"None of the {len(found):,} files that match {word} is {_wanted(kind)}.")
    return sorted(fit)


def _inside(folder: Path, kind: Format) -> list[Path]:
    images = image_files(folder)
    if images:
        return images if kind.of == "images" else [folder]
    inside = visible(folder)
    videos = [each for each in inside if each.suffix.lower() in VIDEO_SUFFIXES and each.is_file()]
    folders = [each for each in inside if each.is_dir() and image_files(each)]
    if kind.of == "videos" and (videos or folders):
        return [*videos, *folders]
    there = ""
    if videos:
        there = f" It holds videos; name them, as in {folder.name}/*{videos[0].suffix}, to segment their frames."
    elif folders:
        there = f" There are images in {folders[0].name}; name such folders, or '{folder.name}/**/*.jpg'."
    raise UserError(f"The folder {folder} holds nothing that is {_wanted(kind)}.{there}")


def _wanted(kind: Format) -> str:
    if kind.of == "images":
        return f"an image ({', '.join(IMAGE_SUFFIXES)})"
    return f"a video ({', '.join(VIDEO_SUFFIXES)}) or a folder of frames"


def short_names(paths: Sequence[Path]) -> list[str]:
    """Ids for files: their paths relative to the folder that all are in, so their names if they lie in one."""
    try:
        common = Path(os.path.commonpath([path.parent for path in paths]))
    except ValueError:  # other drives on Windows
        return [path.as_posix().replace("#", "_") for path in paths]
    return [path.relative_to(common).as_posix().replace("#", "_") for path in paths]


def _unused(name: str, taken: set[str]) -> str:
    new, number = name, 2
    while new in taken:
        new, number = f"{name} ({number})", number + 1
    return new

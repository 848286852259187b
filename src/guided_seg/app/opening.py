"""What a page begins with: images, folders, videos or a saved session, and where its work is kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from guided_seg.data.files.pairs import IMAGE_SUFFIXES, image_files
from guided_seg.data.images import read_image
from guided_seg.errors import UserError, why_unreadable
from guided_seg.files.text import file_name
from guided_seg.files.writing import user_state
from guided_seg.session import Session
from guided_seg.session.file import SUFFIX
from guided_seg.session.films.videos import VIDEO_SUFFIXES
from guided_seg.session.pictures import open_video

SAMPLES = Path(__file__).parent / "samples"
"""Photos and a short clip, shown when nothing else is opened."""

SESSION = SUFFIX

LABEL_STUDIO = "label-studio"
"""Name of the page whose dots come from Label Studio."""


def work_folder(paths: Sequence[Path], checkpoint: str) -> Path:
    """The folder that keeps the sessions of a page: the same for the same paths and checkpoint."""
    opened = "\0".join([checkpoint, *map(str, paths)])
    return user_state() / "app" / hashlib.sha256(opened.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def existing(paths: Iterable[str]) -> list[Path]:
    """The paths, absolute. Raises `UserError` for one that is not there."""
    found = []
    for text in paths:
        path = Path(os.path.expanduser(text)).absolute()  # noqa: PTH111  (pathlib fails where the user is unknown)
        if not path.exists():
            raise UserError(f"There is no {path}; give images, folders of images, videos or a saved session.")
        found.append(path)
    return found


def collection_of(paths: Sequence[Path]) -> str:
    """What the opened paths are called, in names of files: the name of the one path, or of the folder of several.

    Example:
        >>> collection_of([Path("/home/me/my photos")]), collection_of([Path("/pets/cat.jpg"), Path("/pets/dog.jpg")])
        ('my photos', 'pets')
    """
    one = paths[0] if len(paths) == 1 else paths[0].parent
    return file_name(one.stem if one.is_file() else one.name)


def check_openable(paths: Sequence[Path]) -> None:
    """Check that there is something to show, before anything starts. It reads up to the first file that can be opened.

    Raises:
        UserError: a folder holds nothing to show, or no file can be opened.
    """
    faults: list[str] = []
    for opened, (file, is_video) in [(path, item) for path in paths for item in _items(path)]:
        try:
            _check_inside(file, opened)
            if is_video:
                open_video(file).frame(0)
            else:
                read_image(file)
        except UserError as error:
            faults.append(str(error))
        else:
            return
    more = f" {len(faults) - 1:,} more cannot be opened either." if len(faults) > 1 else ""
    raise UserError(f"There is nothing to show. {faults[0]}{more}")


def add_all(session: Session, paths: Iterable[Path]) -> list[str]:
    """Add images and videos to a session, under the names of their files.

    A folder gives its images, and its subfolders with images as videos. What the session has already is left as it is.
    Links that lead out of a folder are refused.

    Returns:
        A sentence for each file that cannot be read.
    """
    refused: list[str] = []
    # a saved session has its own way to each file
    opened = map(session.path_of, [*session.images, *session.videos])
    known = {path.resolve() for path in opened if path}
    for path in paths:
        for file, is_video in _items(path):
            if file.resolve() in known:
                continue
            try:
                _check_inside(file, path)
                add = session.add_video if is_video else session.add_image
                add(unused(session, file.name if is_video else file.stem, is_video), file)
            except UserError as error:
                refused.append(str(error))
    return refused


def _check_inside(file: Path, path: Path) -> None:
    if not file.resolve().is_relative_to(path.resolve()):
        raise UserError(f"{file} is a link to {file.resolve()}, outside of what was opened; open that itself.")


def _items(path: Path) -> list[tuple[Path, bool]]:
    """The files below a path, and whether each is a video."""
    if path.is_file():
        return [(path, path.suffix.lower() in VIDEO_SUFFIXES)]
    try:
        inside = sorted(path.iterdir())
    except OSError as error:
        raise UserError(why_unreadable(path, error)) from error
    videos = [each for each in inside if each.suffix.lower() in VIDEO_SUFFIXES and not each.name.startswith(".")]
    folders = [each for each in inside if each.is_dir() and not each.name.startswith(".") and image_files(each)]
    items = [(each, False) for each in image_files(path)] + [(each, True) for each in (*videos, *folders)]
    if not items:
        raise UserError(
            f"The folder {path} holds nothing to show; expected images ({', '.join(IMAGE_SUFFIXES)}), videos "
            f"({', '.join(VIDEO_SUFFIXES)}), or folders of frames."
        )
    return items


def unused(session: Session, name: str, video: bool = False) -> str:
    """The name, with a number behind it if a new image or video of the session cannot have it."""
    name = name or "image"
    number, new = 2, name
    while session.why_taken(new, video):
        new, number = f"{name} ({number})", number + 1
    return new

"""Files that people drop on the page: limited, checked, and kept beside the session."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from guided_seg.app.desk import Desk
from guided_seg.app.opening import unused
from guided_seg.data.images import image_size
from guided_seg.errors import UserError
from guided_seg.files.text import file_name
from guided_seg.session import Session
from guided_seg.session.films.videos import VIDEO_SUFFIXES, announced_frames


class Limits(NamedTuple):
    """Limits of uploads.

    Attributes:
        megabytes: of one file.
        request: megabytes of all files in one request.
        megapixels: of an image.
        frames: that a video announces.
        files: in one request.
    """

    megabytes: float = 500
    request: float = 4_000
    megapixels: float = 100
    frames: int = 20_000
    files: int = 1_000


@runtime_checkable
class Upload(Protocol):
    """An uploaded file."""

    filename: str | None

    @property
    def file(self) -> object:
        """The open file."""


def store(files: Sequence[Upload], desk: Desk, limits: Limits) -> tuple[list[str], list[dict[str, str]]]:
    """Keep uploaded files and add them to the session of a desk.

    Returns:
        The ids of what was added, and name and sentence of what was refused.
    """
    added: list[str] = []
    refused: list[dict[str, str]] = []
    folder = desk.file.parent / "uploads" / desk.name
    folder.mkdir(parents=True, exist_ok=True)
    for number, upload in enumerate(files):
        name = safe_name(upload.filename)
        try:
            if number >= limits.files:
                raise UserError(f"{name}: more than {limits.files:,} files came at once; add them in several turns.")
            path = _kept(upload, name, folder, limits)
            try:
                check(path, name, limits)
                added.append(desk.wait_for(partial(_added, path, name)))
            except UserError:
                path.unlink(missing_ok=True)
                raise
        except UserError as error:
            refused.append({"name": name, "text": str(error).replace(str(folder) + "/", "")})
    if added:
        desk.say_state()
    return added, refused


def safe_name(name: str | None) -> str:
    """The name of an upload as a `file_name`, without folders.

    Example:
        >>> safe_name("../../etc/größe 1.jpg"), safe_name("..")
        ('größe 1.jpg', 'image')
    """
    return file_name((name or "").replace("\\", "/").rpartition("/")[2])


def check(path: Path, name: str, limits: Limits) -> None:
    """Raise `UserError` for an image with too many pixels, or a video with too many frames. Nothing is decoded."""
    if path.suffix.lower() in VIDEO_SUFFIXES:
        frames = announced_frames(path)
        if frames is not None and frames > limits.frames:
            raise UserError(f"{name} has {frames:,} frames; at most {limits.frames:,} are taken. Cut it into parts.")
        return
    height, width = image_size(path)
    if height * width > limits.megapixels * 1e6:
        raise UserError(
            f"{name} has {height} x {width} pixels; at most {limits.megapixels:,g} megapixels are taken. Scale it down."
        )


def _kept(upload: Upload, name: str, folder: Path, limits: Limits) -> Path:
    """Copy an upload into the folder, under a name that is not taken there."""
    path, number = folder / name, 2
    while os.path.lexists(path):  # a link to nothing is there, too
        path, number = folder / f"{Path(name).stem} ({number}){Path(name).suffix}", number + 1
    source, left = upload.file, int(limits.megabytes * 2**20)
    try:
        with path.open("xb") as target:
            while block := source.read(2**20):  # type: ignore[attr-defined]
                left -= len(block)
                if left < 0:
                    raise UserError(f"{name} has more than {limits.megabytes:,g} MB; at most that is taken.")
                target.write(block)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _added(path: Path, name: str, session: Session) -> str:
    if path.suffix.lower() in VIDEO_SUFFIXES:
        new = unused(session, name, video=True)
        session.add_video(new, path)
    else:
        new = unused(session, Path(name).stem)
        session.add_image(new, path)
    return new

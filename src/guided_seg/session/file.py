"""Save and open a session: one zip file with dots and masks. Images and videos are stored by reference."""

from __future__ import annotations

import io
import json
import math
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np

from guided_seg.episode import IGNORE
from guided_seg.errors import UserError
from guided_seg.files.writing import sha256, whole_file
from guided_seg.release import with_checksum
from guided_seg.session.annotating import Annotating
from guided_seg.session.content import Content, KWay, Malformed, Reference, SavedImage, parse, table_of
from guided_seg.session.store import Store

FORMAT = 1
"""Version of the file format."""

_PNG_SPARE = 2**20
"""The bytes that a PNG may have beyond four for each pixel."""

SUFFIX = ".session"
"""How the names of sessions end that programs write, and by which they are told from other files."""

MOST_TEXT, MOST_PIXELS, MOST_STORED = 2**26, 2**28, 2**30
"""Largest ``session.json`` in bytes, largest stored image in pixels, and most pixels of all stored images together.

Limits against decompression bombs: a few kilobytes may unpack to any size. Images in files of their own have none.
"""


def write(store: Store, model: dict[str, Any] | None, path: Path) -> None:
    """Write a session with an atomic write. Pixels are stored only if they cannot be read again from a file.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder; name a file in it, such as {path / 'today.session'}.")
        with whole_file(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file:
            folder = path.resolve().parent
            _check_stored(store)
            content = {
                "format": FORMAT,
                "model": model and {**model, "checkpoint": _reference(Path(model["checkpoint"]), folder)},
                "labels": store.labels[1:],
                "videos": [[name, _reference(video, folder)] for name, video in store.video_files().items()],
                "images": [_image(store, file, number, name, folder) for number, name in enumerate(store.images)],
            }
            text = json.dumps(content, indent=1)
            if len(text) > MOST_TEXT:  # of ASCII
                raise UserError(f"The session has more dots than a file of {MOST_TEXT:,} bytes holds; remove some.")
            file.writestr("session.json", text)
    except OSError as error:
        raise UserError(
            f"The session cannot be saved as {path} ({error.strerror or error}); the session is as it was, so choose "
            "another place, or make room, and save it again."
        ) from error


def read(path: Path) -> Content:
    """Read the content of a session file, without pixels.

    Raises:
        UserError: the file is missing, damaged, or of another version.
    """
    try:
        with zipfile.ZipFile(path) as file:
            table = table_of(_entry(file, "session.json", MOST_TEXT))
        _check_version(table.get("format"), path)
        return parse(table)
    except FileNotFoundError:
        raise UserError(f"There is no session {path}; give a file that Session.save wrote.") from None
    except UserError:
        raise
    except Exception as error:  # a damaged file, or one of another kind, can raise anything
        raise _no_session(path, error) from error


def fill(store: Annotating, content: Content, path: Path) -> None:
    """Add the labels, videos, images and annotations of ``content`` to an empty session.

    Raises:
        UserError: an image or video is missing or has changed, or the file is damaged.
    """
    folder = path.resolve().parent
    for label in content.labels:
        store.add_label(label)
    for name, reference in content.videos:
        store.add_video(name, _find(reference, folder, lambda found: found.is_file() or found.is_dir()))
    left = MOST_STORED
    with zipfile.ZipFile(path) as file:
        for image in content.images:
            name = _add(store, file, image, path, min(left, MOST_PIXELS))
            if isinstance(image.source, str):
                left -= math.prod(store.picture(name).size)
            if image.mask is not None:
                labels = _picture(file, image.mask, path, size=store.picture(name).size)
                if labels.dtype != np.uint8 or labels.ndim != 2:
                    raise _no_session(path, Malformed(f"{image.mask} is no label map"))
                for number in set(np.unique(labels).tolist()) - {IGNORE}:
                    store.mask(name, labels == number, number)
            for row, column, number in image.dots:
                store.dot(name, row, column, number)
    store.forget_history()


def check_there(content: Content, path: Path) -> None:
    """Raise `UserError` if an image or video that `fill` needs is missing. No pixels are read."""
    folder = path.resolve().parent
    for _, reference in content.videos:
        _find(reference, folder, lambda found: found.is_file() or found.is_dir())
    for image in content.images:
        if isinstance(image.source, Reference):
            _find(image.source, folder, Path.is_file)


def check_saved(path: Path) -> None:
    """Raise `UserError` unless this is a session file whose images and videos are there. No pixels are read."""
    check_there(read(path), path)


def network_of(content: Content, path: Path) -> tuple[Path, KWay]:
    """The checkpoint of a saved session, and how its network segments several labels.

    Raises:
        UserError: the session has no checkpoint, or the file is missing or has changed.
    """
    model = content.model
    if model is None:
        raise UserError(f"{path} was saved by a session whose network came from no checkpoint; give network=....")
    # a model shipped in the package has another path on another machine
    checkpoint = with_checksum(model.sha256) or _find(model.checkpoint, path.resolve().parent, Path.is_file)
    if sha256(checkpoint) != model.sha256:
        raise UserError(
            f"{checkpoint} is not the network that {path} was saved with: its checksum differs; put the old one back, "
            "or give network=... to go on with another."
        )
    return checkpoint, model.reading


def _check_version(found: object, path: Path) -> None:
    if type(found) is not int or found != FORMAT:
        raise UserError(
            f"{path} has the format {short(found)} of sessions, but this version of guided_seg reads {FORMAT}; open it "
            "with the version that wrote it."
        )


def _image(store: Store, file: zipfile.ZipFile, number: int, name: str, folder: Path) -> dict[str, Any]:
    picture = store.picture(name)
    entry: dict[str, Any] = {"name": name, "checksum": picture.checksum}
    if picture.frame and picture.path:
        entry["frame"] = picture.frame
    elif picture.path:
        entry["file"] = _reference(picture.path, folder)
    else:
        entry["stored"] = f"images/{number}.png"
        file.writestr(entry["stored"], _as_png(picture.read()))
    masked, entry["dots"] = store.annotation(name)
    if masked is not None:
        entry["mask"] = f"masks/{number}.png"
        file.writestr(entry["mask"], _as_png(masked))
    return entry


def _add(store: Store, file: zipfile.ZipFile, image: SavedImage, path: Path, most: int) -> str:
    name, source = image.name, image.source
    if isinstance(source, tuple):
        name = store.frame(*source)
    elif isinstance(source, Reference):
        store.add_image(name, _find(source, path.resolve().parent, Path.is_file))
    else:
        store.add_image(name, _picture(file, source, path, most))
    picture = store.picture(name)
    if picture.checksum != image.checksum:
        if isinstance(source, str):
            raise _no_session(path, Malformed(f"{source} is damaged"))
        raise UserError(
            f"The image {name!r} ({picture.path}) is not the one that was annotated; put the old file back."
        )
    return name


def _reference(path: Path, folder: Path) -> list[str]:
    """The path relative to the session's folder, and absolute. The first survives moving both together."""
    whole = path.resolve()
    try:
        return [os.path.relpath(whole, folder), str(whole)]
    except ValueError:  # another drive on Windows
        return [str(whole), str(whole)]


def _find(reference: Reference, folder: Path, usable: Callable[[Path], bool]) -> Path:
    near, whole = folder / reference.near, Path(reference.whole)
    for path in (near, whole):
        try:
            if usable(path):
                return path
        except OSError:  # a name that is too long, for instance
            continue
    raise UserError(f"{whole} is not there any more, nor is {near}; put the file back to open the session.")


def _entry(file: zipfile.ZipFile, name: str, most: int) -> bytes:
    """The bytes of an entry, at most ``most`` of them."""
    try:
        if file.getinfo(name).file_size > most:
            raise Malformed(f"{name} is larger than {most:,} bytes")
    except KeyError:
        raise Malformed(f"it has no {name}") from None
    return file.read(name)


def _as_png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def _picture(
    file: zipfile.ZipFile, name: str, path: Path, most: int | None = None, size: tuple[int, int] | None = None
) -> np.ndarray:
    """The pixels of a PNG entry. Its size is checked before it is decoded.

    Raises:
        UserError: the entry is missing or damaged, has more than ``most`` pixels, or does not have ``size``.
    """
    from PIL.PngImagePlugin import PngImageFile

    try:
        height, width = _announced(file, name)
        if size not in (None, (height, width)):
            raise Malformed(f"{name} is {height} x {width}")
        if most is not None and height * width > most:
            raise Malformed(f"{name} is {height} x {width}, and at most {most:,} pixels are read here")
        # not Image.open, which rejects large images that a session may hold
        image = PngImageFile(io.BytesIO(_entry(file, name, 4 * height * width + _PNG_SPARE)))
        if (image.height, image.width) != (height, width):  # a second header
            raise Malformed(f"{name} is of two sizes")
        return np.array(image)
    except Exception as error:  # damaged bytes can raise anything
        raise _no_session(path, error) from error


def _announced(file: zipfile.ZipFile, name: str) -> tuple[int, int]:
    """Read height and width from the header of a PNG entry. The rest is not unpacked."""
    try:
        with file.open(name) as entry:
            head = entry.read(24)
    except KeyError:
        raise Malformed(f"it has no {name}") from None
    if head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR" or len(head) < 24:
        raise Malformed(f"{name} is no PNG")
    width, height = struct.unpack(">II", head[16:])
    return height, width


def _check_stored(store: Store) -> None:
    """Raise `UserError` for images without a file that are larger than `read` reads."""
    left = MOST_STORED
    for name in store.images:
        picture = store.picture(name)
        if picture.path:
            continue
        pixels = math.prod(picture.size)
        if pixels > min(left, MOST_PIXELS):
            raise UserError(
                f"The image {name!r} has no file and {pixels:,} pixels, more than a session stores; write it to a file "
                "and add that, or scale it down."
            )
        left -= pixels


def _no_session(path: Path, error: Exception) -> UserError:
    reason = str(error) or type(error).__name__
    if path.is_dir():
        return UserError(f"{path} is a folder; give a file in it that Session.save wrote.")
    return UserError(f"{path} cannot be read as a session ({reason}); give a file that Session.save wrote.")

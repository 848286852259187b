"""A session as one file: annotations, masks, and images by reference, so that work goes on tomorrow."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from guided_seg.episode import IGNORE
from guided_seg.errors import UserError
from guided_seg.released import with_checksum
from guided_seg.session.pictures import Picture
from guided_seg.session.store import Store
from guided_seg.writing import sha256, whole_file

FORMAT = 1
"""The version of the file's layout."""


def write(store: Store, model: dict[str, Any] | None, path: Path) -> None:
    """Write all but pixels that can be had again; the file is there whole or not at all."""
    with whole_file(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file:
        folder = path.resolve().parent
        content = {
            "format": FORMAT,
            "model": model and {**model, "checkpoint": _reference(Path(model["checkpoint"]), folder)},
            "labels": store.labels[1:],
            "videos": [[name, _reference(video, folder)] for name, video in store.video_files().items()],
            "images": [_image(store, file, number, name, folder) for number, name in enumerate(store.images)],
        }
        file.writestr("session.json", json.dumps(content, indent=1))


def read(path: Path) -> dict[str, Any]:
    """What `write` wrote, without the pictures.

    Raises:
        UserError: it is missing, damaged, or of another version.
    """
    try:
        with zipfile.ZipFile(path) as file:
            content = json.loads(file.read("session.json"))
    except FileNotFoundError:
        raise UserError(f"There is no session {path}; give a file that Session.save wrote.") from None
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} cannot be read as a session ({error}); give a file that Session.save wrote."
        ) from error
    if content.get("format") != FORMAT:
        raise UserError(
            f"{path} has the format {content.get('format')} of sessions, but this version of guided_seg reads {FORMAT}."
        )
    found: dict[str, Any] = content
    return found


def fill(store: Store, content: dict[str, Any], path: Path) -> None:
    """Put the labels, videos, images and annotations of `read` into an empty session.

    Raises:
        UserError: an image or video is not where it was, or is another one now.
    """
    folder = path.resolve().parent
    for label in content["labels"]:
        store.add_label(label)
    for name, reference in content["videos"]:
        store.add_video(name, _find(reference, folder))
    with zipfile.ZipFile(path) as file:
        for entry in content["images"]:
            name = _add(store, file, entry, folder)
            if "mask" in entry:
                labels = _png(file.read(entry["mask"]))
                for number in set(np.unique(labels).tolist()) - {IGNORE}:
                    store.mask(name, labels == number, store.labels[number])
            for row, column, number in entry["dots"]:
                store.dot(name, row, column, store.labels[number])
    store.forget_history()


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


def _add(store: Store, file: zipfile.ZipFile, entry: dict[str, Any], folder: Path) -> str:
    name: str = entry["name"]
    if "frame" in entry:
        video, index = entry["frame"]
        name = store.frame(video, index)
    else:
        store.add_image(name, _find(entry["file"], folder) if "file" in entry else _png(file.read(entry["stored"])))
    picture: Picture = store.picture(name)
    if picture.checksum != entry["checksum"]:
        raise UserError(
            f"The image {name!r} ({picture.path}) is not the one that was annotated; put the old file back."
        )
    return name


def _reference(path: Path, folder: Path) -> list[str]:
    """Where a file is, seen from the session's folder and as such; the first survives moving both together."""
    whole = path.resolve()
    return [os.path.relpath(whole, folder), str(whole)]


def _find(reference: list[str], folder: Path) -> Path:
    near, whole = (folder / reference[0]), Path(reference[1])
    for path in (near, whole):
        if path.exists():
            return path
    raise UserError(f"{whole} is not there any more, nor is {near}; put the file back to open the session.")


def _as_png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def _png(data: bytes) -> np.ndarray:
    from PIL import Image

    return np.array(Image.open(io.BytesIO(data)))


def checkpoint_of(content: dict[str, Any], path: Path) -> Path:
    """The checkpoint of a saved session.

    Raises:
        UserError: the session names none, or the file is missing or another one now.
    """
    model = content["model"]
    if model is None:
        raise UserError(f"{path} was saved by a session whose network came from no checkpoint; give network=....")
    # one that ships lies elsewhere on another machine
    checkpoint = with_checksum(model["sha256"]) or _find(model["checkpoint"], path.resolve().parent)
    if sha256(checkpoint) != model["sha256"]:
        raise UserError(
            f"{checkpoint} is not the network that {path} was saved with: its checksum differs; put the old one back, "
            "or give network=... to go on with another."
        )
    return checkpoint

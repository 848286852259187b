"""Answers to Label Studio: its requests as dots of a session, and masks in its run-length encoding.

It speaks the protocol of Label Studio's machine learning backends, which the page's server serves.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

import numpy as np
from jaxtyping import Bool

from guided_seg.errors import UserError
from guided_seg.session import NEGATIVE, Session
from guided_seg.tools.brush_runs import brush_rle
from guided_seg.tools.label_studio_requests import (
    Config,
    Predict,
    Prompts,
    Region,
    Setup,
    Task,
    config_of,
    parsed,
    prompts_of,
)

NAME = "guided_seg"
UPLOADED = re.compile(r"[0-9a-f]{8}-")
"""What Label Studio puts before the name of an uploaded file."""

Run = Callable[[Callable[[Session], Any]], Any]
"""Does something with the session, in the thread that it belongs to, and returns the result."""


def health() -> dict[str, str]:
    """The answer to ``GET /health``."""
    return {"status": "UP", "model_class": NAME}


def setup(body: bytes) -> None:
    """Check the body of ``POST /setup``. Raises `UserError` if the project cannot be helped."""
    config_of(parsed(Setup, body).label_config)


def predict(run: Run, body: bytes) -> dict[str, Any]:
    """The answer to ``POST /predict``.

    Key points and boxes of the request replace those of the same labels in the image. Without any, all that is
    annotated in the session guides the answers.

    Args:
        run: see `Run`; once for each task, so that other work need not wait for all of them.
        body: JSON.

    Raises:
        UserError: the request does not fit.
    """
    request = parsed(Predict, body)
    config = config_of(request.label_config)
    context = request.params.context if request.params else None
    regions = context.result if context else []
    if regions and len(request.tasks) > 1:
        raise UserError(f"Regions came with {len(request.tasks)} tasks; expected the one task that they belong to.")
    results = [run(partial(_answer, task=task, config=config, regions=regions)) for task in request.tasks]
    return {"results": results, "model_version": run(version)}


def version(session: Session) -> str:
    """Another text whenever the annotations differ, so that Label Studio asks again for predictions.

    Example:
        >>> version(Session.load("guided-lite0"))  # doctest: +SKIP
        'guided_seg-00000000'
    """
    check = 0
    for name in session.annotated:
        painted, dots = session.annotation(name)
        check = zlib.crc32(repr((name, dots)).encode(), check)
        check = check if painted is None else zlib.crc32(painted.tobytes(), check)
    return f"{NAME}-{check:08x}"


def _answer(session: Session, task: Task, config: Config, regions: Sequence[Region]) -> dict[str, Any]:
    image = image_of(session, task, config)
    wanted = config.labels
    if regions:
        prompts = prompts_of(regions, session.picture(image).size, config)
        wanted = prompts.labels
        _show(session, image, prompts)
    numbers = {label: number for number, label in enumerate(session.labels) if number and label in wanted}
    if not numbers or not session.annotated:
        return {"result": [], "score": 0.0}
    labels, sure = session.refined(image), session.confidence(image)
    found = [
        _region(config, label, mask, sure) for label, number in numbers.items() if (mask := labels == number).any()
    ]
    return {"result": found, "score": sure}


def image_of(session: Session, task: Task, config: Config) -> str:
    """The image of the session that a task is about: the one whose file has the same name.

    Nothing is fetched from the address that the task gives.

    Raises:
        UserError: the session has no such image, or several.
    """
    address = task.data.get(config.key)
    if not isinstance(address, str) or not address:
        raise UserError(f"A task has no address at {config.key!r}, which the labelling configuration names.")
    names = _file_names(address)
    by_name: dict[str, list[str]] = {}
    for image in session.images:
        if (path := session.path_of(image)) is not None:
            by_name.setdefault(_plain(path.name), []).append(image)
    found = next((by_name[name] for name in names if name in by_name), [])
    if not found:
        raise UserError(
            f"The image {names[0]!r} is not open here; start the server with the folder of the project's images: "
            "guided-seg app FOLDER."
        )
    if len(found) > 1:
        raise UserError(f"{len(found)} files are called {names[0]!r} here; give each a name of its own.")
    return found[0]


def _file_names(address: str) -> list[str]:
    """The names that the file of an address may have.

    Example:
        >>> _file_names("/data/upload/3/0a1b2c3d-my_cat.jpg")
        ['0a1b2c3d-my_cat.jpg', 'my_cat.jpg']
        >>> _file_names("/data/local-files/?d=photos/my%20cat.jpg")
        ['my_cat.jpg']
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return [_plain(address)]
    inside = parse_qs(parts.query).get("d", [unquote(parts.path)])[0]
    name = _plain(PurePosixPath(inside.replace("\\", "/")).name)
    return [name, *([name[9:]] if UPLOADED.match(name) else [])]


def _plain(name: str) -> str:
    """A name with only the characters that Label Studio keeps of it."""
    return re.sub(r"[^-\w.]", "", name.strip().replace(" ", "_"))


def _show(session: Session, image: str, prompts: Prompts) -> None:
    """Replace the dots of these labels, and the negative ones."""
    for label in prompts.labels:
        if label not in session.labels:
            session.add_label(label)
    for row, column, label in session.dots(image):
        if label in (*prompts.labels, NEGATIVE):
            session.remove(image, row, column)
    for box, label in prompts.boxes:
        session.box(image, box, label)
    for (row, column), label in prompts.dots:
        session.dot(image, row, column, label)


def _region(config: Config, label: str, mask: Bool[np.ndarray, "H W"], sure: float) -> dict[str, Any]:
    """A mask as Label Studio reads it."""
    height, width = mask.shape
    return {
        "id": uuid4().hex[:10],
        "from_name": config.brush,
        "to_name": config.image,
        "type": "brushlabels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": brush_rle(mask), "brushlabels": [label]},
        "score": sure,
        "readonly": False,
    }

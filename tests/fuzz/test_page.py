"""Spoiled messages of a page and files of dots: each does what it says, or is refused in a sentence."""

from __future__ import annotations

import base64
import json
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest
from fuzz.bases import IMAGES, write
from fuzz.hostile import json_files, share, spoiled, trees
from fuzz.profile import examples, only_user_errors
from hypothesis import given
from hypothesis import strategies as st
from support.networks import network
from support.pages import MESSAGES, Page

from guided_seg.app import messages
from guided_seg.app.desk import Desk
from guided_seg.app.opening import add_all
from guided_seg.app.uploads import safe_name
from guided_seg.segment.dots_file import read_dots
from guided_seg.session import Session

RUNS = base64.b64encode(np.array([100, 200, 2100], "<u4").tobytes()).decode()
ASKED: list[dict[str, Any]] = [
    # a background job would go on behind the next message
    *({"n": 1} | each for each in MESSAGES if each["do"] not in ("fill", "play", "stop")),
    {"n": 1, "do": "paint", "image": "a", "label": 1, "runs": RUNS},
]


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk whose thread has ended: all is done in this one, while no other draws or saves."""
    folder = write(tmp_path_factory.mktemp("photos"), {f"v/{n}.png": IMAGES["PNG"] for n in range(4)})
    (folder / "a.png").write_bytes(IMAGES["PNG"])
    session = Session(network("late_global"))
    add_all(session, [folder])
    made = Desk("main", session, folder / "state" / "main.session", Lock(), partial(Session.open, network=None))
    made.connect(Page())
    made.end()
    return made


@examples(60)
@given(data=st.data(), whole=share)
def test_messages(desk: Desk, data: st.DataObject, whole: float) -> None:
    base = data.draw(st.sampled_from(ASKED))
    changed = st.just(base) if whole < 0.2 else trees(base)
    text = data.draw(
        changed.map(json.dumps) | spoiled(json.dumps(base).encode()).map(lambda raw: raw.decode("latin-1"))
    )
    with only_user_errors(text):
        message = messages.parse(text)
        if len(desk.session.labels) > 9:  # each takes longer to answer for than the last
            desk.session.remove_label(1)
        do = desk._reply if isinstance(message, messages.Question) else desk._do
        if message.do not in ("fill", "play", "stop"):
            do(message)


@examples(60)
@given(name=st.text() | st.none())
def test_names_of_uploads(root: Path, name: str | None) -> None:
    with only_user_errors(name):
        kept = safe_name(name)
        assert (root / kept).resolve().parent == root.resolve()
        (root / kept).touch()
        (root / kept).unlink()


DOTS = {
    "labels": ["cat", "dog"],
    "images": {"a.png": [[12, 8, "cat"], [2, 2, "negative"]], "b.png": [[5, 6, "dog"]]},
}


@examples(60)
@given(data=json_files(DOTS))
def test_files_of_dots(root: Path, data: bytes) -> None:
    path = write(root, {"dots.json": data, "a.png": IMAGES["PNG"], "b.png": IMAGES["PNG"]}) / "dots.json"
    with only_user_errors(data):
        dots = read_dots(path)
        session = Session(network("prototypes"))
        for label in dots.labels:
            session.add_label(label)
        for number, (image, there) in enumerate(dots.images.items()):
            session.add_image(str(number), image)
            for row, column, label in there:
                session.dot(str(number), row, column, label)

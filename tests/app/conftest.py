"""Desks and servers with small untrained networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient
from support.browser import need_chromium
from support.networks import network
from support.pages import BASE, Page, picture, write_image

from guided_seg.app.desk import Desk
from guided_seg.app.server import Desks, make_app
from guided_seg.app.uploads import Limits
from guided_seg.machine.browser import browser
from guided_seg.session import Session

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def driven() -> Iterator[Browser]:
    """A headless browser; the test is skipped where there is none."""
    need_chromium()
    with browser() as made:
        yield made


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three photos and a folder of frames."""
    folder = tmp_path / "photos"
    for number, name in enumerate(("a.png", "größe 1.png", "c.png")):
        write_image(folder / name, picture(number))
    for number in range(4):
        write_image(folder / "clip" / f"{number:05d}.png", picture(10 + number))
    return folder


@pytest.fixture
def make_desk(tmp_path: Path, photos: Path) -> Iterator[Callable[..., Desk]]:
    """Makes desks with the photos open and one label."""
    from guided_seg.app.opening import add_all

    made: list[Desk] = []

    def make(name: str = "main", composition: str = "late_global", compare: str | None = None) -> Desk:
        def reopen(file: Path) -> Session:
            return Session.open(file, network=network(composition))

        file = tmp_path / "state" / f"{name}.session"
        if file.exists():
            session = reopen(file)
        else:
            session = Session(network(composition))
            add_all(session, [photos])
            session.add_label("object")
        other = Session(network(compare)) if compare else None
        made.append(Desk(name, session, file, Lock(), reopen, other))
        return made[-1]

    yield make
    for desk in made:
        desk.end()


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    """A desk with a page."""
    return make_desk()


@pytest.fixture
def page(desk: Desk) -> Page:
    """The page of the desk."""
    made = Page()
    desk.connect(made)
    made.of("state")
    return made


@pytest.fixture
def client(make_desk: Callable[..., Desk]) -> Iterator[TestClient]:
    """The server, which takes small uploads only."""
    limits = Limits(megabytes=0.2, megapixels=0.05, frames=10, files=3)
    with TestClient(make_app(Desks(make_desk), limits, ["localhost"]), base_url=BASE) as made:
        yield made

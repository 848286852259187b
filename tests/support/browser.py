"""The server of the page as a process, and the browser that opens it."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from guided_seg.machine.browser import HOW, chromium
from support.processes import started

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def need_chromium() -> None:
    """Skip the test if there is no Chromium; fail it if GUIDED_SEG_NEEDS_BROWSER is set, as in CI."""
    if chromium() is None:
        sentence = f"there is no Chromium, which the tests of the page drive; {HOW}"
        if os.environ.get("GUIDED_SEG_NEEDS_BROWSER"):
            pytest.fail(sentence)
        pytest.skip(sentence)


@contextmanager
def page_server(
    *paths: Path | str, state: Path, limit: float = 300, options: tuple[str, ...] = ()
) -> Iterator[tuple[str, Popen[str]]]:
    """The server of the page as a process of its own: its address, and the process.

    Args:
        paths: what it opens.
        state: where sessions are kept.
        limit: seconds after which it is killed.
        options: further settings.
    """
    line = (sys.executable, "-m", "guided_seg.app", *paths, "port=0", "open=false", f"state={state}", *options)
    with started(*line, limit=limit) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        if "http://" not in said:
            process.wait(10)
            assert process.stderr is not None
            pytest.fail(f"the server did not start: {said}{process.stderr.read()}")
        yield said.split()[0], process


class Visit:
    """A page in the browser, in the words of images.

    Attributes:
        page: Playwright's page.
        errors: what the browser's console complained about.
        heard: the messages of the server, without masks and maps.
    """

    def __init__(
        self, driven: Browser, address: str, name: str, viewport: tuple[int, int] = (1280, 800), **device: Any
    ) -> None:
        size: Any = {"width": viewport[0], "height": viewport[1]}
        self.context = driven.new_context(viewport=size, accept_downloads=True, **device)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.heard: list[str] = []
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._hear))
        self.page.goto(f"{address}s/{name}")
        self.by("shot").first.wait_for(timeout=120_000)  # the server loads its network meanwhile

    def _hear(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self.heard.append(message)

    def until_heard(self, kind: str, before: int) -> None:
        """Wait until the server has sent a message of this type, after the first ``before`` messages."""
        for _ in range(3000):
            if any(json.loads(each)["type"] == kind for each in self.heard[before:]):
                return
            self.page.wait_for_timeout(10)
        pytest.fail(f"no message {kind!r} came; {self.heard[before:]}")

    def by(self, name: str) -> Any:
        return self.page.get_by_test_id(name)

    def show(self, image: str) -> None:
        """Look at an image, and wait until it is answered; an answer from before the last edit does not count."""
        before = self.painted()
        self.page.locator(f'[data-testid="shot"][data-image="{image}"]').click()
        self.until(
            "([n, image]) => { const { painted, lastPaint } = window.guided;"
            " return painted > n && lastPaint.image === image && !lastPaint.stale; }",
            [before, image],
        )

    def at(self, pixel: tuple[int, int]) -> tuple[float, float]:
        """Where a pixel of the image is on the screen."""
        box = self.by("stage").bounding_box()
        view = self.page.evaluate("window.guided.view")
        row, column = pixel
        return (
            box["x"] + view["x"] + (column + 0.5) * view["scale"],
            box["y"] + view["y"] + (row + 0.5) * view["scale"],
        )

    def painted(self) -> int:
        return int(self.page.evaluate("window.guided.painted"))

    def until(self, condition: str, arg: Any = None) -> None:
        """Wait for a condition in the page. Playwright's own way evaluates text, which the page's policy forbids."""
        for _ in range(3000):
            if self.page.evaluate(condition, arg):
                return
            self.page.wait_for_timeout(10)
        pytest.fail(f"it did not come true: {condition}, {arg}; {self.page.evaluate('JSON.stringify(window.guided)')}")

    def until_painted(self, before: int, of: str = "") -> None:
        """Wait until the page has painted more than ``before`` times, last something of the kind ``of`` if given.

        What answers something from before the last edit does not count.
        """
        self.until(
            "([n, of]) => { const { painted, lastPaint, edited } = window.guided;"
            " return painted > n && lastPaint.n >= edited && (!of || lastPaint.of === of); }",
            [before, of],
        )

    def click(self, pixel: tuple[int, int], button: Any = "left", **more: Any) -> None:
        """Click on a pixel, and wait until the answer is painted."""
        before = self.painted()
        self.page.mouse.click(*self.at(pixel), button=button, **more)
        self.until_painted(before)

    def label_at(self, pixel: tuple[int, int]) -> int:
        return int(self.page.evaluate("([row, column]) => window.guided.maskAt(row, column)", list(pixel)))

    def seen(self) -> np.ndarray:
        """What the canvas shows."""
        return np.array(Image.open(io.BytesIO(self.by("stage").screenshot())).convert("RGB")).astype(int)

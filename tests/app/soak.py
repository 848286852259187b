"""Many pages that click at once, without and with a browser, and a server that is killed again and again.

python tests/app/soak.py [SECONDS] [KILLS]  (120 seconds each and 30 kills by default)
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.browser import Visit, page_server
from support.clicking import MOST, OPTIONS, PAGES, PHOTO, Client, all_click, megabytes, page
from support.pages import unpacked

from guided_seg.app.opening import SAMPLES
from guided_seg.machine.browser import browser
from guided_seg.predict.encoder import threads
from guided_seg.session import Session

if TYPE_CHECKING:
    from playwright.sync_api import Browser, WebSocket

GROWTH = 150
"""Megabytes by which the server's memory may differ afterwards."""


def own_session() -> Session:
    """A session like that of a page, without a page."""
    session = Session.load("guided-lite0")
    session.add_image(PHOTO, SAMPLES / f"{PHOTO}.jpg")
    session.add_label("object")
    return session


def expected(dots: dict[tuple[int, int], int], session: Session) -> tuple[np.ndarray, np.ndarray]:
    """What a session of its own says for these dots: the quick answer and the refined one."""
    session.clear()
    for (row, column), label in dots.items():
        session.dot(PHOTO, row, column, label)
    with threads(1):  # as `page_server` has: several round differently, and a pixel may be between two labels
        return session.segment(PHOTO), session.refined(PHOTO)


def clicks(address: str, process: int, seconds: float) -> str:
    """Let all pages click at once; every last answer must be that of a session with the same dots."""
    with ExitStack() as stack:
        pages = [stack.enter_context(page(address, f"soak-{number}")) for number in range(PAGES)]
        clients = [Client(socket, number) for number, socket in enumerate(pages)]
        for client in clients:
            client.click()
        before = megabytes(process)
        done = all_click(clients, seconds)
    session = own_session()
    for client, answer, _ in done:
        assert np.array_equal(answer["pixels"], expected(client.dots, session)[0]), "a page got another one's mask"
    time.sleep(1)
    after, total = megabytes(process), sum(number for *_, number in done)
    assert after < before + GROWTH, f"memory grew from {before:.0f} to {after:.0f} MB"
    return f"{PAGES} pages, {total} clicks in {seconds:g} s, memory {before:.0f} -> {after:.0f} MB: no error, no mixing"


class Tab(Visit):
    """A tab of the browser that clicks at random places. Its messages in both directions are read as well.

    Attributes:
        n: the number of its last edit.
        dots: what its messages say.
        received: the last label map of each kind for the photo, with its header.
        clicks: how many were made.
    """

    def __init__(self, driven: Browser, address: str, number: int) -> None:
        super().__init__(driven, address, f"tab-{number}")
        self.rng, self.clicks, self.n = np.random.default_rng(number), 0, 0
        self.dots: dict[tuple[int, int], int] = {}
        self.received: dict[str, dict[str, Any]] = {}
        self.page.on("websocket", self._follow)
        self.page.reload()
        self.by("shot").first.wait_for()
        self.show(PHOTO)
        self.size: tuple[int, int] = self.received["answer"]["pixels"].shape

    def _follow(self, socket: WebSocket) -> None:
        socket.on("framesent", self._sent)
        socket.on("framereceived", self._came)

    def _sent(self, data: str | bytes) -> None:
        message = json.loads(data)
        if message["do"] in ("dot", "remove", "clear"):
            self.n = message["n"]
        match message["do"]:
            case "dot":
                self.dots[message["row"], message["column"]] = message["label"]
            case "remove":
                del self.dots[message["row"], message["column"]]
            case "clear":
                self.dots.clear()

    def _came(self, data: str | bytes) -> None:
        message = json.loads(data) if isinstance(data, str) else unpacked(data)
        if message["type"] in ("error", "bye"):
            self.errors.append(str(message))
        if message["type"] == "mask" and message["image"] == PHOTO:
            self.received[message["of"]] = message

    def press(self) -> int:
        """Click somewhere, and do not wait; the number of the last edit before."""
        before = self.n
        # not at the top, where a notice offers to undo, nor at the bottom, where a button stops what fills in behind
        row = self.rng.integers(0.1 * self.size[0], 0.85 * self.size[0])
        place = int(row), int(self.rng.integers(self.size[1]))
        self.page.mouse.click(*self.at(place), button="left" if self.rng.integers(2) else "right")
        self.clicks += 1
        return before

    def wait(self, before: int) -> None:
        """Wait for the paint of the answer to the edit after that one."""
        for _ in range(3000):
            if self.page.evaluate("window.guided.lastPaint.n") >= self.n > before:
                return
            self.page.wait_for_timeout(10)
        state = self.page.evaluate("JSON.stringify(window.guided)")
        raise TimeoutError(f"edit {self.n}, after {before}, was not answered: {state}, {self.errors}")

    def clear(self) -> None:
        """Begin again, and wait: a press on a dot that is about to go does nothing."""
        before = self.n
        self.by("clear").click()
        self.wait(before)

    def check(self, session: Session) -> None:
        """The last answers, as they came and as they are painted, must be those of a session with the same dots."""
        quick = last = np.zeros(self.size, np.uint8)
        if self.dots:  # a refined answer follows
            self.until("n => window.guided.lastRefined?.n > n", self.n)
            quick, last = expected(self.dots, session)
        came = self.received["answer"]
        differ = int((came["pixels"] != quick).sum())
        assert differ == 0, f"another one's mask: {differ} pixels differ, {came['n']} for {self.n}, {self.dots}"
        painted = self.page.evaluate(
            "([rows, columns]) => rows.map(row => columns.map(column => window.guided.maskAt(row, column)))",
            [list(range(0, side, 8)) for side in self.size],
        )
        assert np.array_equal(painted, last[::8, ::8]), "a tab painted another mask than its own"


def tabs(address: str, process: int, seconds: float) -> str:
    """Let the tabs of one browser click at once, in rounds; each must show what a session with its dots says."""
    session, checks = own_session(), 0
    with browser() as driven:
        made = [Tab(driven, address, number) for number in range(PAGES)]
        memory, end = 0.0, time.monotonic() + seconds
        while time.monotonic() < end:
            for before, each in [(each.press(), each) for each in made]:
                each.wait(before)
            memory = memory or (megabytes(process) if checks >= PAGES else 0)  # each did everything once
            for each in made:
                if len(each.dots) >= MOST:
                    each.check(session)
                    checks += 1
                    each.clear()
        for before, each in [(each.press(), each) for each in made]:
            each.wait(before)
        for each in made:
            each.check(session)
            assert each.errors == []
        memory = memory or megabytes(process)  # too short a run to tell
        total = sum(each.clicks for each in made)
    time.sleep(1)
    after = megabytes(process)
    assert after < memory + GROWTH, f"memory grew from {memory:.0f} to {after:.0f} MB"
    return (
        f"{PAGES} tabs, {total} clicks in {seconds:g} s, {checks + PAGES} comparisons, "
        f"memory {memory:.0f} -> {after:.0f} MB: no error, no mixing"
    )


def kills(state: Path, number: int) -> str:
    """Kill the server after some clicks; the next one must have all dots that were older than two seconds."""
    rng, old = np.random.default_rng(0), set[tuple[int, int]]()
    for each in range(number):
        with (
            page_server(SAMPLES, state=state, options=OPTIONS) as (address, process),
            page(address, "main") as socket,
        ):
            client = Client(socket, each)
            there = next(image["dots"] for image in client.state["images"] if image["id"] == PHOTO)
            found = {(row, column) for row, column, _ in there}
            assert old <= found, f"kill {each} lost {len(old - found)} dots that were older than two seconds"
            times = dict.fromkeys(found, 0.0)
            end = time.monotonic() + rng.uniform(0.2, 3)
            while time.monotonic() < end:
                began = time.monotonic()
                client.click()
                times[next(reversed(client.dots))] = began
                time.sleep(0.05)
            process.kill()
            old = {place for place, at in times.items() if at < time.monotonic() - 2}
            process.wait(10)
    return f"{number} kills: no dot older than two seconds was lost, and {len(old)} dots are there"


def main(seconds: float, number: int) -> None:
    """Pages without a browser, and kills."""
    with tempfile.TemporaryDirectory() as folder:
        options = {"state": Path(folder) / "many", "options": OPTIONS, "limit": seconds + 400}
        with page_server(SAMPLES, **options) as (address, process):  # type: ignore[arg-type]
            sys.stdout.write(f"{clicks(address, process.pid, seconds)}\n")
            sys.stdout.flush()
        sys.stdout.write(f"{kills(Path(folder) / 'killed', number)}\n")


def main_with_browser(seconds: float) -> None:
    """Tabs of a browser."""
    with tempfile.TemporaryDirectory() as folder:
        options = {"state": Path(folder) / "tabs", "options": OPTIONS, "limit": seconds + 600}
        with page_server(SAMPLES, **options) as (address, process):  # type: ignore[arg-type]
            sys.stdout.write(f"{tabs(address, process.pid, seconds)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    limit = float(sys.argv[1]) if len(sys.argv) > 1 else 120
    main_with_browser(limit)
    main(limit, int(sys.argv[2]) if len(sys.argv) > 2 else 30)

"""Many pages that click at once, and a server that is killed again and again.

python tests/app/soak.py [SECONDS] [KILLS]  (120 seconds and 30 kills by default)
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.browser import page_server
from support.pages import unpacked

from guided_seg.app.opening import SAMPLES
from guided_seg.session import Session

PAGES = 8
PHOTO = "coffee"
OPTIONS = ("precision=fp32", "cache_mb=128")


class Client:
    """A page that clicks at random places, and remembers where."""

    def __init__(self, socket: ClientConnection, seed: int) -> None:
        self.socket, self.rng, self.n = socket, np.random.default_rng(seed), 0
        self.dots: dict[tuple[int, int], int] = {}
        self.state = self.until("state")
        self.size = next((each["height"], each["width"]) for each in self.state["images"] if each["id"] == PHOTO)

    def until(self, kind: str, n: int | None = None) -> dict[str, Any]:
        """The next message of a type; errors are failures."""
        while True:
            data = self.socket.recv(timeout=120)
            message = json.loads(data) if isinstance(data, str) else unpacked(data)
            assert message["type"] not in ("error", "bye"), message
            if message["type"] == kind and n in (None, message.get("n")):
                return message

    def click(self) -> dict[str, Any]:
        """Click somewhere, and wait for the label map."""
        row, column = (int(self.rng.integers(side)) for side in self.size)
        label = int(self.rng.integers(2))
        self.dots[row, column] = label
        self.n += 1
        dot = {"n": self.n, "do": "dot", "image": PHOTO, "row": row, "column": column, "label": label}
        self.socket.send(json.dumps(dot))
        return self.until("mask", self.n)

    def clear(self) -> None:
        """Begin again, so that dots do not pile up."""
        self.n += 1
        self.dots.clear()
        self.socket.send(json.dumps({"n": self.n, "do": "clear", "image": PHOTO}))
        self.until("dots", self.n)


def page(address: str, name: str) -> AbstractContextManager[ClientConnection]:
    """The connection of a page, as a context manager."""
    origin = Origin(address.rstrip("/"))
    return connect(f"ws{address.removeprefix('http')}s/{name}/socket", origin=origin, max_size=None, open_timeout=60)


def expected(dots: dict[tuple[int, int], int], session: Session) -> np.ndarray:
    """What a session of its own says for these dots."""
    session.clear()
    for (row, column), label in dots.items():
        session.dot(PHOTO, row, column, label)
    return session.segment(PHOTO)


def clicks(address: str, process: int, seconds: float) -> str:
    """Let all pages click at once; every last answer must be that of a session with the same dots."""
    with ExitStack() as stack:
        pages = [stack.enter_context(page(address, f"soak-{number}")) for number in range(PAGES)]
        clients = [Client(socket, number) for number, socket in enumerate(pages)]
        for client in clients:
            client.click()
        before = megabytes(process)
        done = all_click(clients, seconds)
    session = Session.load("guided-lite0")
    session.add_image(PHOTO, SAMPLES / f"{PHOTO}.jpg")
    session.add_label("object")
    for client, answer, _ in done:
        assert np.array_equal(answer["pixels"], expected(client.dots, session)), "a page got another one's mask"
    time.sleep(1)
    after, total = megabytes(process), sum(number for *_, number in done)
    assert after < before + 150, f"memory grew from {before:.0f} to {after:.0f} MB"
    return f"{PAGES} pages, {total} clicks in {seconds:g} s, memory {before:.0f} -> {after:.0f} MB: no error, no mixing"


def all_click(clients: list[Client], seconds: float) -> list[tuple[Client, dict[str, Any], int]]:
    """Click on all pages at once; the last answer of each, and the number of its clicks."""
    end = time.monotonic() + seconds
    done: list[tuple[Client, dict[str, Any], int]] = []
    faults: list[BaseException] = []

    def work(client: Client) -> None:
        number = 0
        try:
            while True:
                answer, number = client.click(), number + 1
                if time.monotonic() > end:
                    done.append((client, answer, number))
                    return
                if len(client.dots) >= 20:
                    client.clear()
        except BaseException as error:  # noqa: BLE001
            faults.append(error)

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 120)
    assert not faults, faults
    assert len(done) == PAGES
    return done


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


def megabytes(process: int) -> float:
    """Resident memory of a process."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def main(seconds: float, number: int) -> None:
    """Both, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        options = {"state": Path(folder) / "many", "options": OPTIONS, "limit": seconds + 400}
        with page_server(SAMPLES, **options) as (address, process):  # type: ignore[arg-type]
            sys.stdout.write(f"{clicks(address, process.pid, seconds)}\n")
            sys.stdout.flush()
        sys.stdout.write(f"{kills(Path(folder) / 'killed', number)}\n")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 120, int(sys.argv[2]) if len(sys.argv) > 2 else 30)

"""Pages without a browser that click at random places, for minutes."""

from __future__ import annotations

import json
import threading
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from support.pages import unpacked

PAGES = 8
PHOTO = "coffee"
MOST = 20
"""Dots on a page; then it begins again, so that they do not pile up."""
OPTIONS = ("precision=fp32", "cache_mb=128")
"""Of the server."""


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
            message = self._next(120)
            if message["type"] == kind and n in (None, message.get("n")):
                return message

    def _next(self, seconds: float) -> dict[str, Any]:
        data = self.socket.recv(timeout=seconds)
        message: dict[str, Any] = json.loads(data) if isinstance(data, str) else unpacked(data)
        assert message["type"] not in ("error", "bye"), message
        return message

    def click(self) -> dict[str, Any]:
        """Click somewhere, and wait for the label map."""
        self.press()
        return self.until("mask", self.n)

    def press(self) -> None:
        """Take the messages that are there already, and click somewhere."""
        with suppress(TimeoutError):
            while True:
                self._next(0)
        row, column = (int(self.rng.integers(side)) for side in self.size)
        label = int(self.rng.integers(2))
        self.dots[row, column] = label
        self.n += 1
        dot = {"n": self.n, "do": "dot", "image": PHOTO, "row": row, "column": column, "label": label}
        self.socket.send(json.dumps(dot))

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


def all_click(clients: list[Client], seconds: float, every: float = 0.0) -> list[tuple[Client, dict[str, Any], int]]:
    """Click on all pages at once; the last answer of each, and the number of its clicks.

    Args:
        clients: the pages.
        seconds: how long.
        every: seconds from one click of a page to its next, which does not wait for its label map; the server leaves
            out the map where another click waits. With 0, each click waits for it.
    """
    began = time.monotonic()
    end = began + seconds
    done: list[tuple[Client, dict[str, Any], int]] = []
    faults: list[BaseException] = []

    def work(client: Client) -> None:
        number = 0
        try:
            while time.monotonic() < end:
                if every:
                    client.press()
                else:
                    client.click()
                number += 1
                if len(client.dots) >= MOST:
                    client.clear()
                time.sleep(max(began + every * number - time.monotonic(), 0))
            done.append((client, client.click(), number + 1))
        except BaseException as error:  # noqa: BLE001
            faults.append(error)

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 120)
    assert not faults, faults
    assert len(done) == len(clients)
    return done


def megabytes(process: int) -> float:
    """Resident memory of a process."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))

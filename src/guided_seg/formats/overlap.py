"""Read ahead of the network and write behind it, in threads: in order, and with few images in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, Full, Queue
from threading import Event
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

AHEAD = 2
"""Items that are looked at ahead of the one that is used."""
BEHIND = 2
"""Items that may wait for the thread that consumes them."""


_PATIENCE = 0.05
"""Seconds after which a side that waits looks whether the other one is still there."""


class _Stopped(Exception):
    """Raised where items are consumed, if no more will come."""


def looked_at(items: Iterable[A], look: Callable[[A], B]) -> Generator[tuple[A, B], None, None]:
    """Each item with what ``look`` returns for it, which threads call for the next items meanwhile."""
    waiting: deque[tuple[A, Future[B]]] = deque()
    with ThreadPoolExecutor(AHEAD, "look") as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(look, item)))
                if len(waiting) > AHEAD:
                    first, found = waiting.popleft()
                    yield first, found.result()
            while waiting:
                first, found = waiting.popleft()
                yield first, found.result()
        finally:
            for _, found in waiting:
                found.cancel()


def passed_on(items: Iterable[A], consume: Callable[[Iterator[A]], B]) -> B:
    """What ``consume`` returns for the items. It is called in a thread, and consumes an item while the next is made.

    What either side raises ends both, and is raised here. If it was the items, their consumer gets an exception in
    place of the next one, so that it does not take them for all.
    """
    queue: Queue[tuple[A] | None] = Queue(BEHIND)
    stopped = Event()

    def coming() -> Iterator[A]:
        while not stopped.is_set():
            with suppress(Empty):
                if (found := queue.get(timeout=_PATIENCE)) is None:
                    return
                yield found[0]
        raise _Stopped

    with ThreadPoolExecutor(1, "consume") as pool:
        result = pool.submit(lambda: consume(coming()))
        try:
            for item in items:
                _put(queue, (item,), result)
                if result.done():
                    break
            _put(queue, None, result)
            return result.result()
        except BaseException:
            stopped.set()  # and nothing else: the user may press Ctrl-C twice
            raise


def _put(queue: Queue[A], item: A, result: Future[B]) -> None:
    """Wait for room, unless nothing consumes any more."""
    while not result.done():
        with suppress(Full):
            queue.put(item, timeout=_PATIENCE)
            return

"""Reading ahead and writing behind: the order stays, little waits, and either side ends both."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from guided_seg.formats.overlap import AHEAD, BEHIND, looked_at, passed_on


def test_items_are_looked_at_ahead_and_in_order() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    def look(number: int) -> int:
        time.sleep(0.003 * (number % 3))
        return number * number

    for number, (item, found) in enumerate(looked_at(items(), look)):
        assert (item, found) == (number, number * number)
        assert len(taken) <= number + 1 + AHEAD
    assert len(taken) == 20


def test_looking_stops_with_its_consumer() -> None:
    threads = threading.active_count()
    with closing(looked_at(range(100), lambda number: number)) as looked:
        next(looked)
    assert threading.active_count() == threads


def test_what_a_look_raises_comes_in_its_place() -> None:
    looked = looked_at([1, 0], lambda number: 1 // number)
    assert next(looked) == (1, 1)
    with pytest.raises(ZeroDivisionError):
        next(looked)


def test_items_are_passed_on_in_order_and_few_wait() -> None:
    begun, waiting = [0], []

    def items() -> Iterator[int]:
        for number in range(30):
            begun[0] = number
            yield number

    def consume(coming: Iterator[int]) -> list[int]:
        found = []
        for number in coming:
            time.sleep(0.002)
            waiting.append(begun[0] - number)
            found.append(number)
        return found

    assert passed_on(items(), consume) == list(range(30))
    assert max(waiting) <= BEHIND + 2


def test_making_and_consuming_overlap() -> None:
    def items() -> Iterator[int]:
        for number in range(20):
            time.sleep(0.02)
            yield number

    def consume(coming: Iterator[int]) -> None:
        for _ in coming:
            time.sleep(0.02)

    began = time.perf_counter()
    passed_on(items(), consume)
    assert time.perf_counter() - began < 0.7  # one after the other takes 0.8


def test_a_consumer_does_not_take_stopped_items_for_all() -> None:
    ended: list[bool] = []

    def items() -> Iterator[int]:
        yield from range(5)
        raise KeyboardInterrupt

    def consume(coming: Iterator[int]) -> None:
        for _ in coming:
            pass
        ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        passed_on(items(), consume)
    assert not ended


def test_ctrl_c_twice_leaves_no_thread_behind() -> None:
    threads = threading.active_count()

    def items() -> Iterator[int]:
        try:
            yield 1
            raise KeyboardInterrupt
        finally:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        passed_on(items(), list)
    assert threading.active_count() == threads


def test_what_the_consumer_raises_ends_the_items() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10_000):
            made.append(number)
            yield number

    def consume(coming: Iterator[int]) -> None:
        next(coming)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        passed_on(items(), consume)
    assert len(made) < 10


def test_a_consumer_may_want_only_some() -> None:
    assert passed_on(range(1000), next) == 0

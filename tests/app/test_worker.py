"""The worker of a page: the order of its work, and that nothing ends it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event, Lock

import pytest
from support.pages import LIMIT, until

from guided_seg.app import worker as module
from guided_seg.app.worker import Worker
from guided_seg.errors import UserError


@pytest.fixture
def done() -> list[str]:
    return []


@pytest.fixture
def worker(done: list[str]) -> Iterator[Worker]:
    made = Worker(Lock(), lambda: done.append("saved"), lambda error: done.append(str(error)))
    yield made
    made.end()


def held(worker: Worker) -> Event:
    """Keep the worker busy until the event is set, so that work can pile up."""
    go, busy = Event(), Event()
    worker.edit(lambda: (busy.set(), go.wait(LIMIT)))  # type: ignore[arg-type, return-value]
    assert busy.wait(LIMIT)
    return go


def test_edits_come_in_order_then_the_latest_question_then_the_background(worker: Worker, done: list[str]) -> None:
    def steps() -> Iterator[None]:
        for number in range(3):
            done.append(f"step {number}")
            yield

    go = held(worker)
    worker.behind(steps())
    for number in range(3):
        worker.ask("hover", lambda number=number: done.append(f"hover {number}"))  # type: ignore[misc]
    worker.ask("look", lambda: done.append("look"))
    for number in range(3):
        worker.edit(lambda number=number: done.append(f"edit {number}"))  # type: ignore[misc]
    go.set()
    until(lambda: "step 2" in done)
    assert done == ["edit 0", "edit 1", "edit 2", "look", "hover 2", "step 0", "step 1", "step 2"]


def test_an_edit_comes_between_two_steps(worker: Worker, done: list[str]) -> None:
    waits, go = Event(), Event()

    def steps() -> Iterator[None]:
        waits.set()
        go.wait(LIMIT)
        yield
        done.append("second step")
        yield

    worker.behind(steps())
    assert waits.wait(LIMIT)
    worker.edit(lambda: None)
    assert not worker.changes_wait
    worker.edit(lambda: done.append("edit"), changes=True)
    assert worker.changes_wait
    go.set()
    until(lambda: len(done) == 2)
    assert done == ["edit", "second step"]


def test_new_background_work_replaces_the_old(worker: Worker, done: list[str]) -> None:
    def steps(name: str) -> Iterator[None]:
        for _ in range(3):
            done.append(name)
            yield

    go = held(worker)
    worker.behind(steps("old"))
    worker.behind(steps("new"))
    go.set()
    until(lambda: len(done) == 3)
    assert done == ["new"] * 3
    worker.behind(None)


def test_an_error_is_told_and_the_worker_goes_on(worker: Worker, done: list[str]) -> None:
    def fails() -> None:
        raise RuntimeError("broken")

    worker.edit(fails)
    worker.edit(lambda: done.append("next"))
    until(lambda: "next" in done)
    assert done == ["broken", "next"]


def test_changes_are_saved_soon_and_at_the_end(
    worker: Worker, done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAVE_AFTER", 0.1)
    worker.edit(worker.changed)
    until(lambda: done == ["saved"])
    monkeypatch.setattr(module, "SAVE_AFTER", 1e6)
    worker.edit(worker.changed)
    worker.edit(lambda: done.append("edit"))
    worker.end()
    assert done == ["saved", "edit", "saved"]


def test_changes_are_saved_while_work_goes_on(worker: Worker, done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAVE_AFTER", 0.1)

    def endless() -> Iterator[None]:
        while True:
            time.sleep(0.01)
            yield

    worker.behind(endless())
    worker.edit(worker.changed)
    until(lambda: "saved" in done)
    worker.behind(None)


def test_an_ended_worker_takes_nothing(worker: Worker) -> None:
    worker.end()
    with pytest.raises(UserError, match="is ending"):
        worker.edit(lambda: None)

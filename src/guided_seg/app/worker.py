"""One thread that does the work of a page: edits first, then the latest question, then what fills in behind."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from threading import Condition, Lock, Thread

from guided_seg.errors import UserError

Job = Callable[[], None]

QUESTIONS = ("look", "hover", "other", "view", "refine", "next")
"""Kinds of questions, the most urgent first. A new question replaces a waiting one of its kind."""

SAVE_AFTER = 1.0
"""Seconds from the first unsaved change to the save."""


class Worker:
    """A thread with three kinds of work.

    - Edits run in the order in which they came.
    - Of each kind of question only the latest one is answered.
    - Background work is an iterator, advanced one step at a time while nothing else waits.

    Args:
        lock: held during each piece of work, so that pages do not compute at the same time. Several networks that run
            at once take longer than one after the other.
        save: writes unsaved changes. If it calls `changed`, because it failed, it is called again.
        failed: called with an unexpected error; the thread goes on.
    """

    def __init__(self, lock: Lock, save: Job, failed: Callable[[Exception], None]) -> None:
        self._lock, self._save, self._failed = lock, save, failed
        self._edits: deque[tuple[Job, bool]] = deque()
        self._questions: dict[str, Job] = {}
        self._background: Iterator[None] | None = None
        self._changed_at: float | None = None
        self._ended = False
        self._wake = Condition()
        self._thread = Thread(target=self._run, name="guided_seg page", daemon=True)
        self._thread.start()

    @property
    def changes_wait(self) -> bool:
        """Whether edits wait that change dots or masks, so that an answer to this one would be out of date."""
        return any(changes for _, changes in list(self._edits))

    def edit(self, job: Job, changes: bool = False) -> None:
        """Do this after the edits that came before.

        Args:
            job: the work.
            changes: whether it changes dots or masks.

        Raises:
            UserError: the worker has ended.
        """
        with self._wake:
            if self._ended:
                raise UserError("The server is ending; start it again, and everything is there.")
            self._edits.append((job, changes))
            self._wake.notify()

    def ask(self, kind: str, job: Job) -> None:
        """Do this soon, unless another question of the kind comes first."""
        with self._wake:
            self._questions[kind] = job
            self._wake.notify()

    def behind(self, steps: Iterator[None] | None) -> None:
        """Replace the background work; None stops it."""
        with self._wake:
            self._background = steps
            self._wake.notify()

    def changed(self) -> None:
        """Remember that something has to be saved."""
        if self._changed_at is None:
            self._changed_at = time.monotonic()

    def end(self, timeout: float = 10) -> None:
        """Finish the edits, save, and end the thread."""
        with self._wake:
            self._ended, self._background = True, None
            self._questions.clear()
            self._wake.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (job := self._take()) and not self._ended and not self._due():
                    self._wake.wait(SAVE_AFTER / 4 if self._changed_at is not None else None)
                ended = self._ended
            if job:
                self._do(job)
            if self._due() or (ended and not job):
                self._do(self._write)
            if ended and not job:
                return

    def _take(self) -> Job | None:
        if self._edits:
            return self._edits.popleft()[0]
        for kind in QUESTIONS:
            if kind in self._questions:
                return self._questions.pop(kind)
        return self._step if self._background is not None else None

    def _step(self) -> None:
        steps = self._background
        if steps is not None and next(steps, self) is self and self._background is steps:
            self._background = None

    def _due(self) -> bool:
        return self._changed_at is not None and time.monotonic() - self._changed_at >= SAVE_AFTER

    def _write(self) -> None:
        if self._changed_at is not None:
            self._changed_at = None
            self._save()

    def _do(self, job: Job) -> None:
        try:
            with self._lock:
                job()
        except Exception as error:
            logging.getLogger(__name__).exception("a page's work failed")
            self._background = None
            self._failed(error)

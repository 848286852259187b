"""The desk of one page: a session, and the messages that change it or ask something."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import Any, TypeVar

from guided_seg.app import messages
from guided_seg.app.behind import Behind
from guided_seg.app.edits import apply
from guided_seg.app.opening import SESSION
from guided_seg.app.replies import Outbox, Replies
from guided_seg.app.worker import Worker
from guided_seg.errors import UserError
from guided_seg.formats import write
from guided_seg.formats.saving import Step
from guided_seg.session import Session
from guided_seg.session.arguments import RGB

T = TypeVar("T")

log = logging.getLogger(__name__)


class Desk:
    """One session with its page.

    Args:
        name: the name in the address of the page.
        session: used by the desk's thread only.
        file: where the session is saved.
        lock: shared by all desks, see `Worker`.
        reopen: opens a saved session with the same network.
        other: an empty session with a second network, whose answers are shown beside; None for none.
    """

    def __init__(
        self,
        name: str,
        session: Session,
        file: Path,
        lock: Lock,
        reopen: Callable[[Path], Session],
        other: Session | None = None,
    ) -> None:
        self.name, self.session, self.file, self._reopen = name, session, file, reopen
        self._replies = Replies(session, other)
        self._warnings: list[str] = []
        self._done = 0  # the number of the last edit of the page
        self._unsaved: str | None = None  # why the last save failed
        self._worker = Worker(lock, self._save, self._failed)
        self._behind = Behind(session, self._replies, self._worker)

    # ---- called by the server, from any thread ----

    @property
    def outbox(self) -> Outbox | None:
        """That of the page; None while there is none."""
        return self._replies.outbox

    def connect(self, outbox: Outbox) -> None:
        """A page is there: it gets the state, and all answers from now on."""
        self._replies.outbox = outbox
        self._worker.edit(self._begin)
        self.say_state()
        for text in self._warnings:
            self.refuse(text)
        self._warnings.clear()
        if (unsaved := self._unsaved) is not None:
            self.refuse(unsaved)

    def disconnect(self, outbox: Outbox) -> None:
        """The page is gone. Edits that wait are still done and saved; background work stops."""
        if self.outbox is outbox:
            self._replies.outbox = None
            self._behind.stop()

    def receive(self, text: str) -> None:
        """Take a message from the page. A bad one is answered with an error and changes nothing."""
        try:
            message = messages.parse(text)
        except UserError as error:
            self.refuse(str(error))
            return
        match message:
            case _ if isinstance(message, messages.Question):
                self._worker.ask(message.do, partial(self._carefully, message.n, self._reply, message))
            case messages.Stop():
                self._behind.stop()
            case _:
                # the answer to one change is left out if another one waits, but not if a fill does
                changes = isinstance(message, messages.Change)
                self._worker.edit(partial(self._carefully, message.n, self._do, message), changes)

    def refuse(self, text: str) -> None:
        """Say on the page why something was refused."""
        self._replies.refuse(text)

    def warn(self, text: str) -> None:
        """Say a sentence on the page once it is there."""
        self._warnings.append(text)

    def say_state(self) -> None:
        """Send the whole state to the page."""
        self._worker.edit(partial(self._replies.state, self.name))

    def wait_for(self, job: Callable[[Session], T]) -> T:
        """Do something with the session after the edits that came before, save it, and return the result."""
        done: Future[T] = Future()

        def work() -> None:
            try:
                done.set_result(job(self.session))
            except Exception as error:  # noqa: BLE001  (raised in the thread that waits)
                done.set_exception(error)
            self._worker.changed()

        self._worker.edit(work)
        return done.result()

    def copy(self, file: Path) -> Session:
        """A copy of the session as it is now, by way of a file."""
        self.wait_for(lambda session: session.save(file))
        return self._reopen(file)

    def export(self, folder: Path, wanted: messages.Export, cancelled: Event) -> None:
        """Export masks into an empty folder, and report progress to the page.

        It works on a copy, so that clicks need not wait.

        Args:
            folder: where to; the copy is made beside it.
            wanted: which format and images.
            cancelled: ends it after the image that it is at.

        Raises:
            UserError: there is nothing to write, or it was cancelled.
        """

        def told(step: Step) -> None:
            self._replies.tell(type="export", done=step.done, of=step.total)
            if cancelled.is_set():
                raise UserError("The export was cancelled.")

        copy = self.copy(folder.with_suffix(SESSION))
        write(copy, folder, wanted.format, progress=told, annotated=wanted.annotated, refined=wanted.refined)

    def pixels(self, image_id: str) -> RGB:
        """The pixels of an image, or of a frame of a video as ``clip#12``.

        Raises:
            UserError: there is no such image, or it cannot be read.
        """
        try:  # no look through all images, which the desk's thread may be changing
            return self.session.picture(image_id).read()
        except UserError:
            video, _, index = image_id.rpartition("#")
            if video not in self.session.videos or not index.isdecimal():
                raise
            return self.session.frame_pixels(video, int(index))

    def end(self) -> None:
        """Finish the edits, save, and end the thread."""
        self._worker.end()

    # ---- in the desk's own thread ----

    def _carefully(self, n: int | None, job: Callable[..., None], *arguments: Any) -> None:
        try:
            job(*arguments)
        except UserError as error:
            self._replies.refuse(str(error), n)

    def _failed(self, error: Exception) -> None:
        self._behind.filling = False
        found = f"{type(error).__name__}: {error}"
        self.refuse(f"That did not work ({found}). Your dots are unharmed; the server's log says more.")

    def _begin(self) -> None:
        """A new page counts its messages from the first one again."""
        self._done = 0

    def _do(self, message: Any) -> None:
        session, n = self.session, message.n
        self._done = n
        match message:
            case messages.Label():
                session.add_label(message.name)
                self._replies.labels(n)
                self._changed(n, [])
            case messages.Rename():
                session.rename_label(message.label, message.name)
                self._worker.changed()
                self._replies.labels(n)
            case messages.Drop():
                self._drop(n, message.label)
            case messages.Clear():
                touched = [message.image] if message.image is not None else session.annotated
                before = self._replies.marks()
                session.clear(message.image)
                self._replies.removed(n, before)
                self._changed(n, touched)
            case messages.Step():
                self._step(n, session.undo if message.do == "undo" else session.redo)
            case messages.Frame():
                self._replies.frame(n, session.frame(message.video, message.index))
            case messages.Play():
                self._behind.play(message)
            case messages.Fill():
                self._behind.fill(n)
            case _:
                apply(message, session)
                self._behind.visible = message.image
                self._changed(n, [message.image])

    def _step(self, n: int, step: Callable[[], bool]) -> None:
        annotated, names = self.session.annotated, self.session.labels
        if step():
            if self.session.labels != names:
                self._replies.labels(n)
            self._changed(n, list(dict.fromkeys([*annotated, *self.session.annotated])))

    def _drop(self, n: int, label: int) -> None:
        session, before = self.session, self._replies.marks()
        annotated, names = session.annotated, session.labels
        try:
            session.remove_label(label)
        finally:
            self._replies.labels(n)  # also if it is refused: the page has left it out already
        self._replies.removed(n, before, names[label])
        self._changed(n, annotated)

    def _changed(self, n: int, touched: list[str]) -> None:
        """After a change: save soon, send the dots, and answer for the image that is visible."""
        self._worker.changed()
        self._replies.confidence.clear()
        for name in touched:
            self._replies.dots(n, name)
        if self._worker.changes_wait:  # the next one makes an answer out of date
            return
        shown = self._behind.visible or (touched[-1] if touched else None)
        if shown is not None:
            self._replies.answer(n, shown)
        if self._behind.filling:
            self._behind.fill(n)

    def _reply(self, message: Any) -> None:
        session, n, began = self.session, message.n, time.perf_counter()
        match message:
            case messages.Look():
                session.picture(message.image)
                self._behind.visible = message.image
                self._replies.answer(n, message.image)
            case messages.Hover():
                labels = session.preview(message.image, message.row, message.column, message.label)
                self._replies.mask(n, message.image, "preview", labels, began)
            case messages.Other():
                self._replies.other(n, message.image)
            case messages.Refine() if self._replies.can_answer:
                self._replies.mask(n, message.image, "refined", session.refined(message.image), began)
            case messages.View():
                self._replies.map(n, message.image, message.what, message.label)
            case messages.Next():
                self._replies.where_next(n, self._behind.visible)

    def _save(self) -> None:
        """Save the session; if that fails, try again at the next save, and say so once."""
        try:
            self.session.save(self.file)
        except Exception as error:
            self._worker.changed()  # so that there is a next save
            told, self._unsaved = self._unsaved is not None, _not_saved(error)
            if not told:
                log.warning("%s", self._unsaved, exc_info=None if isinstance(error, UserError) else error)
                self.refuse(self._unsaved)
            return
        if self._unsaved is not None:
            self._unsaved = None
            self._replies.tell(type="notice", text="Saving works again; everything is saved.")
        self._replies.saved(self._done)


def _not_saved(error: Exception) -> str:
    found = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}."
    return (
        f"Your work is not saved: {found} It stays on this page and is saved as soon as that works again, so keep the "
        "server running."
    )

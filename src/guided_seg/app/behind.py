"""What goes on behind a page while nothing else waits: other images are answered, and videos play."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from guided_seg.app.messages import Play
from guided_seg.app.replies import Replies
from guided_seg.app.worker import Worker
from guided_seg.errors import UserError
from guided_seg.session import Session
from guided_seg.session.confidence import confidence
from guided_seg.session.playing import FrameAnswer


class Behind:
    """The background work of a desk.

    Args:
        session: answers.
        replies: take the answers to the page.
        worker: does the work.

    Attributes:
        filling: whether the other images are answered again after each change.
        visible: the image that the page shows, which is answered without this.
    """

    def __init__(self, session: Session, replies: Replies, worker: Worker) -> None:
        self._session, self._replies, self._worker = session, replies, worker
        self.filling = False
        self.visible: str | None = None

    def stop(self) -> None:
        """End what goes on."""
        self.filling = False
        self._worker.behind(None)

    def fill(self, n: int) -> None:
        """Answer all images but the visible one."""
        self.filling = True
        self._worker.behind(self._filled(n) if self._replies.can_answer else None)

    def play(self, message: Play) -> None:
        """Answer the frames of a video one after the other. Raises `UserError` if they cannot be."""
        self.filling = False
        steps = self._session.segment_frames(
            message.video, message.start, message.corrections, message.memory, message.backward
        )
        self._worker.behind(self._played(message, steps))

    def _filled(self, n: int) -> Iterator[None]:
        names = sorted(self._session.images, key=lambda name: name != self.visible)
        for done, name in enumerate(names, 1):
            yield from self._until_there_is_room()
            if name != self.visible:
                self._answer(n, name)
            self._replies.progress(n, "fill", done, len(names), done == len(names))
            yield

    def _answer(self, n: int, name: str) -> None:
        try:
            self._replies.answer(n, name)
        except UserError as error:
            self._replies.refuse(str(error))

    def _played(self, message: Play, steps: Iterator[FrameAnswer]) -> Iterator[None]:
        done, began, length = 0, time.perf_counter(), self._replies.length(message.video) or 0
        of = message.start + 1 if message.backward else length - message.start  # not positive: not known
        try:
            for done, frame in enumerate(steps, 1):
                name, sure = f"{message.video}#{frame.number}", confidence(torch.stack(frame.maps).cpu().numpy())
                self._replies.mask(message.n, name, "answer", frame.labels, began, sure)
                self._replies.progress(message.n, "play", done, max(of, done) if of > 0 else 0, ended=False)
                yield from self._until_there_is_room()
                yield
                began = time.perf_counter()
        except UserError as error:
            self._replies.refuse(str(error), message.n)
        self._replies.progress(message.n, "play", done, done, ended=True)

    def _until_there_is_room(self) -> Iterator[None]:
        while (outbox := self._replies.outbox) is not None and outbox.full:
            time.sleep(0.002)
            yield

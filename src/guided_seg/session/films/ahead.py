"""Read frames ahead in a thread, with their warnings and errors at their place in the sequence."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from queue import Queue
from threading import Event, Thread, local
from typing import Any

from guided_seg.errors import VideoWarning
from guided_seg.session.arguments import RGB

AHEAD = 4
"""Number of frames to read ahead while an earlier one is segmented."""

Frame = tuple[int, RGB]
"""A frame's number, from 0, and its pixels."""


def ahead(frames: Iterator[Frame], number: int = AHEAD) -> Iterator[Frame]:
    """The same frames, read ahead by a thread. Exceptions and warnings come at their position in the sequence."""
    queue: Queue[Frame | Exception | None] = Queue(number)
    stop = Event()

    def read() -> None:
        end: Exception | None = None
        _reading.queue = queue
        try:
            for frame in frames:
                queue.put(frame)
                if stop.is_set():
                    return
        except Exception as error:  # noqa: BLE001  raised again in the consumer
            end = error
        queue.put(end)

    thread = Thread(target=read, daemon=True)
    thread.start()
    try:
        while (found := queue.get()) is not None:
            if isinstance(found, VideoWarning):
                warn(found)
            elif isinstance(found, Exception):
                raise found
            else:
                yield found
    finally:
        stop.set()
        while thread.is_alive():
            while not queue.empty():
                queue.get_nowait()
            thread.join(0.01)


_reading = local()
"""In a thread that reads ahead: the queue of its frames."""


def warn(warning: VideoWarning) -> None:
    """Warn in the thread that asked for the frames.

    Filters of warnings belong to the process: a warning of another thread is lost while this one changes them.
    """
    queue: Queue[Any] | None = getattr(_reading, "queue", None)
    if queue is None:
        warnings.warn(warning, stacklevel=2)
    else:
        queue.put(warning)

"""Spinner on the terminal during long operations."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

SHOW_AFTER = 1.0
"""Seconds before the spinner appears."""


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show ``what`` with a spinner on stderr while the block runs, after the first second.

    It is removed at the end, and never shown if stderr is not a terminal.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    status = Console(stderr=True).status(Text(f"{what} ..."))
    timer = Timer(SHOW_AFTER, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # it may be about to show the spinner
        status.stop()

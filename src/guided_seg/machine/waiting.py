"""A word on the terminal while something takes long."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

SHOW_AFTER = 1.0
"""Seconds without a word before one appears."""


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show ``what`` with a spinner on stderr while the block runs, once it has taken a second.

    Nothing is shown where stderr is no terminal, and nothing is left of it afterwards.
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

"""What all commands have in common with good programs: how they end, and what their output can take."""

from __future__ import annotations

import atexit
import io
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import ParamSpec, TypeVar

from guided_seg.errors import full_disk

P = ParamSpec("P")
T = TypeVar("T")

INTERRUPTED = 130
BROKEN_PIPE = 141
"""Exit codes that shells expect: 128 and the number of the signal."""


def program(main: Callable[P, T]) -> Callable[P, T]:
    """Make a function the whole of a program.

    Ctrl-C ends it with a word and code 130, wherever it comes. A full disk ends it with a sentence, and a reader that
    has seen enough, as in ``| head -1``, without a word. What the output cannot encode is written as a code.
    """

    @wraps(main)
    def whole(*args: P.args, **options: P.kwargs) -> T:
        _write_every_character()
        try:
            result = main(*args, **options)
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()  # here, not when Python ends, which could only complain
        except KeyboardInterrupt:
            # A second one, as `timeout -s INT` and impatient people send it, would end Python by the signal while it
            # puts things away. Not from here on: in a process of somebody else's, Ctrl-C goes on working.
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
            _say("Interrupted.")
            raise SystemExit(INTERRUPTED) from None
        except BrokenPipeError:
            _drop_the_output()
            raise SystemExit(BROKEN_PIPE) from None
        except OSError as error:
            if (sentence := full_disk(error)) is None:
                raise
            _drop_the_output()
            _say(f"error: {sentence}")
            raise SystemExit(2) from None
        return result

    return whole


def _write_every_character() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _say(word: str) -> None:
    with suppress(OSError, AttributeError):  # nobody may be there to read it
        sys.stderr.write(f"{word}\n")
        sys.stderr.flush()


def _drop_the_output() -> None:
    """What is still to be written goes nowhere, so that Python does not try again when it ends."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)

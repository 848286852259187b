"""Make functions well-behaved programs: exit codes, signals and output encoding."""

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
TERMINATED = 143
"""Exit codes that shells expect: 128 plus the number of the signal."""


def program(main: Callable[P, T]) -> Callable[P, T]:
    """Turn a function into a program.

    Ctrl-C ends it at any time with a short message and code 130. A full disk ends it with a sentence, and a closed
    pipe, as in ``| head -1``, silently. Characters that the output cannot encode are escaped.
    """

    @wraps(main)
    def whole(*args: P.args, **options: P.kwargs) -> T:
        _write_every_character()
        try:
            result = main(*args, **options)
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()  # here, because errors at interpreter exit cannot be handled
        except KeyboardInterrupt:
            # A second Ctrl-C, as from `timeout -s INT` or impatient users, would kill Python during its cleanup.
            # Only register this on exit: when called within another program, Ctrl-C must keep working.
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
    with suppress(OSError, AttributeError):  # stderr may be closed
        sys.stderr.write(f"{word}\n")
        sys.stderr.flush()


def _drop_the_output() -> None:
    """Discard pending output, so that Python does not retry it at exit."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)

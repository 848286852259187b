"""Processes that tests start. All begin in the same state, however the tests were started, and have a time limit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Timer
from typing import IO, Any

PLAIN = {"COLUMNS": "120", "NO_COLOR": "1"}
"""The environment of a log."""

KEPT = ("PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "VIRTUAL_ENV", "USER", "LOGNAME", "CC", "CXX")
KEPT_TEMPORARY = ("TMPDIR", "TEMP", "TMP")
KEPT_PREFIXES = ("PYTEST_", "COV_", "COVERAGE_", "CUDA_", "GUIDED_SEG_", "REFRESH_")
"""What the tests leave of their environment: where programs and devices are, and what was meant for the tests."""

IGNORABLE = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
"""Signals that ``nohup`` and a shell's ``&`` make a process ignore, and with it the processes that it starts."""


class TookTooLong(AssertionError):
    """A process was killed at its time limit."""


def kept(environment: dict[str, str]) -> dict[str, str]:
    """The part of an environment that the tests leave as it is."""
    names = KEPT + KEPT_TEMPORARY
    return {name: value for name, value in environment.items() if name in names or name.startswith(KEPT_PREFIXES)}


@contextmanager
def started(
    *line: str | Path, limit: float, folder: Path | None = None, stdout: int | IO[str] = subprocess.PIPE, **more: str
) -> Iterator[subprocess.Popen[str]]:
    """A running process without input, which is killed with all that it started when the block ends.

    Args:
        line: the program and its arguments.
        limit: seconds after which everything is killed; the block then ends in `TookTooLong`.
        folder: where it runs (default: here).
        stdout: where its output goes (default: a pipe).
        more: variables of its environment, beside those of this process.
    """
    with _default_signals():
        process = subprocess.Popen(
            [str(word) for word in line],
            cwd=folder,
            env={**os.environ, **PLAIN, "OMP_NUM_THREADS": "1", **more},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    late = Event()
    timer = Timer(limit, lambda: (late.set(), _kill(process)))
    timer.daemon = True
    timer.start()
    try:
        with process:
            try:
                yield process
            finally:
                _kill(process)
    finally:
        timer.cancel()
        if late.is_set():
            raise TookTooLong(f"killed after {limit} s: {' '.join(map(str, line))}")


def ended(*line: str | Path, limit: float, folder: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """What a process printed and returned; see `started`."""
    with started(*line, limit=limit, folder=folder, **more) as process:
        out, err = process.communicate()
    return subprocess.CompletedProcess(line, process.returncode, out, err)


def python(*argv: str | Path, limit: float, folder: Path | None = None, **more: str) -> str:
    """What Python prints when run with these arguments; fails where it does. See `started`."""
    done = ended(sys.executable, *argv, limit=limit, folder=folder, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill it and all that it started, even where it has ended itself."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def _default_signals() -> Iterator[None]:
    """A process begins meanwhile with the default handlers: it inherits what is ignored, but no function."""
    ignored = [number for number in IGNORABLE if signal.getsignal(number) is signal.SIG_IGN]
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORABLE)
    for number in ignored:
        signal.signal(number, _pass_over)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _pass_over(*_: Any) -> None:
    """A handler that ignores its signal."""


def forked(run: Callable[[], int]) -> int:
    """The id of a copy of this process, which ends with the exit code of ``run``. The caller kills and waits for it."""
    process = os.fork()
    if not process:
        os._exit(run())
    return process

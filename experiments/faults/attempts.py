"""Start a command in a copy of this process, and kill it, or one of its two processes, at a given moment."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from guided_seg.files.writing import PARTIAL

LONGEST = 900.0
"""Seconds after which a start counts as hung."""
MINUTE = 60.0
"""Seconds within which both processes of a run must end after a kill of one."""


def kill(process: int, log: Path) -> None:  # noqa: ARG001  as `OneOfTwo` is called
    """Kill a command, and wait for its end."""
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


class OneOfTwo:
    """Kills one of the two processes of a run, by chance, and waits for the end of the other.

    Attributes:
        found: which one was killed how often, and how often the run was complete all the same.
        slowest: most seconds from a kill to the end of all processes of the run.
    """

    def __init__(self, seed: int) -> None:
        self.rng, self.found, self.slowest = random.Random(seed), Counter[str](), 0.0

    def __call__(self, process: int, log: Path) -> None:
        """Kill. Fails unless all ends within a minute, and where the first process is left, with an error."""
        first, said = psutil.Process(process), log.stat().st_size
        seconds = [each for each in first.children() if "guided_seg.run" in each.cmdline()]
        victim, family = self.rng.choice([first, *seconds]), first.children(recursive=True)
        began = time.monotonic()
        victim.kill()
        code = _exit_code(process, began + MINUTE)
        _, left = psutil.wait_procs(family, max(began + MINUTE - time.monotonic(), 0))
        assert not left, f"they live on after a minute: {left}"
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.found["of the first process" if victim is first else "of the second process"] += 1
        if victim is first:
            assert code == -signal.SIGKILL
        elif code == 0:
            self.found["after which the run was complete"] += 1
        else:
            told = log.read_bytes()[said:].decode(errors="replace")
            assert "error: Process 1 of 2, counted from 0, was killed by SIGKILL" in told, f"{code}: {told[-3000:]}"


def _exit_code(process: int, until: float) -> int:
    while time.monotonic() < until:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    raise AssertionError(f"{process} lives on after a minute")


def attempt(
    main: Callable[[], Any],
    words: list[str],
    folder: Path,
    now: Callable[[float], bool],
    strike: Callable[[int, Path], None] = kill,
) -> str | None:
    """Run a command until it ends, or until ``now`` says so of the seconds since its start.

    Args:
        main: the command.
        words: its arguments.
        folder: what it fills; its output goes to a file beside it.
        now: whether to kill it now.
        strike: kills it, given its process and the file with its output.

    Returns:
        What it was doing when it was killed; None if it has ended.
    """
    began, log = time.time(), folder.with_suffix(".log")
    process = os.fork()
    if not process:
        _become(main, words, log)
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            assert os.waitstatus_to_exitcode(status) == 0, log.read_text()[-3000:]
            return None
        seconds = time.time() - began
        if now(seconds) or seconds > LONGEST:
            assert seconds < LONGEST, f"it hangs: {log.read_text()[-3000:]}"
            moment = _moment(folder, began)  # before, as one of two processes that is left tidies up
            strike(process, log)
            return moment
        time.sleep(0.0005)


def _become(main: Callable[[], Any], words: list[str], log: Path) -> None:
    """Run the command in this copy of the process, and end it."""
    code: Any = 1
    try:
        written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(written, 1)
        os.dup2(written, 2)
        sys.argv = ["command", *words]
        main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdout.flush()
        os._exit(code)


def half_written(folder: Path) -> bool:
    """Whether a file of the folder or a checkpoint is being written."""
    return any(folder.glob(f"{PARTIAL}*")) or any(folder.glob(f"checkpoints/{PARTIAL}*"))


def _moment(folder: Path, began: float) -> str:
    """What the command is doing, by the files that there are."""
    if any(folder.glob(f"checkpoints/{PARTIAL}*")):
        return "writing a checkpoint"
    if half_written(folder):
        return "writing another file"
    if any(path.stat().st_mtime > began for path in folder.glob("records_*.jsonl")):
        return "testing"
    table = folder / "metrics.csv"
    return "training" if table.is_file() and table.stat().st_mtime > began else "starting"

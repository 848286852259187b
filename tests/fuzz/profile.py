"""How long a fuzz lasts: a few fixed examples in the suite, or random ones for so many seconds (`make fuzz`)."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from guided_seg.errors import UserError

SECONDS = float(os.environ.get("GUIDED_SEG_FUZZ_SECONDS", "0"))
"""How long each target is fuzzed with random input; 0 for the fixed examples of the suite."""

LAST = os.environ.get("GUIDED_SEG_FUZZ_LAST")
"""The file that says how many inputs were tried, and which was the last, to be found there after a crash."""

MEMORY = 3 * 2**30
"""Bytes of memory that a target may add to those of its process: what asks for more fails instead of swapping."""


class Crash(AssertionError):
    """An input ended in another error than `UserError`."""


began: dict[str, float] = {}
"""When each target tried its first input."""
failed: set[str] = set()
tried = count(1)


def examples(number: int) -> Callable[[Any], Any]:
    """The settings of a target, of which the suite tries ``number`` examples."""
    common = {
        "deadline": None,
        "suppress_health_check": list(HealthCheck),
        "phases": (Phase.explicit, Phase.reuse, Phase.generate),  # to shrink what was found takes minutes
    }
    if SECONDS:
        return settings(max_examples=10**9, derandomize=False, print_blob=True, **common)
    return settings(max_examples=number, derandomize=True, database=None, **common)


@contextmanager
def only_user_errors(*shown: object) -> Iterator[None]:
    """What runs within gives a right result or a `UserError` in a sentence; ends the target when its time is over.

    Args:
        shown: the input, for the file of the last one.
    """
    target = os.environ.get("PYTEST_CURRENT_TEST", "")
    if SECONDS and target not in failed and time.monotonic() - began.setdefault(target, time.monotonic()) > SECONDS:
        pytest.skip("its time is over")
    if LAST:
        Path(LAST).write_text(f"{next(tried)} inputs; {target}: {shown!r}", encoding="utf-8", errors="backslashreplace")
    try:
        with limited_memory():
            yield
    except UserError as error:
        try:
            assert_a_sentence(str(error))
        except AssertionError:
            failed.add(target)
            raise
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        failed.add(target)
        raise Crash(f"{type(error).__name__}: {str(error)[:500]}") from error


def assert_a_sentence(text: str) -> None:
    """A message that says something, and hides no traceback."""
    assert len(text.split()) >= 4, text
    assert "Traceback" not in text, text


@contextmanager
def limited_memory() -> Iterator[None]:
    """Let this process take no more than `MEMORY` beside what it has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    statm = Path("/proc/self/statm")
    if not statm.exists():
        yield
        return
    used = int(statm.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    most = min(limit for limit in (before[0], used + MEMORY) if limit != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)

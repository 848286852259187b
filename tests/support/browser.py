"""The server of the page as a process, and the browser that opens it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest

from guided_seg.machine.browser import HOW, chromium
from support.processes import started


def need_chromium() -> None:
    """Skip the test if there is no Chromium; fail it if GUIDED_SEG_NEEDS_BROWSER is set, as in CI."""
    if chromium() is None:
        sentence = f"there is no Chromium, which the tests of the page drive; {HOW}"
        if os.environ.get("GUIDED_SEG_NEEDS_BROWSER"):
            pytest.fail(sentence)
        pytest.skip(sentence)


@contextmanager
def page_server(
    *paths: Path | str, state: Path, limit: float = 300, options: tuple[str, ...] = ()
) -> Iterator[tuple[str, Popen[str]]]:
    """The server of the page as a process of its own: its address, and the process.

    Args:
        paths: what it opens.
        state: where sessions are kept.
        limit: seconds after which it is killed.
        options: further settings.
    """
    line = (sys.executable, "-m", "guided_seg.app", *paths, "port=0", "open=false", f"state={state}", *options)
    with started(*line, limit=limit) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        if "http://" not in said:
            process.wait(10)
            assert process.stderr is not None
            pytest.fail(f"the server did not start: {said}{process.stderr.read()}")
        yield said.split()[0], process

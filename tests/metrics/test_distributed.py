"""Two processes that score shares of a set say what one that scores all of it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from metrics.one_process import Row, score

SET: list[Row] = [[0, 7, 1, 2], [1, 7, 2, 8], [2, 4, 0, 0], [3, 4, 6, 8], [4, 9, 3, 9], [5, 7, 11, 11], [6, 9, 0, 4]]
SHARES = {
    "even": [SET[0:6:2], SET[1:6:2]],
    "uneven": [SET[:6], SET[6:]],
    "one has none": [[], SET],
    "some twice": [SET[:4], SET[2:] + SET[:1]],  # as a sampler pads
}


def _ask_two_processes(store: Path) -> list[list[Any]]:
    """What each of two processes says of every case."""
    script = Path(__file__).with_name("one_process.py")
    arguments = ("2", str(store), json.dumps(list(SHARES.values())))
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen([sys.executable, script, str(rank), *arguments], **pipes) for rank in range(2)]
    try:
        done = [process.communicate(timeout=120) for process in running]
    finally:
        for process in running:
            process.kill()
    assert all(process.returncode == 0 for process in running), "\n".join(error for _, error in done)
    return [json.loads(output) for output, _ in done]


@pytest.mark.slow
def test_two_processes_agree_with_one(tmp_path: Path) -> None:
    answers = _ask_two_processes(tmp_path / "store")
    for (name, shares), both in zip(SHARES.items(), zip(*answers, strict=True), strict=True):
        whole = sorted({tuple(row) for share in shares for row in share})
        scores, groups, _ = score([list(row) for row in whole])
        assert isinstance(scores, dict)
        assert scores["episodes"] == len(whole)
        for share, answer in zip(shares, both, strict=True):
            assert answer == [scores, groups, len(share)], name

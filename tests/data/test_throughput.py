"""The figures of the benchmark's suite of data, in a process of their own, where nothing checks types and shapes."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from support.processes import python

CODE = """
import json, sys, tempfile, pathlib, cv2, torch
from guided_seg.machine.allocation import keep_freed_memory
from guided_seg.benchmark.suites.data import draw_archive, seconds, ways
keep_freed_memory()  # as the processes that load data do
torch.set_num_threads(1)
cv2.setNumThreads(1)
with tempfile.TemporaryDirectory() as folder:
    draw_archive(pathlib.Path(folder), 20)
    found = seconds(ways(pathlib.Path(folder)), turns=60, episodes=5)
    json.dump({name: times.tolist() for name, times in found.items()}, sys.stdout)
"""
QUIET = 700
"""Images a second that OpenCV alone decodes; fewer, and the core is slow, so only ratios mean something."""


@pytest.fixture(scope="module")
def seconds() -> dict[str, float]:
    """Of an episode, in the quietest tenth of a way's turns: the others tell what else the machine was doing."""
    turns: dict[str, list[float]] = json.loads(python("-c", CODE, limit=300))
    found = {name: float(np.quantile(times, 0.1)) for name, times in turns.items()}
    sys.stdout.write(str({name: round(1 / time) for name, time in found.items()}))
    return found


def test_sampling_is_faster_than_the_plain_way(seconds: dict[str, float]) -> None:
    assert seconds["disk, plain method"] / seconds["disk"] > 2.5
    assert seconds["disk, plain method"] / seconds["decoded images"] > 6.5


def test_sampling_costs_little_beside_decoding(seconds: dict[str, float]) -> None:
    assert seconds["cv2.imdecode alone"] / seconds["disk"] > 0.32
    assert seconds["cv2.imdecode alone"] / seconds["decoded images"] > 0.85


def test_one_core_samples_as_many_as_are_asked_for(seconds: dict[str, float]) -> None:
    rates = {name: 1 / time for name, time in seconds.items()}
    if rates["cv2.imdecode alone"] < QUIET:
        pytest.skip(f"the machine is slow: OpenCV decodes {rates['cv2.imdecode alone']:.0f} images a second")
    assert rates["decoded images"] >= 400
    assert rates["disk"] >= 250

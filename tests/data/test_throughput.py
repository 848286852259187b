"""The figures of the benchmark's suite of data, in a process of their own, where nothing checks types and shapes."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from processes import python

CODE = """
import json, sys, tempfile, pathlib, cv2, torch
from guided_seg.machine.allocation import keep_freed_memory
from guided_seg.benchmark.data import draw_archive, seconds, ways
keep_freed_memory()  # as the processes that load data do
torch.set_num_threads(1)
cv2.setNumThreads(1)
with tempfile.TemporaryDirectory() as folder:
    draw_archive(pathlib.Path(folder), 20)
    found = seconds(ways(pathlib.Path(folder)), turns=60, episodes=5)
    json.dump({name: times.tolist() for name, times in found.items()}, sys.stdout)
"""
QUIET = 700
"""Images a second that OpenCV alone decodes; fewer, and the machine is busy or slow, so only ratios mean something."""


@pytest.fixture(scope="module")
def seconds() -> dict[str, np.ndarray]:
    """Of an episode, in each turn."""
    found = {name: np.array(times) for name, times in json.loads(python("-c", CODE, limit=300)).items()}
    sys.stdout.write(str({name: round(1 / np.median(times)) for name, times in found.items()}))
    return found


def times_as_fast(seconds: dict[str, np.ndarray], way: str, other: str) -> float:
    """The median over turns, in each of which both ways meet the same moment of the machine."""
    return float(np.median(seconds[other] / seconds[way]))


def test_sampling_is_faster_than_the_plain_way(seconds: dict[str, np.ndarray]) -> None:
    assert times_as_fast(seconds, "disk", "disk, plain way") > 2
    assert times_as_fast(seconds, "decoded images", "disk, plain way") > 4.5


def test_sampling_costs_little_beside_decoding(seconds: dict[str, np.ndarray]) -> None:
    assert times_as_fast(seconds, "disk", "cv2.imdecode alone") > 0.3
    assert times_as_fast(seconds, "decoded images", "cv2.imdecode alone") > 0.7


def test_one_core_samples_as_many_as_are_asked_for(seconds: dict[str, np.ndarray]) -> None:
    rates = {name: 1 / np.median(times) for name, times in seconds.items()}
    if rates["cv2.imdecode alone"] < QUIET:
        pytest.skip(f"the machine is busy or slow: OpenCV decodes {rates['cv2.imdecode alone']:.0f} images a second")
    assert rates["decoded images"] >= 400
    assert rates["disk"] >= 250

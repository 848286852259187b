"""The figures of the benchmark's suite of data, in a process of their own, where nothing checks types and shapes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

CODE = """
import json, sys, tempfile, pathlib, cv2, torch
from guided_seg.benchmark.data import draw_archive, measure, ways
torch.set_num_threads(1)
cv2.setNumThreads(1)
with tempfile.TemporaryDirectory() as folder:
    draw_archive(pathlib.Path(folder), 20)
    json.dump(measure(ways(pathlib.Path(folder)), turns=15, episodes=20), sys.stdout)
"""
QUIET = 700
"""Images a second that OpenCV alone decodes; fewer, and the machine is busy or slow, so only ratios mean something."""


@pytest.fixture(scope="module")
def rates() -> dict[str, float]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = (sys.executable, "-c", CODE)
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300, env=environment)
    sys.stdout.write(answer.stdout)
    return json.loads(answer.stdout)


def test_sampling_is_faster_than_the_plain_way(rates: dict[str, float]) -> None:
    assert rates["disk"] > 2 * rates["disk, plain way"]
    assert rates["decoded images"] > 4.5 * rates["disk, plain way"]


def test_sampling_costs_little_beside_decoding(rates: dict[str, float]) -> None:
    assert rates["disk"] > 0.3 * rates["cv2.imdecode alone"]
    assert rates["decoded images"] > 0.7 * rates["cv2.imdecode alone"]


def test_one_core_samples_as_many_as_are_asked_for(rates: dict[str, float]) -> None:
    if rates["cv2.imdecode alone"] < QUIET:
        pytest.skip(f"the machine is busy or slow: OpenCV decodes {rates['cv2.imdecode alone']:.0f} images a second")
    assert rates["decoded images"] >= 400
    assert rates["disk"] >= 250

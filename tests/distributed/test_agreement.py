"""Two processes that score, or train on, shares of a set say what one that has all of it says."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from distributed.one_process import Asked, Row, score, train_step, validate
from support.processes import started

TESTS = Path(__file__).parents[1]
SET: list[Row] = [[0, 7, 1, 2], [1, 7, 2, 8], [2, 4, 0, 0], [3, 4, 6, 8], [4, 9, 3, 9], [5, 7, 11, 11], [6, 9, 0, 4]]
SHARES = {
    "even": [SET[0:6:2], SET[1:6:2]],
    "uneven": [SET[:6], SET[6:]],
    "one has none": [[], SET],
    "some twice": [SET[:4], SET[2:] + SET[:1]],  # as a sampler pads
}

MODULES: dict[str, list[Asked]] = {
    "the same modes": [[["video", 0], ["semantic", 0]], [["video", 1], ["semantic", 1]]],
    "each a mode of its own": [[["interactive", 0], ["interactive", 1]], [["video", 0], ["semantic", 3]]],
    "one has none": [[], [["semantic", 0], ["video", 1]]],
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    """What each of two processes says of every case of `SHARES` and `MODULES`, and of steps of training."""
    store = tmp_path_factory.mktemp("two") / "store"
    script = Path(__file__).with_name("one_process.py")
    arguments = ("2", str(store), json.dumps([list(SHARES.values()), list(MODULES.values())]))
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    with ExitStack() as stack:
        lines = [(sys.executable, script, str(rank), *arguments) for rank in range(2)]
        running = [stack.enter_context(started(*line, limit=120, PYTHONPATH=path)) for line in lines]
        done = [process.communicate() for process in running]
    assert all(process.returncode == 0 for process in running), "\n".join(error for _, error in done)
    return [json.loads(output) for output, _ in done]


@pytest.mark.slow
def test_two_processes_agree_with_one(answers: list[list[Any]]) -> None:
    metrics = [answer[0] for answer in answers]
    for (name, shares), both in zip(SHARES.items(), zip(*metrics, strict=True), strict=True):
        whole = sorted({tuple(row) for share in shares for row in share})
        scores, groups, _ = score([list(row) for row in whole])
        assert isinstance(scores, dict)
        assert scores["episodes"] == len(whole)
        for share, answer in zip(shares, both, strict=True):
            assert answer == [scores, groups, len(share)], name


@pytest.mark.slow
def test_a_process_without_a_mode_does_not_keep_the_others_waiting(answers: list[list[Any]]) -> None:
    """Both log what one process does that sees all episodes."""
    modules = [answer[1] for answer in answers]
    for (name, shares), both in zip(MODULES.items(), zip(*modules, strict=True), strict=True):
        whole = json.loads(json.dumps(validate([asked for share in shares for asked in share])))
        assert both[0] == both[1] == whole, name
        assert {f"val/{mode}" for share in shares for mode, _ in share} <= set(whole)


@pytest.mark.slow
def test_a_step_of_two_processes_is_that_of_one(answers: list[list[Any]]) -> None:
    """Loss, gradients, batch statistics and corrections, of episodes that differ in all that a batch is padded to."""
    for case, turns in enumerate((1, 2)):
        whole = train_step(turns)
        assert any(abs(gradient) > 1e-3 for name, (gradient, *_) in whole.items() if name.endswith("weight"))
        for answer in answers:
            assert answer[2][case].keys() == whole.keys()
            for name, values in whole.items():
                scale = max(1.0, values[-1])
                assert answer[2][case][name] == pytest.approx(values, rel=1e-4, abs=1e-5 * scale), name


@pytest.mark.slow
def test_images_of_several_sizes_are_refused_by_every_process(answers: list[list[Any]]) -> None:
    """One that went on would wait for the others for ever."""
    for answer in answers:
        assert "differ in size (the first of each process: 32 x 32, 32 x 33)" in answer[3]

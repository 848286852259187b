"""What is imported and composed before there is work to do: little, so that every start is quick."""

from __future__ import annotations

import json
import sys
from typing import Any
from unittest.mock import patch

import pytest
from support.processes import ended

from guided_seg.cli.run_folders import register_resolvers
from guided_seg.settings import overrides

WORK = {"torch", "torchvision", "pytorch_lightning", "timm", "numpy", "cv2", "PIL", "scipy", "matplotlib", "wandb"}
"""What only a run needs, as whole packages."""

NOT_FOR_A_SESSION = {"hydra", "omegaconf", "sklearn", "pandas", *WORK - {"torch", "numpy", "cv2", "PIL"}}

AT_EXIT = """
import atexit, json, runpy, sys
facts = {}
atexit.register(lambda: print(json.dumps(facts | {"modules": sorted(sys.modules)}), file=sys.stderr))
"""

COMMAND = AT_EXIT + "sys.argv = sys.argv[1:]\nrunpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"

SESSION = (
    AT_EXIT
    + """
from time import process_time
start = process_time()
import torch
between = process_time()
import guided_seg.session
facts |= {"torch": between - start, "session": process_time() - between}
"""
)


def play(program: str, *argv: str) -> tuple[str, dict[str, Any]]:
    """What a program printed, and what it said when it ended: `facts`, and the ``modules`` that it had imported."""
    done = ended(sys.executable, "-c", program, *argv, limit=120)
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    return done.stdout, facts


def test_a_session_costs_little_more_than_torch() -> None:
    _, facts = play(SESSION)
    assert {"torch", "guided_seg.session"} <= set(facts["modules"])
    assert NOT_FOR_A_SESSION & set(facts["modules"]) == set()
    # 0.3 s where torch takes 2.2 s; both of the processor, in one process, so other work does not count
    assert facts["session"] < 0.3 / 2.2 * facts["torch"]


def test_the_page_imports_nothing_that_it_does_not_need() -> None:
    _, facts = play(AT_EXIT + "import guided_seg.app.running")
    assert {"torch", "fastapi", "guided_seg.app.server"} <= set(facts["modules"])
    composed = {"hydra", "omegaconf"}  # its settings, as those of every command
    assert (NOT_FOR_A_SESSION - composed) & set(facts["modules"]) == set()


def test_the_package_imports_nothing_for_work() -> None:
    _, facts = play(AT_EXIT + "import guided_seg; guided_seg.load")
    assert "guided_seg" in facts["modules"]
    assert (NOT_FOR_A_SESSION | WORK) & set(facts["modules"]) == set()


def test_loading_and_scoring_a_network_import_nothing_that_only_training_needs() -> None:
    """Each process of an evaluation pays for it again."""
    _, facts = play(AT_EXIT + "import guided_seg.release.load, guided_seg.protocols.evaluation")
    assert "guided_seg.protocols.runner" in facts["modules"]
    training = {"pytorch_lightning", "torchmetrics", "torchvision", "timm", "wandb", "scipy.stats", "torch._dynamo"}
    assert training & set(facts["modules"]) == set()


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        ("run --help", "late_global  "),
        ("evaluate --help", "shapes"),
        ("episodes --help", "pascal5i"),
        ("study --help", "--reference"),
        ("compare --help", "THEIRS"),
        ("data.prepare --help", "davis"),
        ("data.inspect --help", "shapes"),
        ("benchmark --help", "suite=update"),
        ("export --help", "format=torch_export"),
        ("release --help", "name=guided-lite0"),
        ("run --cfg job", "\nname: run\n"),
        ("run +experiment=late_global --cfg job", "\nname: late_global\n"),
        ("evaluate checkpoint=some.ckpt --cfg job", "\ncheckpoint: some.ckpt\n"),
    ],
)
def test_what_only_shows_imports_nothing_for_work(line: str, printed: str) -> None:
    module, *argv = line.split()
    out, facts = play(COMMAND, f"guided_seg.{module}", *argv)
    assert printed in out
    assert "guided_seg.cli.command" in facts["modules"]
    assert WORK & set(facts["modules"]) == set()


@pytest.mark.parametrize("line", ["", "+experiment=late_global", "fusion=early_stack seed=1 backbone.width=8"])
def test_a_right_line_is_composed_once_before_hydra_does(line: str) -> None:
    register_resolvers()
    with patch.object(overrides, "compose", wraps=overrides.compose) as compose:
        assert overrides.find_problem("config", line.split(), "guided_seg.conf") is None
    assert compose.call_count == 1  # most of the time of --cfg job

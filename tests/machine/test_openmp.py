"""Threads do not spin while they wait, unless the user wants it so."""

from __future__ import annotations

import os

import pytest
from support.commands import CONF
from support.processes import python

from guided_seg.machine.openmp import OTHERS, SETTINGS, wait_asleep


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SETTINGS, *OTHERS):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("environment")
def test_threads_sleep_while_they_wait() -> None:
    wait_asleep()
    assert {name: os.environ[name] for name in SETTINGS} == SETTINGS


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("name", [*SETTINGS, *OTHERS])
def test_what_the_user_has_set_stays_and_is_not_added_to(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "ACTIVE")
    wait_asleep()
    assert {key: os.environ[key] for key in (*SETTINGS, *OTHERS) if key in os.environ} == {name: "ACTIVE"}


@pytest.mark.usefixtures("environment")
def test_an_empty_variable_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "")  # of which OpenMP's library would complain
    wait_asleep()
    assert {name: os.environ[name] for name in SETTINGS} == SETTINGS


# what torch's library, and the processes that a process starts, are told
PROGRAM = """
import os, runpy, sys
from importlib.abc import MetaPathFinder

class Torch(MetaPathFinder):
    def find_spec(self, name, *_):
        if name == "torch":
            print(os.environ.get("OMP_WAIT_POLICY"), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Torch())
"""


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    "start", ["from guided_seg.session import Session", "import guided_seg.benchmark.suites.neighbour"]
)
def test_it_is_set_before_torch_is_loaded(start: str) -> None:
    assert python("-c", PROGRAM + start, limit=120) == "PASSIVE\n"


def test_every_command_begins_with_the_package() -> None:
    # which sets it: a command elsewhere, such as a script beside the package, would load torch first
    lines = (CONF.parent / "setup.cfg").read_text().splitlines()
    doors = [line.split("=")[1].strip() for line in lines if line.strip().startswith("guided-seg")]
    assert len(doors) >= 9
    assert all(door.startswith("guided_seg.") for door in doors)

"""What all tests share. The tests check shapes and types at run time: see addopts in pyproject.toml."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

# Parallel workers (pytest-xdist) share the cores; without this each would start a thread for every core.
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)

# No test talks to a service, whatever the machine it runs on has keys for.
os.environ["WANDB_MODE"] = "offline"
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(autouse=True)
def _fresh_hydra() -> Iterator[None]:
    """Hydra's state is one per process, and a command that a test stops half-way leaves it initialised."""
    GlobalHydra.instance().clear()
    yield
    GlobalHydra.instance().clear()

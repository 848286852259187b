"""What all tests share. The tests check shapes and types at run time: see addopts in pyproject.toml."""

from __future__ import annotations

import os
import sys
from functools import wraps
from types import ModuleType
from typing import Any

import torch
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from matplotlib.figure import Figure

# Parallel workers (pytest-xdist) share the cores; without this each would start a thread for every core.
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)

# No test talks to a service, whatever the machine it runs on has keys for.
os.environ["WANDB_MODE"] = "offline"
os.environ["HF_HUB_OFFLINE"] = "1"
# What a test serves on this machine is not asked of a proxy.
os.environ["no_proxy"] = "127.0.0.1"


def _untraced(owner: type | ModuleType, name: str) -> None:
    """Let coverage not follow a method; following it would take as long again, whoever's lines it runs."""
    honest = getattr(owner, name)

    @wraps(honest)
    def method(*args: Any, **options: Any) -> Any:
        tracer = sys.gettrace()
        sys.settrace(None)
        try:
            return honest(*args, **options)
        finally:
            sys.settrace(tracer)

    setattr(owner, name, method)


# Neither runs a line of guided_seg but the import of guided_seg.conf, which other tests import by themselves.
_untraced(ConfigLoaderImpl, "load_configuration")
_untraced(Figure, "savefig")
# It translates what has been traced before, which does run lines of ours.
_untraced(torch.onnx, "export")

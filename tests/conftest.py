"""What all tests share. The tests check shapes and types at run time: see addopts in pyproject.toml."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from functools import wraps
from types import ModuleType
from typing import Any

import pytest
from processes import kept

# The tests begin in the same state, whatever the shell or machine they are started from has set.
if "PYTEST_XDIST_WORKER" not in os.environ:  # workers inherit what follows
    home = tempfile.mkdtemp(prefix="guided_seg-home-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    environment = kept(dict(os.environ))
    os.environ.clear()
    # Programs keep their settings, keys and caches in HOME, where the tests neither read nor write those of a person.
    os.environ.update(environment, HOME=home, LANG="C.UTF-8")
    # No test talks to a service.
    os.environ.update(WANDB_MODE="offline", HF_HUB_OFFLINE="1", no_proxy="127.0.0.1")
for name in ("COLUMNS", "LINES"):  # readline sets them in the process that starts the workers
    os.environ.pop(name, None)
os.umask(0o022)

import torch  # noqa: E402  reads the environment
from hydra._internal.config_loader_impl import ConfigLoaderImpl  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

# Tests share the cores with each other (pytest-xdist) and with whatever else runs. Threads that wait for each other
# would take most of the time, and the plugin that checks shapes has loaded torch: too late to say how they wait.
torch.set_num_threads(1)
# Programs that tests start can still be told, also those that do not import guided_seg.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


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


@pytest.fixture(autouse=True)
def _own_measurements(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What tests measure of precisions is kept apart from what the user's own programs measured."""
    folder = tmp_path_factory.getbasetemp() / "user_cache"
    monkeypatch.setattr("guided_seg.precision.user_cache", lambda: folder)

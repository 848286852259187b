"""What all tests share. The tests check shapes and types at run time: see addopts in pyproject.toml."""

from __future__ import annotations

import atexit
import gc
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable
from functools import wraps
from typing import Any, cast

import pytest
from support.processes import kept

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

from runtime_types import check_shapes_only_where_there_are_any  # noqa: E402

check_shapes_only_where_there_are_any()  # before any module of guided_seg is loaded

import torch  # noqa: E402  reads the environment
from hydra._internal.config_repository import ConfigRepository  # noqa: E402
from hydra.core.object_type import ObjectType  # noqa: E402
from hydra.plugins.config_source import ConfigResult  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

# How long an example takes says nothing where the cores are shared. The examples are the same in each run, so a change
# is blamed only for what it breaks; `--hypothesis-profile=search` looks for new ones.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("shared", settings.get_profile("search"), derandomize=True)
settings.load_profile("shared")
# Tests share the cores with each other (pytest-xdist) and with whatever else runs. Threads that wait for each other
# would take most of the time, and the plugin that checks shapes has loaded torch: too late to say how they wait.
torch.set_num_threads(1)
# Programs that tests start can still be told, also those that do not import guided_seg.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _read_once(load: Callable[..., ConfigResult | None]) -> Callable[..., ConfigResult | None]:
    """Read each file of guided_seg's own settings once, and give every composition its own copy."""
    known: dict[str, bytes] = {}

    @wraps(load)
    def method(repository: ConfigRepository, config_path: str) -> ConfigResult | None:
        source = repository._find_object_source(config_path=config_path, object_type=ObjectType.CONFIG)
        if source is None or source.path != "guided_seg.conf":
            return load(repository, config_path)
        if config_path not in known:
            known[config_path] = pickle.dumps(load(repository, config_path))
        return cast("ConfigResult", pickle.loads(known[config_path]))

    return method


ConfigRepository.load_config = _read_once(ConfigRepository.load_config)  # type: ignore[method-assign]


def _drawn_coarsely(save: Callable[..., None]) -> Callable[..., None]:
    """Draw figures with fewer pixels, which takes half the time; what is in them stays the same."""

    @wraps(save)
    def method(figure: Figure, path: Any, *args: Any, dpi: float = 100, **options: Any) -> None:
        save(figure, path, *args, dpi=min(dpi, 100), **options)

    return method


Figure.savefig = _drawn_coarsely(Figure.savefig)  # type: ignore[method-assign]


def pytest_collection_finish() -> None:
    """Six thousand tests and all modules stay to the end; the collector need not look at them again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_sessionfinish() -> None:
    """Or libraries would say at the end that what was frozen leaks."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _own_measurements(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What tests measure of precisions is kept apart from what the user's own programs measured."""
    folder = tmp_path_factory.getbasetemp() / "user_cache"
    monkeypatch.setattr("guided_seg.model.precision.user_cache", lambda: folder)

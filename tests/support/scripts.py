"""The scripts in experiments/ as modules."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def script(name: str) -> ModuleType:
    """Run a script as a module, a new one each time.

    Args:
        name: its path in experiments/ without ``.py``, as in ``faults/kills``.
    """
    known = f"experiments_{name.replace('/', '_')}"
    spec = importlib.util.spec_from_file_location(known, EXPERIMENTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[known] = made  # dataclasses and pickle look their module up
    spec.loader.exec_module(made)
    return made

"""Which option of each config group a run was composed of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def choices(config: Mapping[Any, Any], recorded: Mapping[Any, Any] | None = None) -> dict[str, str]:
    """Config group -> option.

    Args:
        config: the composed config as plain values.
        recorded: what Hydra recorded; a group that is missing gets an option by the name of its class.

    Example:
        >>> config = {"fusion": {"_target_": "a.LateFusion"}, "seed": 1}
        >>> choices(config), choices(config, {"fusion": "late", "hydra/launcher": "basic"})
        ({'fusion': 'late_fusion'}, {'fusion': 'late'})
    """
    targets = {name: entry["_target_"] for name, entry in config.items() if _has_target(entry)}
    named = {name: _snake(str(target).rpartition(".")[2]) for name, target in targets.items()}
    return named | {group: str(name) for group, name in (recorded or {}).items() if isinstance(config.get(group), dict)}


def _has_target(entry: Any) -> bool:
    return isinstance(entry, dict) and "_target_" in entry


def _snake(name: str) -> str:
    """``FeatureFusion`` as ``feature_fusion``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()

"""Read the YAML config files: groups, their options, and the defaults of a primary config."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml


def place(path: str) -> Traversable:
    """The folder of a search path: ``file://FOLDER`` or ``pkg://PACKAGE``."""
    scheme, _, name = path.rpartition("://")
    if scheme == "pkg":
        with suppress(ImportError, ValueError, TypeError):  # Hydra reports missing packages itself
            return files(name)
    return Path(name)


def options(group: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    """Yield the options of a group by name, those of its subfolders as ``folder/option``.

    Files whose names begin with ``_`` are parts of others.
    """
    for entry in _entries(group):
        if entry.is_dir():
            yield from options(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".yaml") and not entry.name.startswith("_"):
            yield prefix + entry.name.removesuffix(".yaml"), entry


def groups(conf: Traversable, prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """Each group, such as ``experiment`` or ``experiment/paper``, and the names of its options."""
    for entry in _entries(conf):
        if entry.is_dir() and (names := [name for name, _ in options(entry)]):
            yield prefix + entry.name, names
            yield from groups(entry, f"{prefix}{entry.name}/")


def content(config: Traversable) -> dict[str, Any]:
    """The content of a config file; empty if there is no such file."""
    found = yaml.safe_load(config.read_text("utf-8")) if config.is_file() else None
    return found if isinstance(found, dict) else {}


def defaults(config: Traversable) -> dict[str, Any]:
    """The choices in the defaults list of a config, by group; ``override /`` and ``optional`` are kept."""
    lines: Sequence[Any] = content(config).get("defaults", [])
    return {group: value for line in lines if isinstance(line, dict) for group, value in line.items()}


def _entries(folder: Traversable) -> list[Traversable]:
    return sorted(folder.iterdir(), key=lambda entry: entry.name) if folder.is_dir() else []

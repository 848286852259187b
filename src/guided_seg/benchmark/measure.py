"""Run benchmark suites and write their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import torch
from omegaconf import DictConfig
from rich.console import Console

from guided_seg.benchmark.timing import Row, machine
from guided_seg.data.sources.classes import unknown
from guided_seg.files.writing import write_json
from guided_seg.report.table import Align, Column, Table

SUITES = (
    "update",
    "memory",
    "encode",
    "video",
    "training",
    "data",
    "startup",
    "accuracy",
    "released",
    "neighbour",
    "app",
)


def run(cfg: DictConfig, out: Path) -> list[Row]:
    """Run the suites of ``cfg.suite``; write ``benchmark.json``, ``benchmark.md`` and ``machine.json`` to ``out``.

    Results are written after each suite, so that an interruption loses little.

    Raises:
        UserError: there is no such suite.
    """
    names = chosen(cfg.suite)
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    console = Console(markup=False)
    about = machine()
    found: list[Row] = []
    for name in names:
        with console.status(f"Measuring {name}"):
            found += import_module(f"guided_seg.benchmark.suites.{name}").rows(cfg)
        write_json(out / "benchmark.json", found)
        write_json(out / "machine.json", about)
        (out / "benchmark.md").write_text(markdown(found, about), encoding="utf-8")
    console.print(table(found))
    console.print(str(out), soft_wrap=True, highlight=False)
    return found


def chosen(suite: str | Sequence[str]) -> list[str]:
    """The suites of a name, of several names, or of ``all``. Raises `UserError` for an unknown name."""
    names = [suite] if isinstance(suite, str) else list(suite)
    for name in names:
        if name not in (*SUITES, "all"):
            raise unknown("suite", name, ("all", *SUITES))
    return list(SUITES) if "all" in names else names


def number(value: float) -> str:
    """Format a number with three digits, or more for the whole part.

    Example:
        >>> number(1834.2), number(1.374), number(2.1e-6)
        ('1,834', '1.37', '2.1e-06')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(rows: Sequence[Row]) -> Table:
    """A table with a row per figure and its reference."""
    sides: dict[str, Align] = {"value": "right", "reference": "right", "ratio": "right"}
    head = [Column(name, sides.get(name, "left")) for name in ("figure", "value", "unit", "reference", "ratio", "of")]
    shown = [
        (row["name"], number(row["value"]), row["unit"], _known(row["reference"]), _known(row["ratio"]), row["of"])
        for row in rows
    ]
    return Table(head, shown)


def _known(value: float | None) -> str | None:
    return None if value is None else number(value)


def markdown(rows: Sequence[Row], about: dict[str, object]) -> str:
    """The table as Markdown, with the machine below it."""
    facts = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in about.items())
    return replace(table(rows), notes=[f"Machine: {facts}."]).markdown()

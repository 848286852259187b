"""Running suites of measurements and writing what they found."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import torch
from omegaconf import DictConfig
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from guided_seg.benchmark.timing import Row, machine
from guided_seg.data.sources.classes import unknown
from guided_seg.report.results import write_json

SUITES = ("update", "memory", "encode", "video", "training", "data", "startup", "accuracy", "released", "neighbour")


def run(cfg: DictConfig, out: Path) -> list[Row]:
    """Measure the suites of ``cfg.suite``; ``benchmark.json``, ``benchmark.md`` and ``machine.json`` in ``out`` tell.

    What is measured is written after each suite, so that one that is stopped loses nothing.

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
            found += import_module(f"guided_seg.benchmark.{name}").rows(cfg)
        write_json(out / "benchmark.json", found)
        write_json(out / "machine.json", about)
        (out / "benchmark.md").write_text(markdown(found, about), encoding="utf-8")
    console.print(terminal(found))
    console.print(str(out), soft_wrap=True, highlight=False)
    return found


def chosen(suite: str | Sequence[str]) -> list[str]:
    """The suites of a name, of several, or of ``all``. Raises `UserError` for a name that is none."""
    names = [suite] if isinstance(suite, str) else list(suite)
    for name in names:
        if name not in (*SUITES, "all"):
            raise unknown("suite", name, ("all", *SUITES))
    return list(SUITES) if "all" in names else names


def cells(row: Row) -> tuple[str, ...]:
    """A row as text."""
    reference = "–" if row["reference"] is None else number(row["reference"])
    ratio = "–" if row["ratio"] is None else number(row["ratio"])
    return row["name"], number(row["value"]), row["unit"], reference, ratio, row["of"]


def number(value: float) -> str:
    """Three digits, more where they are whole.

    Example:
        >>> number(1834.2), number(1.374), number(2.1e-6)
        ('1,834', '1.37', '2.1e-06')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def markdown(rows: Sequence[Row], about: dict[str, object]) -> str:
    """A table, and the machine below it."""
    lines = ["| figure | value | unit | reference | ratio | of |", "|---|---:|---|---:|---:|---|"]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    facts = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in about.items())
    return "\n".join([*lines, "", f"Machine: {facts}."]) + "\n"


def terminal(rows: Sequence[Row]) -> Table:
    """The same table for the terminal."""
    table = Table(box=SIMPLE, header_style="bold", pad_edge=False)
    for column in ("figure", "value", "unit", "reference", "ratio", "of"):
        table.add_column(column, justify="right" if column in ("value", "reference", "ratio") else "left")
    for row in rows:
        table.add_row(*cells(row))
    return table

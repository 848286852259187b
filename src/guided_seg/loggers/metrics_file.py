"""Logger that writes ``metrics.csv`` to the run folder."""

from __future__ import annotations

import csv
import os
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from guided_seg.files.text import read_table, read_text
from guided_seg.files.writing import flush, whole_file


class MetricsFile(Logger):
    """A logger that appends a row per call to ``save_dir/metrics.csv`` immediately.

    Lightning's own CSV logger deletes the file of an earlier run, but a resumed run needs its rows.

    Args:
        save_dir: the run folder.
    """

    def __init__(self, save_dir: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path = Path(save_dir) / "metrics.csv"
        self._columns: list[str] | None = None

    @property
    def name(self) -> str:
        """Empty, as the file is in the run folder itself."""
        return ""

    @property
    def version(self) -> str:
        """Empty, as a run folder has one file."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self.path.parent)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Do nothing, as the run folder has its ``config.yaml``."""

    @rank_zero_only
    def flush(self) -> None:
        """Flush the rows to the disk. Lightning calls ``save`` too often for this."""
        if self.path.exists():
            flush(self.path)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row; a new metric adds a column to the whole file."""
        row = {"step": step, **{name: float(value) for name, value in metrics.items()}}
        columns = _header(self.path) if self._columns is None else self._columns
        if new := [name for name in row if name not in columns]:
            columns = [*columns, *new]
            _widen(self.path, columns)
        self._columns = columns
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, columns).writerow(row)


def keep_before(step: int, path: Path) -> None:
    """Remove the rows of a file of metrics from a step on, and what a killed process or a power cut left at its end."""
    if not path.exists():
        return
    whole, end, _ = path.read_bytes().partition(b"\0")[0].rpartition(b"\n")
    header, *rows = csv.reader((whole + end).decode("utf-8", "replace").splitlines()) if whole else ([],)
    kept = [row for row in rows if len(row) == len(header) and row[0].isdecimal() and int(row[0]) < step]
    if not kept:
        path.unlink()
        return
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([header, *kept])


def _header(path: Path) -> list[str]:
    if not path.exists():
        return []
    return next(csv.reader(read_text(path, "file of metrics").splitlines()), [])


def _widen(path: Path, columns: list[str]) -> None:
    """Add columns to the header; atomic, so that a crash loses no rows."""
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, columns, extrasaction="ignore")
        writer.writeheader()
        if path.exists():
            writer.writerows(read_table(path, "file of metrics"))

"""MetricsFile: the logger that writes ``metrics.csv`` into the run folder."""

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
from guided_seg.files.writing import whole_file


class MetricsFile(Logger):
    """Appends what is logged to ``save_dir/metrics.csv`` at once, a row per call.

    Lightning's own CSV logger deletes the file of an earlier run; a resumed run needs its rows.

    Args:
        save_dir: the run folder.
    """

    def __init__(self, save_dir: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path = Path(save_dir) / "metrics.csv"
        self._columns: list[str] | None = None

    @property
    def name(self) -> str:
        """Empty: the file lies in the run folder itself."""
        return ""

    @property
    def version(self) -> str:
        """Empty: one run folder, one file."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self.path.parent)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run folder has its ``config.yaml``."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row; a name that is new widens the header of the whole file."""
        row = {"step": step, **{name: float(value) for name, value in metrics.items()}}
        columns = _header(self.path) if self._columns is None else self._columns
        if new := [name for name in row if name not in columns]:
            columns = [*columns, *new]
            _widen(self.path, columns)
        self._columns = columns
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, columns).writerow(row)


def _header(path: Path) -> list[str]:
    if not path.exists():
        return []
    return next(csv.reader(read_text(path, "file of metrics").splitlines()), [])


def _widen(path: Path, columns: list[str]) -> None:
    """The same rows under a wider header; the file is replaced whole, so a crash loses none of them."""
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, columns, extrasaction="ignore")
        writer.writeheader()
        if path.exists():
            writer.writerows(read_table(path, "file of metrics"))

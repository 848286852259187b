"""Outcomes of a sweep's jobs that run in other processes, for the report of the one that began the sweep."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from guided_seg.files.text import read_text
from guided_seg.files.writing import write_json

_FOLDER = ".jobs"

collected: list[dict[str, Any]] = []
"""The outcomes of the sweep that has ended, in the order of its jobs."""


def hand_over(sweep: Path, number: int, outcome: Mapping[str, Any]) -> None:
    """Leave the outcome of the job of this number in the folder of the sweep."""
    (sweep / _FOLDER).mkdir(parents=True, exist_ok=True)
    write_json(sweep / _FOLDER / f"{number}.json", dict(outcome))


class Elsewhere(Callback):
    """Hydra's callback for launchers whose jobs run in other processes: collects what `hand_over` left."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Forget what a sweep that was killed has left."""
        shutil.rmtree(Path(config.hydra.sweep.dir) / _FOLDER, ignore_errors=True)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Collect the outcomes."""
        folder = Path(config.hydra.sweep.dir) / _FOLDER
        files = sorted(folder.glob("*.json"), key=lambda path: int(path.stem))
        collected.extend(json.loads(read_text(file, "outcome of a job")) for file in files)
        shutil.rmtree(folder, ignore_errors=True)

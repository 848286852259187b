"""Lightning callbacks and profilers: broken files, data-loading time and peak memory."""

from __future__ import annotations

import resource
import sys
import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.profilers import Profiler

from guided_seg.data.files.skipped import SkippedFiles
from guided_seg.episode import Batch


class BrokenFiles(Callback):
    """Report, count and skip unreadable files in training and validation; see `SkippedFiles`."""

    def __init__(self, limit: float = 0.01, grace: int = 100) -> None:
        self.skipped = SkippedFiles(limit, grace)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """Count the batch."""
        self.skipped.count(meta["broken"] for meta in batch.metas)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Count the batch."""
        self.skipped.count(meta["broken"] for meta in batch.metas)

    def state_dict(self) -> dict[str, Any]:
        """Keep the counts for a resume."""
        return {"episodes": self.skipped.episodes, "broken": self.skipped.broken}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """See `state_dict`."""
        self.skipped.episodes, self.skipped.broken = state_dict["episodes"], state_dict["broken"]


class Clock(Profiler):
    """Measure the share of training time spent waiting for data."""

    _WAIT, _WORK = "train_dataloader_next", "run_training_batch"

    def __init__(self) -> None:
        super().__init__()
        self._started: dict[str, float] = {}
        self._total = {self._WAIT: 0.0, self._WORK: 0.0}

    def start(self, action_name: str) -> None:
        """Called by Lightning before every action."""
        kind = action_name.rpartition(".")[2]
        if kind in self._total:
            self._started[kind] = time.perf_counter()

    def stop(self, action_name: str) -> None:
        """Called by Lightning after every action."""
        kind = action_name.rpartition(".")[2]
        if kind in self._started:
            self._total[kind] += time.perf_counter() - self._started.pop(kind)

    @property
    def data_wait_share(self) -> float:
        """Seconds waiting for batches / seconds waiting and training; 0 without training."""
        both = sum(self._total.values())
        return self._total[self._WAIT] / both if both else 0.0


def peak_memory() -> int:
    """Sum of the peak memory of this process and of its largest child, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(kind).ru_maxrss for kind in kinds) * unit

"""Lightning callbacks and profilers: broken files, pictures of episodes, data-loading time and peak memory."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.profilers import Profiler
from pytorch_lightning.utilities import rank_zero_only

from guided_seg.data.files.skipped import SkippedFiles
from guided_seg.episode import Batch, Episode, collate
from guided_seg.loggers.loggers import log_image
from guided_seg.report.panels import Panel, panels

_DPI = 100
"""Of pictures that are drawn again and again; half of the usual, which takes half of the time."""


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


class EpisodePictures(Callback):
    """Draw the same validation episodes after the first, second, fourth, eighth ... and after the last validation.

    So a long training draws few pictures, and most of them where it learns most.

    Args:
        folder: the folder of the pictures, ``step_STEPS.png``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._episodes: list[Episode] = []

    @rank_zero_only
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the pictures of an earlier run in the folder."""
        for path in self.folder.glob(f"step_{'[0-9]' * 7}.png"):
            if int(path.stem.partition("_")[2]) > trainer.global_step:
                path.unlink()

    @rank_zero_only
    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the episodes as the network answers them now, and log the picture."""
        number = trainer.current_epoch + 1
        if number & (number - 1) and number != trainer.max_epochs:
            return
        self._episodes = self._episodes or trainer.datamodule.pictured()  # type: ignore[attr-defined]
        if not self._episodes:
            return
        rows = []
        with trainer.precision_plugin.forward_context():
            for episode in self._episodes:
                answer = pl_module(collate([episode]).to(pl_module.device)).argmax(1)[0]
                rows.append(Panel.of(episode, answer.cpu(), f"{episode.meta['mode']} · {episode.meta['group']}"))
        path = panels(rows, self.folder / f"step_{trainer.global_step:07d}.png", _DPI)
        # at the step of the scores of this validation, which a resume from its checkpoint keeps
        log_image(trainer.loggers, "val/episodes", path, trainer.global_step - 1)


class DataWait(Callback):
    """Log the share of training time, since its start or resume, that was spent waiting for data.

    Args:
        clock: what measures it.
        log_every: training steps between two log entries.
    """

    def __init__(self, clock: Clock, log_every: int) -> None:
        self.clock, self.log_every = clock, log_every

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Log it with the loss."""
        if trainer.global_step % self.log_every == 0:
            pl_module.log("run/data_wait_share", self.clock.data_wait_share)


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

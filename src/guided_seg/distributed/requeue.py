"""Put a Slurm job back into the queue before its time limit, with a checkpoint to go on from."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, cast

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.plugins.environments import SLURMEnvironment

from guided_seg.errors import UserError

log = logging.getLogger(__name__)

SIGNAL = signal.SIGUSR1
"""What ``#SBATCH --signal`` sends."""


class Requeue(Callback):
    """At `SIGNAL`, finish the step, save the last checkpoint, requeue the job and stop.

    Lightning's own requeue saves within the signal handler, where processes may be at different steps, and to another
    file than ``ckpt_path=last`` reads. Without a Slurm job whose processes train this does nothing.

    Args:
        checkpoint: the file.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self._asked, self._before = False, cast("Any", None)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen for the signal."""
        if isinstance(trainer._accelerator_connector.cluster_environment, SLURMEnvironment):
            self._asked, self._before = False, signal.signal(SIGNAL, self._ask)

    def _ask(self, *_: Any) -> None:
        self._asked = True

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Requeue if any process got the signal. Raises `KeyboardInterrupt`, as the run is not complete."""
        if self._before is None or not trainer.strategy.reduce_boolean_decision(self._asked, all=False):
            return
        trainer.save_checkpoint(self.checkpoint)
        if trainer.is_global_zero:
            line = ["scontrol", "requeue", job_number()]
            try:
                subprocess.run(line, check=True)
            except (OSError, subprocess.CalledProcessError) as error:
                log.warning("%s failed (%s); submit the job again, and it goes on.", " ".join(line), error)
        raise KeyboardInterrupt

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Stop listening."""
        if self._before is not None:
            signal.signal(SIGNAL, self._before)
            self._before = None


def check_in_slurm(plugins: Any) -> None:
    """Refuse ``trainer=slurm`` outside of a job, where Lightning finds no number of processes.

    Raises:
        UserError: with the two ways out.
    """
    if SLURMEnvironment.__name__ in str(plugins) and "SLURM_NTASKS" not in os.environ:
        raise UserError(
            "trainer=slurm: this is not a Slurm job, started by srun; let python -m guided_seg.distributed.slurm write "
            "its script, or choose trainer=ddp for this machine."
        )


def job_number() -> str:
    """The number of this Slurm job, or of its task in an array."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"]

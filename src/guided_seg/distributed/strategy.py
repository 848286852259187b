"""Lightning's DDP for jobs of this package: several in one process, each with processes of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_original_cwd
from pytorch_lightning import Trainer
from pytorch_lightning.strategies import DDPStrategy, StrategyRegistry
from pytorch_lightning.utilities import rank_zero_only

from guided_seg.distributed.launcher import JobLauncher
from guided_seg.distributed.norms import SharedNorms
from guided_seg.errors import UserError

NAME = "ddp"
"""Lightning's name of the strategy, which it also chooses where there are several devices."""


class JobStrategy(DDPStrategy):
    """DDP in which N processes with a batch of B / N each do what one does with a batch of B.

    Batch statistics are those of the whole batch. Weights that only some processes used are trained by those.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(find_unused_parameters=True, **options)

    def setup(self, trainer: Trainer) -> None:
        """See `DDPStrategy.setup`."""
        self._layer_sync = SharedNorms()
        super().setup(trainer)

    def configure_ddp(self) -> None:
        """See `DDPStrategy.configure_ddp`."""
        super().configure_ddp()
        # shared statistics are equal in all processes, so there is nothing to send before a step
        self.model.broadcast_buffers = False  # type: ignore[union-attr]

    def setup_distributed(self) -> None:
        """Connect to the other processes, once all are there."""
        self._launcher.arrive()
        super().setup_distributed()

    def _configure_launcher(self) -> None:
        self._launcher: JobLauncher = JobLauncher(self.cluster_environment, self.num_processes, self.num_nodes)


def use_job_strategy() -> None:
    """Make Lightning's name `NAME` mean `JobStrategy`; may be called repeatedly."""
    StrategyRegistry.register(NAME, JobStrategy, "DDP in processes of the job", override=True)


@contextmanager
def job_processes(trainer: Trainer, *overrides: str) -> Iterator[None]:
    """Start the processes of a run when its training begins, and end them with the block.

    Afterwards this process is as before, so that it can start those of another run.

    Args:
        trainer: the trainer; one without `JobStrategy` needs nothing.
        overrides: added to the command line of the other processes.

    Raises:
        ProcessDied: another process has failed.
    """
    strategy = trainer.strategy
    if not isinstance(strategy, JobStrategy):
        yield
        return
    launcher, threads = strategy._launcher, torch.get_num_threads()
    environment = {name: os.environ.get(name) for name in _VARIABLES}
    if strategy.num_processes > 1:
        launcher.command, launcher.folder = child_command(*overrides), get_original_cwd()
    failed = True
    try:
        yield
        launcher.stop_watching()
        failed = False
    except BaseException as error:
        launcher.stop_watching()
        if (cause := launcher.explain(error)) is error:
            raise
        raise cause from error
    finally:
        try:
            launcher.end(failed)
        finally:
            _leave(failed)
            torch.set_num_threads(threads)
            for name, value in environment.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


_VARIABLES = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")
"""What Lightning sets for a training; with it, a second one would take itself for a process of the first."""


def child_command(*overrides: str) -> list[str]:
    """The command of the other processes of Hydra's current job, which is one of a sweep or a run of its own.

    Raises:
        UserError: there is no such job.
    """
    if not HydraConfig.initialized():
        raise UserError(
            "Several processes need the command of a run, and this program was started by another; use python -m "
            "guided_seg.run, or trainer.devices=1."
        )
    job = HydraConfig.get()
    # warnings go to the terminal, not into the log of the first process
    fixed = (f"hydra.run.dir={job.runtime.output_dir}", "hydra.output_subdir=null", "hydra/job_logging=stdout")
    return [sys.executable, "-m", "guided_seg.run", *job.overrides.task, *overrides, *fixed]


def _leave(failed: bool) -> None:
    """Leave the process group. A failed one of GPUs is aborted, as its end would wait for what never comes."""
    if failed and rank_zero_only.rank:  # type: ignore[attr-defined]
        return  # the others must not notice before this process has ended, and its reason can be told
    if dist.is_available() and dist.is_initialized():
        if failed and dist.get_backend() == "nccl":
            dist.distributed_c10d._abort_process_group()
        else:
            dist.destroy_process_group()
    rank_zero_only.rank = 0  # type: ignore[attr-defined]

"""The overhead of Lightning, logging and metrics over a bare training loop, as a share of a step.

python experiments/overhead/measure.py [--blocks 30] [OVERRIDE ...]

Both train the network of the main job on the same batches, which are sampled beforehand. They alternate in one process
in blocks of steps, and in who is first, so that other load on the machine affects both. A block is as long as the
logging interval, so that each block has its share of the logging.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import DictConfig, open_dict
from pytorch_lightning import seed_everything

from guided_seg.cli.run_folders import register_resolvers
from guided_seg.composition.build import build_data, build_network, network_config
from guided_seg.episode import IGNORE, Batch
from guided_seg.loggers.loggers import build_loggers, close_loggers, log_config
from guided_seg.training.callbacks import Clock
from guided_seg.training.lightning_messages import quiet_lightning
from guided_seg.training.module import EpisodicSegmentation
from guided_seg.training.train import build_trainer

WARM_UP, END = 2, 1
"""Blocks that are not counted: the first, and the last, after which the trainer requests no more batches."""


@dataclass(frozen=True)
class Found:
    """Seconds of a step, a mean over each block of steps."""

    bare: list[float]
    lightning: list[float]

    @property
    def overhead(self) -> float:
        """The median over pairs of neighbouring blocks of (Lightning / bare) - 1."""
        return median(dear / cheap for dear, cheap in zip(self.lightning, self.bare, strict=True)) - 1


class Bare:
    """A minimal training loop: forward, loss, backward, clip, step."""

    def __init__(self, cfg: DictConfig, steps: int) -> None:
        self.network = build_network(cfg).train()
        self.optimizer = instantiate(cfg.optimizer.optimizer)(self.network.parameters())
        self.schedule = instantiate(cfg.optimizer.schedule)(self.optimizer, total_steps=steps)
        self.clip = cfg.trainer.gradient_clip_val

    def step(self, batch: Batch) -> None:
        """One training step."""
        loss = F.cross_entropy(self.network(batch), batch.target.long(), ignore_index=IGNORE)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimizer.step()
        self.schedule.step()


class TakingTurns:
    """The data loader of the trainer, which runs the bare loop between the blocks of the trainer."""

    def __init__(self, batches: Sequence[Batch], bare: Bare, block: int, blocks: int) -> None:
        self.batches, self.bare, self.block, self.blocks = batches, bare, block, blocks
        self.seconds: dict[str, list[float]] = {"bare": [], "lightning": []}

    def __len__(self) -> int:
        return self.block * self.blocks

    def __iter__(self) -> Iterator[Batch]:
        for number in range(self.blocks):
            if number % 2 == 0:
                self._bare_block()
            began = time.perf_counter()
            yield from self.batches  # each comes back here when its step is done
            self.seconds["lightning"].append((time.perf_counter() - began) / self.block)
            if number % 2 == 1:
                self._bare_block()

    def _bare_block(self) -> None:
        began = time.perf_counter()
        for batch in self.batches:
            self.bare.step(batch)
        self.seconds["bare"].append((time.perf_counter() - began) / self.block)


def measure(folder: Path, blocks: int = 30, overrides: Sequence[str] = ()) -> Found:
    """Train both for ``blocks`` blocks, with the loggers of the main job writing into ``folder``."""
    blocks_in_all = WARM_UP + blocks + END
    cfg = _compose(folder, blocks_in_all, overrides)
    seed_everything(cfg.seed, verbose=False)
    quiet_lightning()
    torch.set_float32_matmul_precision("high")  # as the main command does
    with open_dict(cfg):  # which a run may not set
        cfg.trainer.update({"limit_val_batches": 0, "enable_checkpointing": False})
    block, steps = cfg.trainer.log_every_n_steps, cfg.trainer.max_steps
    loader = iter(build_data(cfg).train_dataloader())
    turns = TakingTurns([next(loader) for _ in range(block)], Bare(cfg, steps), block, blocks_in_all)
    module = EpisodicSegmentation(
        build_network(cfg),
        instantiate(cfg.optimizer.optimizer),
        instantiate(cfg.optimizer.schedule),
        config=network_config(cfg),
        log_every=block,
    )
    loggers = build_loggers(cfg.logger, folder)
    try:
        log_config(loggers, {"blocks": blocks})
        build_trainer(cfg, loggers, folder, Clock(), [], steps).fit(module, turns, turns)
    finally:
        close_loggers(loggers)
    counted = slice(WARM_UP, WARM_UP + blocks)
    return Found(turns.seconds["bare"][counted], turns.seconds["lightning"][counted])


def _compose(folder: Path, blocks: int, overrides: Sequence[str]) -> DictConfig:
    register_resolvers()
    fixed = (
        f"output_dir={folder}",
        "num_workers=0",
    )
    with initialize_config_module("guided_seg.conf", version_base="1.3"):
        cfg = compose("config", ["+experiment=late_global", *fixed, *overrides])
    cfg.trainer.max_steps = blocks * cfg.trainer.log_every_n_steps
    return cfg


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=30)
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), options.blocks, options.overrides)
    bare, dear = (1000 * median(seconds) for seconds in (found.bare, found.lightning))
    sys.stdout.write(
        f"bare {bare:.1f} ms, Lightning {dear:.1f} ms a step (medians of {options.blocks} blocks); "
        f"added: {found.overhead:.1%} of a step\n"
    )


if __name__ == "__main__":
    main()

"""The main command: compose, train, test, report.

python -m guided_seg.run +experiment=late_global
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from guided_seg.cli import command as cli
from guided_seg.cli.program import program
from guided_seg.cli.run_folders import register_resolvers
from guided_seg.training import sweep

if TYPE_CHECKING:
    from omegaconf import DictConfig

COMMAND = "python -m guided_seg.run"
EXAMPLES = (
    "+experiment=late_global",
    "+experiment=late_global seed=1 logger=csv",
    "+experiment=late_global data=voc data.root=PATH 'data.held_out=[cow]' mode=semantic backbone=efficientnet_lite0",
    "+experiment=late_global ckpt_path=last",
    "-m '+experiment=late_global,foreground_background' seed=0,1,2",
    "-m +experiment=late_global +sweep=shots_points",
)


@cli.command(COMMAND, "config", EXAMPLES)
def _main(cfg: DictConfig) -> Any:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from guided_seg.distributed.launcher import end_with_starter
    from guided_seg.training.train import train

    end_with_starter()
    state, folder = HydraConfig.get(), cli.output_dir()
    if state.mode != RunMode.MULTIRUN:
        return train(cfg, folder)
    best = sweep.run_job(train, cfg, folder, state.overrides.task)
    if not state.launcher._target_.endswith(".BasicLauncher"):
        sweep.hand_over(Path(state.sweep.dir), state.job.num)
    return best


@program
def main() -> None:
    """Entry point."""
    register_resolvers()
    _main()
    sweep.report()


if __name__ == "__main__":
    main()

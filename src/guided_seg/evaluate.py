"""Score a checkpoint in any mode on any source.

python -m guided_seg.evaluate checkpoint=PATH mode=video data=davis data.root=PATH
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig

from guided_seg import cli

if TYPE_CHECKING:
    from omegaconf import DictConfig

COMMAND = "python -m guided_seg.evaluate"
EXAMPLES = (
    "checkpoint=outputs/late_global/RUN/checkpoints/best.ckpt",
    "checkpoint=PATH mode=video data=davis data.root=PATH",
    "checkpoint=PATH mode=semantic evaluation.shots=[1,5] evaluation.points=[1,5,dense] output_dir=PATH",
    "checkpoint=PATH protocol=[davis2016,clicks] data=davis data.root=PATH",
)


@hydra.main(config_path="pkg://guided_seg.conf", config_name="evaluate", version_base="1.3")
@cli.kind_errors
def _main(cfg: DictConfig) -> None:
    out = Path(HydraConfig.get().runtime.output_dir)
    if cfg.get("protocol"):
        from guided_seg.protocols.evaluation import score_protocols

        score_protocols(cfg, out)
    else:
        from guided_seg.score import score

        score(cfg, out)


def main() -> None:
    """Entry point."""
    cli.help_if_asked(sys.argv[1:], COMMAND, EXAMPLES, "evaluate")
    cli.check_overrides("evaluate", sys.argv[1:])
    _main()


if __name__ == "__main__":
    main()

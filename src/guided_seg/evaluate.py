"""Score a checkpoint in any mode on any data.

python -m guided_seg.evaluate checkpoint=PATH mode=video data=davis data.root=PATH
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guided_seg.cli import command as cli

if TYPE_CHECKING:
    from omegaconf import DictConfig

COMMAND = "python -m guided_seg.evaluate"
EXAMPLES = (
    "checkpoint=outputs/late_global/RUN/checkpoints/best.ckpt",
    "checkpoint=PATH mode=video data=davis data.root=PATH",
    "checkpoint=PATH mode=semantic 'evaluation.shots=[1,5]' 'evaluation.points=[1,5,dense]' output_dir=PATH",
    "checkpoint=PATH 'protocol=[davis2016,clicks]' data=davis data.root=PATH",
)


@cli.command(COMMAND, "evaluate", EXAMPLES)
def main(cfg: DictConfig) -> None:
    """Entry point."""
    out = cli.output_dir()
    from guided_seg.files.locks import alone_in
    from guided_seg.protocols.evaluation import score, score_protocols  # slow, so after --help

    with alone_in(out):
        (score_protocols if cfg.get("protocol") else score)(cfg, out)


if __name__ == "__main__":
    main()

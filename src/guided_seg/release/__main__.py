"""Make a released model of a run: its weights in fp16, their checksum, and a model card.

python -m guided_seg.release checkpoint=RUN name=NAME
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guided_seg.cli import command as cli

if TYPE_CHECKING:
    from omegaconf import DictConfig

COMMAND = "python -m guided_seg.release"
EXAMPLES = (
    "checkpoint=outputs/late_global/RUN name=mine",
    "checkpoint=RUN name=guided-lite0 card=card.md output_dir=src/guided_seg/release/guided-lite0",
)


@cli.command(COMMAND, "release", EXAMPLES)
def main(cfg: DictConfig) -> None:
    """Entry point."""
    from guided_seg.release.making import release

    release(cfg, cli.output_dir())


if __name__ == "__main__":
    main()

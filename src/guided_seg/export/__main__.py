"""Write the encoder, the guide and the segmentor of a checkpoint, for use without guided_seg.

python -m guided_seg.export checkpoint=PATH format=onnx
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guided_seg.cli import command as cli

if TYPE_CHECKING:
    from omegaconf import DictConfig

COMMAND = "python -m guided_seg.export"
EXAMPLES = (
    "checkpoint=outputs/late_global/RUN/checkpoints/best.ckpt",
    "checkpoint=PATH format=torch_export output_dir=PATH",
)


@cli.command(COMMAND, "export", EXAMPLES)
def main(cfg: DictConfig) -> None:
    """Entry point."""
    from guided_seg.export.export_parts import export

    export(cfg, cli.output_dir())


if __name__ == "__main__":
    main()

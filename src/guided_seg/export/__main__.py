"""Write the encoder, the guide and the segmentor of a checkpoint, for use without guided_seg.

python -m guided_seg.export checkpoint=PATH format=onnx
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

COMMAND = "python -m guided_seg.export"
EXAMPLES = (
    "checkpoint=outputs/late_global/RUN/checkpoints/best.ckpt",
    "checkpoint=PATH format=torch_export output_dir=PATH",
    "checkpoint=PATH format=safetensors",
)


@hydra.main(config_path="pkg://guided_seg.conf", config_name="export", version_base="1.3")
@cli.kind_errors
def _main(cfg: DictConfig) -> None:
    from guided_seg.export.command import export

    export(cfg, Path(HydraConfig.get().runtime.output_dir))


def main() -> None:
    """Entry point."""
    cli.help_if_asked(sys.argv[1:], COMMAND, EXAMPLES, "export")
    cli.check_overrides("export", sys.argv[1:])
    _main()


if __name__ == "__main__":
    main()

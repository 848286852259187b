"""The main command without figures, which is killed in job j, step s: ``KILL_AT=j:s``.

python killed_sweep.py -m +experiment=late_global ...
"""

from __future__ import annotations

import os
import signal
from typing import Any

from support.commands import composed_once, no_figures
from torch import Tensor

from guided_seg.run import main
from guided_seg.training.module import EpisodicSegmentation

honest, jobs = EpisodicSegmentation.training_step, 0


def training_step(self: EpisodicSegmentation, batch: Any, batch_idx: int) -> Tensor:
    global jobs  # noqa: PLW0603
    jobs += not getattr(self, "counted", False)
    self.counted = True
    if f"{jobs}:{self.global_step}" == os.environ["KILL_AT"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return honest(self, batch, batch_idx)


if __name__ == "__main__":
    EpisodicSegmentation.training_step = training_step  # type: ignore[method-assign]
    with no_figures(), composed_once():
        main()

"""Start-up time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from omegaconf import DictConfig

from guided_seg.benchmark.timing import Row, Way, by_turns, row

ROUNDS = 5


def rows(cfg: DictConfig) -> Iterator[Row]:
    """Measure seconds until a new process is done."""
    commands = {
        "torch": ("-c", "import torch"),
        "session": ("-c", "import guided_seg.session"),
        "help": ("-m", "guided_seg.run", "--help"),
        "config": ("-m", "guided_seg.run", "+experiment=late_global", "--cfg", "job"),
    }
    times = by_turns({name: _process(*command) for name, command in commands.items()}, min(ROUNDS, cfg.rounds))
    of = "python -c 'import guided_seg.session'; reference: import torch"
    yield row("import_session_s", times["session"], "s", of, times["torch"])
    yield row("help_s", times["help"], "s", "python -m guided_seg.run --help; reference: import torch", times["torch"])
    of = "python -m guided_seg.run +experiment=late_global --cfg job; reference: import torch"
    yield row("config_s", times["config"], "s", of, times["torch"])


def _process(*arguments: str) -> Way:
    return lambda: subprocess.run((sys.executable, *arguments), check=True, capture_output=True)

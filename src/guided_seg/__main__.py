"""The command guided-seg: guided_seg.run, or another command by its name, as in `guided-seg app photos/`."""

from __future__ import annotations

import sys
from importlib import import_module

COMMANDS = {
    "run": "guided_seg.run",
    "evaluate": "guided_seg.evaluate",
    "compare": "guided_seg.compare",
    "episodes": "guided_seg.episodes",
    "study": "guided_seg.study.__main__",
    "prepare": "guided_seg.data.prepare",
    "inspect": "guided_seg.data.inspect",
    "benchmark": "guided_seg.benchmark.__main__",
    "export": "guided_seg.export.__main__",
    "release": "guided_seg.release.__main__",
    "app": "guided_seg.app.__main__",
}
"""The modules of the commands. Without a name, the command is ``run``."""


def main() -> None:
    """Entry point."""
    name = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1] in COMMANDS else "run"
    if sys.argv[1:2] == [name]:
        del sys.argv[1]
    import_module(COMMANDS[name]).main()


if __name__ == "__main__":
    main()

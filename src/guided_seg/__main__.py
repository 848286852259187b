"""The command guided-seg: help, or another command by its name, as in `guided-seg app photos/`."""

from __future__ import annotations

import shlex
import sys
from importlib import import_module
from pathlib import Path

from guided_seg.cli import command as cli
from guided_seg.cli.program import program
from guided_seg.files.text import is_there, nearest, shown

COMMANDS = {
    "app": "guided_seg.app.__main__",
    "run": "guided_seg.run",
    "segment": "guided_seg.segment.__main__",
    "evaluate": "guided_seg.evaluate",
    "compare": "guided_seg.compare",
    "episodes": "guided_seg.episodes",
    "study": "guided_seg.study.__main__",
    "dashboard": "guided_seg.dashboard.__main__",
    "prepare": "guided_seg.data.prepare",
    "inspect": "guided_seg.data.inspect",
    "benchmark": "guided_seg.benchmark.__main__",
    "export": "guided_seg.export.__main__",
    "release": "guided_seg.release.__main__",
}
"""The modules of the commands, in the order of the help."""

ABOUT = {
    "app": "Click on images and videos in a browser",
    "run": "Train a network and test it",
    "segment": "Segment many images or videos as a few annotated ones show",
    "evaluate": "Score a checkpoint in any mode on any data",
    "compare": "Compare two evaluations, episode by episode",
    "episodes": "Freeze the episodes of protocols into files, or show such a file",
    "study": "Gather many runs into one table, figures and a page",
    "dashboard": "Make a workspace and a report of Weights & Biases",
    "prepare": "Download, unpack and check a data set",
    "inspect": "Report on a data set: size, balance, broken files, pictures",
    "benchmark": "Measure speed: edits, encoding, video, training, the page",
    "export": "Write the parts of a network for use without guided_seg",
    "release": "Make a released model of a run",
}
"""What each command does."""

HELP = ("--help", "-h")


@program
def main() -> None:
    """Entry point. Without the name of a command, settings and options are those of ``run``."""
    word = (cli.without_comment(sys.argv[1:]) or ["--help"])[0]
    if word in HELP:
        from guided_seg.cli.help_page import print_commands

        print_commands("guided-seg", ABOUT)
        return
    if word in COMMANDS:
        del sys.argv[1]
    elif _is_setting(word):
        word = "run"
    else:
        cli.refuse(_no_command(word))
    before = cli.STARTED_AS.set(f"guided-seg {word}")
    try:
        import_module(COMMANDS[word]).main()
    finally:
        cli.STARTED_AS.reset(before)


def _is_setting(word: str) -> bool:
    """Whether a word is an override or an option, not the name of a command."""
    return word.startswith(("-", "+", "~")) or "=" in word


def _no_command(word: str) -> str:
    """The sentence for a word that is no command. Its nearest one is that of its spelling, or ``app`` for a path."""
    near = nearest(word, COMMANDS)
    if word and is_there(Path(word)):
        near = f"guided-seg app {shlex.quote(word)}, which opens it in the browser"
    hint = f"did you mean {near}? Choose" if near else "choose"
    return f"There is no command {shown(word)}; {hint} from {', '.join(COMMANDS)}."


if __name__ == "__main__":
    main()

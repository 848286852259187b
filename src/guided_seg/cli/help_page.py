"""Print the ``--help`` page, from the config files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from guided_seg import __doc__ as PURPOSE
from guided_seg import __version__
from guided_seg.settings.config_files import defaults, groups, options


def print_commands(program: str, about: Mapping[str, str]) -> None:
    """Print the commands of a program, and how to get the help of each.

    Args:
        program: its command line.
        about: command -> what it does.
    """
    console = Console(highlight=False)
    _print_part(console, f"guided_seg {__version__}", [(str(PURPOSE), "")])
    _print_part(console, "usage", [(f"{program} COMMAND [...]", "")])
    _print_part(console, "commands", list(about.items()))
    _print_part(console, "help of a command", [(f"{program} COMMAND --help", "")])


def print_help(
    command: str, examples: Sequence[str], config_name: str, module: str, words: Mapping[str, str] | None = None
) -> None:
    """Print usage, experiments, groups with their options, and examples.

    Args:
        command: the command line of the program.
        examples: complete command lines without the program.
        config_name: the primary config, with the defaults.
        module: the package of the configs.
        words: what the command takes: name -> what it may be. None for groups and settings.
    """
    conf, console = files(module), Console(highlight=False)
    chosen = {group.removeprefix("optional "): name for group, name in defaults(conf / f"{config_name}.yaml").items()}
    experiments = [
        (name, _first_comment(file)) for name, file in options(conf / "experiment") if _overridden(file) <= set(chosen)
    ]
    sweeps = [(name, _first_comment(file)) for name, file in options(conf / "sweep")] if experiments else []
    extra = "[+experiment=NAME] " if experiments else ""
    _print_part(console, f"guided_seg {__version__}", [(str(PURPOSE), "")])
    takes = " ".join(f"[{word}]" for word in words) if words else f"{extra}[group=option ...] [key=value ...]"
    _print_part(console, "usage", [(f"{command} {takes}", "")])
    _print_part(console, "arguments", list((words or {}).items()))
    _print_part(console, "experiments (+experiment=NAME)", experiments)
    _print_part(console, "sweeps (-m +sweep=NAME)", sweeps)
    _print_part(console, "groups (group=option, * is the default)", _groups(conf, chosen))
    _print_part(console, "examples", [(f"{command} {example}", "") for example in examples])
    _print_part(console, "more", _MORE)


_MORE = [
    ("--cfg job", "show the composed config"),
    ("-m key=a,b", "run once for each value"),
    ("--hydra-help", "options of Hydra"),
]


def _groups(conf: Traversable, chosen: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (group, "  ".join(f"{name}*" if name == chosen[group] else name for name in names))
        for group, names in groups(conf)
        if group in chosen
    ]


def _overridden(experiment: Traversable) -> set[str]:
    """The groups that an experiment overrides; the primary config must have them all."""
    prefix = "override /"
    return {group.removeprefix(prefix) for group in defaults(experiment) if group.startswith(prefix)}


def _first_comment(file: Traversable) -> str:
    comments = (line[1:].strip() for line in file.read_text("utf-8").splitlines() if line.startswith("#"))
    return next((comment for comment in comments if not comment.startswith("@")), "")


def _print_part(console: Console, title: str, rows: Sequence[tuple[str, str]]) -> None:
    if not rows:
        return
    console.print(Text(title, style="bold"))
    if not any(right for _, right in rows):
        for left, _ in rows:
            console.print(Text(f"  {left}"), soft_wrap=True)
    else:
        grid = Table.grid(padding=(0, 2))
        for left, right in rows:
            grid.add_row(Text(f"  {left}"), Text(right))
        console.print(grid)
    console.print()

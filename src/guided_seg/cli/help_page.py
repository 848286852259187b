"""The page that ``--help`` prints, read from the config files themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from guided_seg import __doc__ as PURPOSE
from guided_seg import __version__


def print_help(command: str, examples: Sequence[str], config_name: str, module: str) -> None:
    """Print usage, experiments, groups with their options, and examples.

    Args:
        command: how the program is called.
        examples: whole command lines without the program.
        config_name: the primary config, which knows the defaults.
        module: the package that holds the configs.
    """
    conf, console = files(module), Console(highlight=False)
    defaults = _defaults(conf / f"{config_name}.yaml")
    experiments = [
        (name, _first_comment(file))
        for name, file in options(conf / "experiment")
        if _overridden(file) <= set(defaults)
    ]
    sweeps = [(name, _first_comment(file)) for name, file in options(conf / "sweep")] if experiments else []
    extra = "[+experiment=NAME] " if experiments else ""
    _print_part(console, f"guided_seg {__version__}", [(str(PURPOSE), "")])
    _print_part(console, "usage", [(f"{command} {extra}[group=option ...] [key=value ...]", "")])
    _print_part(console, "experiments (+experiment=NAME)", experiments)
    _print_part(console, "sweeps (-m +sweep=NAME)", sweeps)
    _print_part(console, "groups (group=option, * is the default)", _groups(conf, defaults))
    _print_part(console, "examples", [(f"{command} {example}", "") for example in examples])
    _print_part(console, "more", _MORE)


def options(group: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    """The options of a group, those of its subfolders as ``folder/option``, by name."""
    entries = sorted(group.iterdir(), key=lambda entry: entry.name) if group.is_dir() else []
    for entry in entries:
        if entry.is_dir():
            yield from options(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".yaml") and not entry.name.startswith("_"):  # _files.yaml is a part of others
            yield prefix + entry.name.removesuffix(".yaml"), entry


_MORE = [
    ("--cfg job", "show the composed config"),
    ("-m key=a,b", "run once for each value"),
    ("--hydra-help", "what Hydra itself can do"),
]


def _groups(conf: Traversable, defaults: dict[str, str]) -> list[tuple[str, str]]:
    rows = []
    for group in sorted(conf.iterdir(), key=lambda entry: entry.name):
        names = [name for name, _ in options(group)]
        if names and group.name in defaults:
            marked = [f"{name}*" if name == defaults.get(group.name) else name for name in names]
            rows.append((group.name, "  ".join(marked)))
    return rows


def _defaults(config: Traversable) -> dict[str, str]:
    """The groups that the config chooses from, with their defaults."""
    return {group.removeprefix("optional "): value for group, value in _entries(config)}


def _overridden(experiment: Traversable) -> set[str]:
    """The groups that an experiment chooses for; a config without them cannot take it."""
    prefix = "override /"
    return {group.removeprefix(prefix) for group, _ in _entries(experiment) if group.startswith(prefix)}


def _entries(config: Traversable) -> list[tuple[str, str]]:
    lines = (yaml.safe_load(config.read_text("utf-8")) or {}).get("defaults", []) if config.is_file() else []
    return [(group, str(value)) for line in lines if isinstance(line, dict) for group, value in line.items()]


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

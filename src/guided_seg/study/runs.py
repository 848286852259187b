"""Read the runs in a folder: their configuration and scores, and which of them did not finish."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guided_seg.composition.moved import renamed
from guided_seg.errors import UserError
from guided_seg.files.text import read_table, read_text, read_yaml
from guided_seg.report.results import Results, read_facts, read_results
from guided_seg.settings.choices import choices
from guided_seg.training.sweep import ERROR

WHAT = "a run folder has config.yaml and metrics.json, written by python -m guided_seg.run"


GROUP_COLUMNS = ("mode", "shots", "points", "group", "iou")
"""The columns of groups.csv, the IoU of each class or object."""


@dataclass(frozen=True)
class Run:
    """A complete run.

    Attributes:
        folder: its path relative to the folder that was searched.
        path: its folder.
        config: every setting by its dotted key.
        choices: the option of each config group, such as ``fusion: late``.
        results: its scores.
        facts: the entries of ``run`` in metrics.json: seconds, update_ms, ...
        groups: the rows of groups.csv, with the columns `GROUP_COLUMNS`.
    """

    folder: str
    path: Path
    config: Mapping[str, Any]
    choices: Mapping[str, str]
    results: Results
    facts: Mapping[str, float]
    groups: Sequence[Sequence[str]] = ()

    @property
    def seed(self) -> int:
        """The seed of the training."""
        return int(self.config.get("seed", 0))


@dataclass(frozen=True)
class Missing:
    """A run without scores; its status is ``refused``, ``failed`` or ``incomplete``."""

    folder: str
    status: str
    reason: str


def gather(roots: Sequence[Path]) -> tuple[list[Run], list[Missing]]:
    """The complete runs in and below ``roots``, and the runs without scores, both sorted by folder.

    Raises:
        UserError: a root is not a folder, or there are no runs in any of them.
    """
    found: list[Run | Missing] = []
    for root in roots:
        if not root.is_dir():
            raise UserError(f"{root} is not a folder; give folders of runs: {WHAT}.")
        found += [_read(path, _name(path, root, several=len(roots) > 1)) for path in run_folders(root)]
    if not found:
        raise UserError(f"No runs in {', '.join(map(str, roots))}; {WHAT}.")
    return [run for run in found if isinstance(run, Run)], [run for run in found if isinstance(run, Missing)]


def run_folders(root: Path) -> Iterator[Path]:
    """The run folders in and below ``root``, sorted by name. Folders inside a run folder are not searched."""
    if (root / "evaluation.json").exists():  # written by guided_seg.evaluate, which trains nothing
        return
    if any((root / name).exists() for name in ("metrics.json", "config.yaml", ERROR, "hydra/overrides.yaml")):
        yield root
        return
    for path in sorted(root.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from run_folders(path)


def _name(path: Path, root: Path, several: bool) -> str:
    inside = path.relative_to(root)
    parts = [root.resolve().name, *inside.parts] if several or not inside.parts else inside.parts
    return "/".join(parts)


def _read(path: Path, name: str) -> Run | Missing:
    if not (path / "metrics.json").is_file():
        return _why(path, name)
    try:
        tree = _config(path / "config.yaml")
        results, facts = read_results(path / "metrics.json"), read_facts(path / "metrics.json")
        return Run(name, path, dict(flatten(tree)), _choices(path, tree), results, facts, _groups(path / "groups.csv"))
    except (OSError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].replace(str(path), name)
        return Missing(name, "incomplete", f"its files cannot be read: {reason}")


def _config(path: Path) -> dict[Any, Any]:
    tree = renamed(_yaml(path))
    seed = tree.get("seed", 0)
    if type(seed) is not int:
        raise UserError(f"{path} has seed={seed!r}; expected a whole number.")
    return tree


def _yaml(path: Path) -> dict[Any, Any]:
    """The settings in a YAML file, as written. Raises `UserError` if there are none."""
    tree = read_yaml(path, "record of a run")
    if not isinstance(tree, dict) or not tree:
        raise UserError(f"{path} holds {str(tree)[:20]!r}; expected settings, as guided_seg.run writes them.")
    return tree


def _groups(path: Path) -> tuple[tuple[str, ...], ...]:
    """The rows of groups.csv, with the columns `GROUP_COLUMNS`; none if the file is missing."""
    if not path.is_file():
        return ()
    return tuple(
        tuple(row[name] for name in GROUP_COLUMNS) for row in read_table(path, "table of groups", GROUP_COLUMNS)
    )


def _why(path: Path, name: str) -> Missing:
    if not (path / ERROR).is_file():
        return Missing(name, "incomplete", "it has no metrics.json: still running, or interrupted")
    first = read_text(path / ERROR, "note of the failed run").partition("\n")[0]
    status, found, reason = first.partition(": ")
    return Missing(name, status, reason) if found else Missing(name, "failed", f"{ERROR} gives no reason")


def flatten(tree: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Pairs of dotted key and leaf of nested mappings; a list is a leaf.

    Example:
        >>> dict(flatten({"a": {"b": 1, "c": [2, 3]}}))
        {'a.b': 1, 'a.c': [2, 3]}
    """
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _choices(path: Path, tree: Mapping[Any, Any]) -> dict[str, str]:
    """Config group -> option, as Hydra recorded it, or else derived from the name of the option's class."""
    record = path / "hydra" / "hydra.yaml"
    if not record.is_file():
        return choices(tree)
    chosen: Any = _yaml(record)
    for key in ("hydra", "runtime", "choices"):
        chosen = chosen.get(key) if isinstance(chosen, dict) else None
    if not isinstance(chosen, dict):
        raise UserError(f"{record} has no hydra.runtime.choices; restore the file that Hydra wrote, or remove it.")
    return choices(tree, chosen)

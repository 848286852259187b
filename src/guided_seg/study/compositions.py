"""Group runs into compositions: runs that differ only in their seed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guided_seg.errors import UserError
from guided_seg.study.runs import Run

Settings = tuple[tuple[str, str], ...]
"""The (setting, value) pairs of a composition, in the order of the columns."""

_NO_CHOICE = (
    *("seed", "output_dir", "ckpt_path", "debug", "num_workers", "max_broken", "logger", "feature_cache"),
    *("evaluation.points", "evaluation.modes", "evaluation.batch_size", "trainer.accelerator", "trainer.devices"),
    *("trainer.enable_progress_bar", "trainer.log_every_n_steps"),
    *("trainer.strategy", "trainer.num_nodes", "trainer.plugins"),
)
"""Settings that do not affect scores, and the seed, over which scores are averaged."""

_FIRST = ("name", "backbone", "fusion", "annotation", "locality", "merge", "conditioning", "resolution", "baseline")
"""The first columns, in the order of the paper's choices; others follow by name."""


@dataclass(frozen=True)
class Composition:
    """A row of a table: runs that differ only in their seed.

    Attributes:
        settings: the settings that distinguish it from the other compositions.
        label: a short form of the settings without empty ones, such as ``fusion=late, locality=global``, or the name
            of its runs if that is enough.
        runs: seed -> run.
    """

    settings: Settings
    label: str
    runs: Mapping[int, Run]


def compose(runs: Sequence[Run]) -> tuple[list[Composition], list[tuple[Run, Run]]]:
    """The compositions of the runs, sorted by their settings, and a pair (left out, kept) for each repeated run.

    Two runs of one composition with one seed are the same experiment. The one whose folder sorts first is kept.
    """
    columns = varied(runs)
    named = _needed(columns)
    found: dict[Settings, dict[int, Run]] = {}
    repeated = []
    for run in sorted(runs, key=lambda run: run.folder):
        mates = found.setdefault(tuple((column, values[run.folder]) for column, values in columns.items()), {})
        if run.seed in mates:
            repeated.append((run, mates[run.seed]))
        else:
            mates[run.seed] = run
    ordered = sorted(found.items(), key=lambda entry: [natural(value) for _, value in entry[0]])
    return [
        Composition(settings, _label(settings, named, mates), dict(sorted(mates.items())))
        for settings, mates in ordered
    ], repeated


def varied(runs: Sequence[Run]) -> dict[str, dict[str, str]]:
    """Setting -> folder -> value, for the settings that differ between runs.

    A config group replaces those of its settings that its option determines: ``fusion`` for ``fusion._target_``.
    """
    groups = _differing({run.folder: run.choices for run in runs})
    keys = _differing({run.folder: run.config for run in runs})
    own = {key: values for key, values in keys.items() if not _follows(values, groups.get(key.partition(".")[0]))}
    found = {key: values for key, values in (groups | own).items() if not _is_no_choice(key)}
    return {key: found[key] for key in sorted(found, key=lambda key: (_rank(key), key))}


def find(compositions: Sequence[Composition], wanted: str) -> Composition:
    """The composition that has all the settings in ``wanted``, such as ``fusion=late,locality=global``.

    Settings that all compositions share may be named too.

    Raises:
        UserError: no composition has them, or several have.
    """
    pairs = [part.strip().partition("=")[::2] for part in wanted.split(",")]
    if not all("=" in part for part in wanted.split(",")):
        raise UserError(f"--reference '{wanted}' is not a list of settings; write key=value, separated by commas.")
    fitting = [c for c in compositions if all(_setting(c, key) == value for key, value in pairs)]
    if len(fitting) != 1:
        listed = "; ".join(composition.label for composition in compositions)
        what = "no composition" if not fitting else f"{len(fitting)} compositions"
        raise UserError(f"--reference '{wanted}' names {what}; give settings of exactly one of: {listed}.")
    return fitting[0]


def _setting(composition: Composition, key: str) -> str:
    run = next(iter(composition.runs.values()))
    return _text({**run.config, **run.choices, **dict(composition.settings)}, key)


def _needed(columns: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The columns that a label needs: only the name if it determines the others, and no name if they determine it."""
    others = [key for key in columns if key != "name"]
    if len(others) == len(columns) or not others:
        return list(columns)
    names = columns["name"]
    rest = {folder: tuple(columns[key][folder] for key in others) for folder in names}
    pairs = len({(names[folder], rest[folder]) for folder in names})
    if pairs == len(set(names.values())):
        return ["name"]
    return others if pairs == len(set(rest.values())) else list(columns)


def _label(settings: Settings, named: Sequence[str], runs: Mapping[int, Run]) -> str:
    if named in ([], ["name"]):
        return str(next(iter(runs.values())).config.get("name", "all runs"))
    return ", ".join(f"{key}={value}" for key, value in settings if key in named and value != "")


def _differing(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    keys = {key for table in tables.values() for key in table}
    columns = {key: {folder: _text(table, key) for folder, table in tables.items()} for key in keys}
    return {key: values for key, values in columns.items() if len(set(values.values())) > 1}


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key, "")
    return value if isinstance(value, str) else json.dumps(value)


def _follows(values: Mapping[str, str], option: Mapping[str, str] | None) -> bool:
    """Whether each option of the group determines the value."""
    if option is None:
        return False
    return len({(option[folder], value) for folder, value in values.items()}) == len(set(option.values()))


def _is_no_choice(key: str) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in _NO_CHOICE)


def _rank(key: str) -> int:
    group = key.partition(".")[0]
    return _FIRST.index(group) if group in _FIRST else len(_FIRST)


def natural(value: str) -> tuple[int, float, str]:
    """A sort key: numbers by value, before words."""
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value


def seeds(compositions: Iterable[Composition]) -> list[int]:
    """All seeds, sorted."""
    return sorted({seed for composition in compositions for seed in composition.runs})

"""Check the overrides of a command line before Hydra reads them: one sentence per mistake, with a did-you-mean."""

from __future__ import annotations

import os
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from importlib.resources.abc import Traversable
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.override_parser.types import IntervalSweep, Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from guided_seg.errors import CompositionError, UserError
from guided_seg.settings import config_files
from guided_seg.settings.outside import check_agent, check_secrets
from guided_seg.settings.paths import parse
from guided_seg.settings.preflight import check_folder, check_missing, check_settings, rule_of, settings
from guided_seg.settings.slips import (
    Known,
    check_key,
    check_names,
    check_null,
    check_option,
    check_plus,
    check_sweep_values,
    refuse_sweep,
    values_of,
)

SWEEP = "sweep"
"""The group of files with the values of several runs."""

PROCESS_OF_A_JOB = "GUIDED_SEG_ARRIVALS"
"""Variable of the processes that a job has started: the folder in which each leaves a file when it is ready."""

_SEARCHPATH = "hydra.searchpath"


def find_problem(config_name: str, argv: Sequence[str], module: str) -> str | None:
    """The first error that prevents composition, or None. Hydra's state is restored."""
    arguments, unknown = _options().parse_known_args(list(argv))
    if unknown and "=" in unknown[0] and not unknown[0].startswith("-"):
        return f"An option stands between {unknown[0]} and other settings; put options such as -m before all of them."
    if unknown:
        return f"There is no option {unknown[0]}; settings are written without dashes, as in seed=1."
    modes = {"--run": arguments.run, "-m": arguments.multirun, "--cfg": arguments.cfg, "--info": arguments.info}
    if len(given := [name for name, value in modes.items() if value]) > 1:
        return f"{' and '.join(given)} cannot be combined; keep one of them."
    if arguments.config_path or arguments.hydra_help or arguments.shell_completion or arguments.experimental_rerun:
        return None
    try:
        with initialize_config_module(module, version_base="1.3"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Hydra repeats them
            _check(arguments.config_name or config_name, arguments, module)
    except CompositionError as problem:
        # other jobs of a sweep may be valid, so each one is refused separately
        return None if _several(arguments) else str(problem)
    except UserError as problem:
        return str(problem)
    except (HydraException, OmegaConfBaseException) as error:
        return " ".join(line.strip() for line in str(error).partition("Config search path:")[0].splitlines()).strip()
    return None


def _options() -> ArgumentParser:
    """Hydra's argument parser, which is not public."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument("overrides", nargs="*")
    for names in ("--help -h", "--hydra-help", "--version", "--resolve", "--run -r", "--multirun -m"):
        parser.add_argument(*names.split(), action="store_true")
    parser.add_argument("--shell-completion", "-sc", action="store_true")
    for names in ("--cfg -c", "--package -p", "--config-path -cp", "--config-name -cn", "--config-dir -cd"):
        parser.add_argument(*names.split())
    parser.add_argument("--experimental-rerun")
    parser.add_argument("--info", "-i", const="all", nargs="?")
    return parser


def _check(config_name: str, arguments: Namespace, module: str) -> None:
    several, lines = _several(arguments), list(arguments.overrides)
    overrides = [parse(line) for line in lines]
    check_agent(overrides, arguments.config_dir)
    places = [path for override in overrides if override.key_or_group == _SEARCHPATH for path in values_of(override)]
    if arguments.config_dir:
        places.append(f"file://{arguments.config_dir}")
        listed = ",".join(QuotedString(path, Quote.double).with_quotes() for path in places)
        overrides = [o for o in overrides if o.key_or_group != _SEARCHPATH] + [parse(f"{_SEARCHPATH}=[{listed}]")]
    known = _read(config_name, [config_files.place(path) for path in (f"pkg://{module}", *places)])
    for override in overrides:
        check_names(override, known)
        check_null(override, known)
        if override.is_sweep_override() and not several:
            refuse_sweep(override, known)
        check_option(override, known)
        if isinstance(known.defaults.get(override.key_or_group), list):  # Hydra accepts an extra plus here
            check_plus(override, known)
        if override.key_or_group == SWEEP:
            _check_sweep_file(override, several)
    try:
        final = _composed(config_name, overrides)
    except (HydraException, OmegaConfBaseException):
        _find_slip(config_name, overrides, known)
        _check_sections(config_name, overrides, known)
        raise
    if arguments.cfg is None and arguments.info is None:
        _check_sections(config_name, overrides, known)
        check_missing(final)
        check_secrets(settings(final))
        check_settings(final)
        for override in overrides:
            check_sweep_values(override, known.groups)
        check_folder(final, several)


def _read(config_name: str, roots: Sequence[Traversable]) -> Known:
    groups: dict[str, list[str]] = {}
    for root in reversed(roots):
        for group, options in config_files.groups(root):
            groups[group] = [*options, *(name for name in groups.get(group, ()) if name not in options)]
    primary = _file(roots, config_name)
    return Known(groups, _defaults(primary, roots), config_files.content(primary))


def _file(roots: Sequence[Traversable], name: str) -> Traversable:
    """The config of this name in the first location that has it."""
    files = [root / f"{name.removesuffix('.yaml')}.yaml" for root in roots]
    return next((file for file in files if file.is_file()), files[0])


def _composed(config_name: str, overrides: Iterable[Override] = ()) -> DictConfig:
    """Compose the config of the first job; takes a fraction of a second."""
    return compose(config_name, [_first_line(override) for override in overrides], return_hydra_config=True)


def _find_slip(config_name: str, overrides: Sequence[Override], known: Known) -> None:
    """Refuse the override that prevents composition, if we can explain it."""
    for override in overrides:
        check_plus(override, known)
    chosen = [override for override in overrides if override.key_or_group in known.groups]
    keys = settings(_composed(config_name, chosen))
    for override in overrides:
        if override.key_or_group not in known.groups:
            check_key(override, keys, known)


def _check_sections(config_name: str, overrides: Sequence[Override], known: Known) -> None:
    """Refuse a value for a whole section, as in ``episode=1``."""
    suspects = [override for override in overrides if _may_replace_a_section(override, known)]
    if not suspects:
        return
    keys = settings(_composed(config_name, [override for override in overrides if override not in suspects]))
    for override in suspects:
        key = override.key_or_group
        if isinstance(section := keys.get(key), dict) and section:
            first = f"{key}.{next(name for name in section if name not in ('_target_', '_partial_'))}"
            raise UserError(f"{override.input_line}: {key} is a section; set what it contains, as in {first}=...")


def _may_replace_a_section(override: Override, known: Known) -> bool:
    key = override.key_or_group
    if key in known.groups or key.startswith("hydra") or override.is_delete() or rule_of(key) is not None:
        return False
    if override.is_sweep_override():
        return override.is_discrete_sweep() and not any(isinstance(each, dict) for each in override.sweep_iterator())
    value = override.value()
    # null switches off a part within a section, such as data.augment
    return not isinstance(value, dict) and not (value is None and "." in key)


def _several(arguments: Namespace) -> bool:
    return bool(arguments.multirun) or "hydra.mode=MULTIRUN" in arguments.overrides


def _check_sweep_file(override: Override, several: bool) -> None:
    """Refuse a sweep file without -m: Hydra would run only one job, without a warning."""
    if not several and PROCESS_OF_A_JOB not in os.environ:
        raise UserError(f"{override.input_line} is a file of several runs; add -m, or leave it out for one run.")
    if len(values_of(override)) != 1:
        raise UserError(f"{override.input_line} names several sweep files; run a command for each.")


def _defaults(config: Traversable, roots: Sequence[Traversable]) -> dict[str, Any]:
    """The choices of a config, and of those that it includes, by group."""
    found: dict[str, Any] = {}
    for line in config_files.content(config).get("defaults", []):
        if isinstance(line, dict):
            found |= {key.removeprefix("optional ").removeprefix("override "): line[key] for key in line}
        elif line != "_self_":
            found |= _defaults(_file(roots, str(line)), roots)
    return found


def _first_line(override: Override) -> str:
    """The override with the first value of its sweep, as in the first job."""
    if not override.is_sweep_override():
        return str(override.input_line)
    values = override.value()
    first = values.start if isinstance(values, IntervalSweep) else next(iter(override.sweep_string_iterator()), "")
    return f"{str(override.input_line).partition('=')[0]}={first}"

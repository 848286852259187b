"""Check the overrides of a command line before Hydra reads them: one sentence per mistake, with a did-you-mean."""

from __future__ import annotations

import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib.resources.abc import Traversable
from typing import Any, NamedTuple

from hydra import compose, initialize_config_module
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from guided_seg.errors import CompositionError, UserError
from guided_seg.settings import config_files
from guided_seg.settings.paths import parse
from guided_seg.settings.preflight import check_folder, check_missing, check_settings, check_value, rule_of, settings
from guided_seg.settings.ranges import Refused

SWEEP = "sweep"
"""The group of files with the values of several runs."""

_SEARCHPATH = "hydra.searchpath"


class _Known(NamedTuple):
    """The content of the config files.

    Attributes:
        groups: each group and its options.
        defaults: the choice of the primary config in each group; a list if it allows several options.
        content: the primary config itself.
    """

    groups: dict[str, list[str]]
    defaults: dict[str, Any]
    content: Mapping[str, Any]


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
    places = [path for override in overrides if override.key_or_group == _SEARCHPATH for path in _values(override)]
    if arguments.config_dir:
        places.append(f"file://{arguments.config_dir}")
        listed = ",".join(QuotedString(path, Quote.double).with_quotes() for path in places)
        overrides = [o for o in overrides if o.key_or_group != _SEARCHPATH] + [parse(f"{_SEARCHPATH}=[{listed}]")]
    known = _read(config_name, [config_files.place(path) for path in (f"pkg://{module}", *places)])
    for override in overrides:
        _check_names(override, known)
        _check_null(override, known)
        if override.is_sweep_override() and not several:
            _refuse_sweep(override, known)
        _check_option(override, known)
        if isinstance(known.defaults.get(override.key_or_group), list):  # Hydra accepts an extra plus here
            _check_plus(override, known)
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
        check_settings(final)
        for override in overrides:
            _check_sweep_values(override, known.groups)
        check_folder(final, several)


def _read(config_name: str, roots: Sequence[Traversable]) -> _Known:
    groups: dict[str, list[str]] = {}
    for root in reversed(roots):
        for group, options in config_files.groups(root):
            groups[group] = [*options, *(name for name in groups.get(group, ()) if name not in options)]
    primary = _file(roots, config_name)
    return _Known(groups, _defaults(primary, roots), config_files.content(primary))


def _file(roots: Sequence[Traversable], name: str) -> Traversable:
    """The config of this name in the first location that has it."""
    files = [root / f"{name.removesuffix('.yaml')}.yaml" for root in roots]
    return next((file for file in files if file.is_file()), files[0])


def _composed(config_name: str, overrides: Iterable[Override] = ()) -> DictConfig:
    """Compose the config of the first job; takes a fraction of a second."""
    return compose(config_name, [_first_line(override) for override in overrides], return_hydra_config=True)


def _find_slip(config_name: str, overrides: Sequence[Override], known: _Known) -> None:
    """Refuse the override that prevents composition, if we can explain it."""
    for override in overrides:
        _check_plus(override, known)
    chosen = [override for override in overrides if override.key_or_group in known.groups]
    keys = settings(_composed(config_name, chosen))
    for override in overrides:
        if override.key_or_group not in known.groups:
            _check_key(override, keys, known)


def _check_sections(config_name: str, overrides: Sequence[Override], known: _Known) -> None:
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


def _may_replace_a_section(override: Override, known: _Known) -> bool:
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
    if not several:
        raise UserError(f"{override.input_line} is a file of several runs; add -m, or leave it out for one run.")
    if len(_values(override)) != 1:
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


def _check_names(override: Override, known: _Known) -> None:
    """Refuse a setting without a name, and an option that is not a name: Hydra would end in a traceback."""
    key, line = override.key_or_group, override.input_line
    if not key:
        raise UserError(f"{line} has no name; settings are written NAME=VALUE, as in seed=1.")
    if not (key in known.groups or key == "hydra" or "/" in key):
        return
    values: list[Any]
    if override.is_sweep_override():
        values = list(override.sweep_iterator()) if override.is_discrete_sweep() else []
    else:
        value = override.value()
        values = value if isinstance(value, list) and not override.is_delete() else [value]
    wrong = [value for value in values if not isinstance(value, str | QuotedString)]
    if override.is_delete() and wrong and wrong != [None]:
        raise UserError(f"{line}: expected the name of the option to remove, or ~{key} for any.")
    if wrong and not override.is_delete() and key not in known.groups:  # see _check_option for the others
        raise UserError(f"{line}: {key} takes the name of an option; found {wrong[0]}.")


def _check_null(override: Override, known: _Known) -> None:
    """Refuse ``null`` for a setting of the primary config that has no default."""
    key = override.key_or_group
    if not override.is_delete() and override.value() is None and known.content.get(key) == "???":
        raise UserError(f"{key} has no default; give it a value in place of null.")


def _check_sweep_values(override: Override, groups: Iterable[str]) -> None:
    """Refuse an invalid value of a later job, which would otherwise be found after hours."""
    if override.is_discrete_sweep() and override.key_or_group not in groups:
        for value in override.sweep_iterator():
            check_value(override.key_or_group, value.text if isinstance(value, QuotedString) else value)


def _refuse_sweep(override: Override, known: _Known) -> None:
    group, (key, _, value) = override.key_or_group, str(override.input_line).partition("=")
    rule, items = rule_of(key), list(override.sweep_iterator()) if override.is_discrete_sweep() else []
    takes_list = isinstance(known.defaults.get(group), list)
    if group not in known.groups:
        takes_list = bool(items) and (rule is None or rule.accepts(items))
    listed = f", or write '{key}=[{value}]' for a list" if takes_list else ""
    raise UserError(f"{key}={value} has several values; add -m to run each{listed}.")


def _check_option(override: Override, known: _Known) -> None:
    """Refuse an unknown option of a group."""
    group = override.key_or_group
    if group not in known.groups:
        return _check_new_name(override, known.groups)
    options, values = known.groups[group], _values(override)
    if "None" in values:
        raise UserError(f"{group}=null is not an option; {_in_place_of_null(group, known)}.")
    if wrong := [value for value in values if value not in options]:
        close, plus, listed = nearest(wrong[0], options), "+" if override.is_add() else "", ", ".join(options)
        guess = f"did you mean {plus}{group}={close}? There are: {listed}." if close else f"choose one of: {listed}."
        raise UserError(f"There is no {group}={wrong[0]}; {guess}")
    return None


def _in_place_of_null(group: str, known: _Known) -> str:
    """Advice for ``group=null``, which makes the command fail, as most groups are required."""
    default = known.defaults.get(group, "???")
    if default == []:
        return f"for none write '{group}=[]'"
    if default is None:
        return "leave it out to choose none"
    return f"choose one of: {', '.join(known.groups[group])}"


def _check_plus(override: Override, known: _Known) -> None:
    """Refuse an extra or missing plus before a group."""
    group, values = override.key_or_group, _values(override)
    if group not in known.groups or override.package is not None or override.is_force_add() or not values:
        return
    if override.is_add() and group in known.defaults:
        raise UserError(f"{group} has a default already, so leave out the plus: {group}={values[0]}.")
    if not override.is_add() and group not in known.defaults:
        raise UserError(f"{group} has no default to replace, so it needs a plus: +{group}={values[0]}.")


def _check_new_name(override: Override, groups: Iterable[str]) -> None:
    """Refuse a plus before a misspelt group, which Hydra would silently accept as a new setting."""
    name = override.key_or_group
    if not override.is_add() or override.is_force_add() or "." in name:
        return
    if close := nearest(name, groups, cutoff=0.8):
        written = str(override.input_line).partition("=")[2]
        raise UserError(f"There is no group '{name}'; did you mean +{close}={written}?")


def _values(override: Override) -> list[str]:
    """The options in a group override: one, those of a list, or those of a sweep."""
    if override.is_sweep_override():
        return [str(value) for value in override.sweep_string_iterator()]
    value = [] if override.is_delete() else override.value()
    return [str(item) for item in (value if isinstance(value, list) else [value])]


def _first_line(override: Override) -> str:
    """The override with the first value of its sweep, as in the first job."""
    if not override.is_sweep_override():
        return str(override.input_line)
    first = next(iter(override.sweep_string_iterator()), "")
    return f"{str(override.input_line).partition('=')[0]}={first}"


def _check_key(override: Override, keys: Iterable[str], known: _Known) -> None:
    key = override.key_or_group
    if override.is_add() or override.is_force_add() or key in keys:
        return
    if isinstance(rule_of(key), Refused):
        check_value(key, None if override.is_delete() else override.value())
    group = key.partition(".")[0]
    if group in known.groups and group not in keys:
        options, plus = ", ".join(known.groups[group]), "" if group in known.defaults else "+"
        raise UserError(
            f"{key} is a setting of {group}, which is not chosen; add {plus}{group}=..., one of: {options}."
        )
    near = [name for name in keys if name.startswith("hydra.") == key.startswith("hydra.")]
    close = nearest(key, [*known.groups, *near])
    guess = f"did you mean {close}?" if close else "--help lists the groups and --cfg job every setting."
    raise UserError(f"There is no setting '{key}'; {guess}")


def nearest(name: str, candidates: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The candidate with the same last part as ``name``, or the most similar one, as a whole or in its last part.

    Example:
        >>> nearest("max_step", ["seed", "trainer.max_steps"])
        'trainer.max_steps'
    """
    candidates, last = list(candidates), name.rpartition(".")[2]
    ends = {candidate.rpartition(".")[2]: candidate for candidate in sorted(candidates, key=len, reverse=True)}
    if last in ends:
        return ends[last]
    whole, end = get_close_matches(name, candidates, 1, cutoff), get_close_matches(last, ends, 1, cutoff)
    return whole[0] if whole else ends[end[0]] if end else None

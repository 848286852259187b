"""What is wrong with the overrides of a command line: one sentence that names the nearest right one."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from pathlib import Path

from hydra import compose, initialize_config_module
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.utils import get_args_parser
from hydra.core.default_element import GroupDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from guided_seg.errors import CompositionError, UserError
from guided_seg.files.text import shown
from guided_seg.settings.paths import suggestion
from guided_seg.settings.preflight import check_folder, check_missing, check_settings, check_value, rule_of, settings
from guided_seg.settings.ranges import Refused

SWEEP = "sweep"
"""The group of files that list the values of several runs."""


def find_problem(config_name: str, argv: Sequence[str], module: str) -> str | None:
    """The first thing that keeps the config from being composed, or None; Hydra's state stays as it was."""
    arguments, unknown = get_args_parser().parse_known_args(list(argv))
    if unknown and "=" in unknown[0] and not unknown[0].startswith("-"):
        return f"An option stands between {unknown[0]} and other settings; put options such as -m before all of them."
    if unknown:
        return f"There is no option {unknown[0]}; settings are written without dashes, as in seed=1."
    modes = {"--run": arguments.run, "-m": arguments.multirun, "--cfg": arguments.cfg, "--info": arguments.info}
    if len(given := [name for name, value in modes.items() if value]) > 1:
        return f"{' and '.join(given)} do not go together; leave out all but one of them."
    if arguments.config_path or arguments.hydra_help or arguments.shell_completion or arguments.experimental_rerun:
        return None
    try:
        with initialize_config_module(module, version_base="1.3"):
            _check(arguments.config_name or config_name, arguments)
    except CompositionError as problem:
        # the other jobs of a sweep may be possible: this one is refused when its turn comes
        return None if _several(arguments) else str(problem)
    except UserError as problem:
        return str(problem)
    except (HydraException, OmegaConfBaseException) as error:
        return " ".join(line.strip() for line in str(error).splitlines())
    return None


def _check(config_name: str, arguments: Namespace) -> None:
    if arguments.config_dir:
        _add_place(f"file://{Path(arguments.config_dir).absolute()}")
    overrides = [_parse(line) for line in arguments.overrides]
    for place in (place for o in overrides if o.key_or_group == "hydra.searchpath" for place in _values(o)):
        _add_place(place)
    several = _several(arguments)
    groups, lists = _groups(_loader().repository), _lists(config_name)
    for override in overrides:
        _check_needed(config_name, override)
        if override.is_sweep_override() and not several:
            _refuse_sweep(override, override.key_or_group in groups, lists)
        _check_option(config_name, override, groups)
        if override.key_or_group in lists:  # a plus too many is no error to Hydra there
            _check_plus(override, groups, lists)
        if override.key_or_group == SWEEP:
            _check_sweep_file(override, several)
    try:
        final = _composed(config_name, overrides)
    except (HydraException, OmegaConfBaseException):
        _find_slip(config_name, overrides, groups)
        raise
    if arguments.cfg is None and arguments.info is None:
        check_missing(final)
        check_settings(final)
        for override in overrides:
            _check_sweep_values(override, groups)
        check_folder(final, several)


def _composed(config_name: str, overrides: Iterable[Override] = ()) -> DictConfig:
    """The config of the first job, which takes a part of a second."""
    return compose(config_name, [_first_line(override) for override in overrides], return_hydra_config=True)


def _find_slip(config_name: str, overrides: Sequence[Override], groups: dict[str, list[str]]) -> None:
    """Refuse the override because of which nothing can be composed, if it is one of ours to explain."""
    defaults = _defaults(config_name)
    for override in overrides:
        _check_plus(override, groups, defaults)
    known = settings(_composed(config_name, [override for override in overrides if override.key_or_group in groups]))
    for override in overrides:
        if override.key_or_group not in groups:
            _check_key(override, known, groups, defaults)


def _several(arguments: Namespace) -> bool:
    return bool(arguments.multirun) or "hydra.mode=MULTIRUN" in arguments.overrides


def _check_sweep_file(override: Override, several: bool) -> None:
    """Hydra would run one job and say nothing of the others."""
    if not several:
        raise UserError(f"{override.input_line} is a file of several runs; add -m, or leave it out for one run.")
    if len(_values(override)) != 1:
        raise UserError(f"{override.input_line} names several sweep files; run a command for each.")


def _add_place(path: str) -> None:
    """Look for options there too: ``file://FOLDER`` or ``pkg://PACKAGE``."""
    loader = _loader()
    loader.get_search_path().prepend("command-line", path, anchor="schema")
    loader.repository.initialize_sources(loader.get_search_path())


def _loader() -> ConfigLoaderImpl:
    loader = GlobalHydra.instance().config_loader()
    assert isinstance(loader, ConfigLoaderImpl)
    return loader


def _parse(line: str) -> Override:
    try:
        return OverridesParser.create(_loader()).parse_overrides([line])[0]
    except OverrideParseException as error:
        if not line.isprintable():
            raise UserError(f"{shown(line)} holds a character that cannot be seen; type it without.") from error
        if found := [mark for mark in _TYPOGRAPHIC if mark in line]:
            mark, typed = found[0], _TYPOGRAPHIC[found[0]]
            raise UserError(f"'{line}' has the typographic sign {mark}; type {typed} instead.") from error
        if "=" not in line:
            raise UserError(f"'{line}' has no value; an override is key=value, as in seed=1.") from error
        reason, word = str(error).strip().splitlines()[0], suggestion(line)
        cure = f"for that text type {word}" if word else "write key=value, as in seed=1"
        if not word and set(line.partition("=")[2]) & set("[({'\""):
            cure = "close what it opens: a list is [a,b], and text is in quotes"
        raise UserError(f"'{line}' cannot be read ({reason}); {cure}.") from error


_TYPOGRAPHIC = {"‘": "'", "’": "'", "“": '"', "”": '"', "–": "- (or --)", "—": "--"}
"""What programs for texts make of quotation marks and dashes, and what to type."""


def _groups(repository: IConfigRepository, parent: str = "") -> dict[str, list[str]]:
    """Group -> its options, those of groups below it as ``folder/option``.

    Args:
        repository: the loader's own; the loader would copy all of it for each question.
        parent: the group to look below.
    """
    found: dict[str, list[str]] = {}
    for name in repository.get_group_options(parent, ObjectType.GROUP):
        group = f"{parent}/{name}" if parent else name
        below = _groups(repository, group)
        own = [name for name in repository.get_group_options(group, ObjectType.CONFIG) if not name.startswith("_")]
        deeper = [f"{sub.removeprefix(group + '/')}/{option}" for sub, opts in below.items() for option in opts]
        found |= {group: [*own, *dict.fromkeys(deeper)]} | below
    return found


def _defaults(config_name: str) -> set[str] | None:
    """The groups with a default, or None where one must be given before anything can be composed."""
    try:
        return {str(group) for group in _composed(config_name).hydra.runtime.choices} | _lists(config_name)
    except HydraException:
        return None


def _lists(config_name: str) -> set[str]:
    """The groups from which a config takes several options; Hydra's choices leave them out."""
    return {str(entry.group) for entry in _entries(config_name) if isinstance(entry.value, list)}


def _entries(config_name: str) -> list[GroupDefault]:
    """The groups in the defaults of a config."""
    config = _loader().repository.load_config(config_name)
    return [entry for entry in (config.defaults_list or [] if config else []) if isinstance(entry, GroupDefault)]


def _check_needed(config_name: str, override: Override) -> None:
    """Refuse ``null`` for a setting of the primary config that has no default."""
    if override.is_delete() or override.value() is not None:
        return
    config, key = _loader().repository.load_config(config_name), override.key_or_group
    if config and OmegaConf.is_missing(config.config, key):
        raise UserError(f"{key} has no default; give it a value in place of null.")


def _check_sweep_values(override: Override, groups: Iterable[str]) -> None:
    """Refuse a value of a later job, so that it is not found after hours."""
    if override.is_discrete_sweep() and override.key_or_group not in groups:
        for value in override.sweep_iterator():
            check_value(override.key_or_group, value.text if isinstance(value, QuotedString) else value)


def _refuse_sweep(override: Override, is_group: bool, lists: set[str]) -> None:
    key, _, value = str(override.input_line).partition("=")
    rule, items = rule_of(key), list(override.sweep_iterator()) if override.is_discrete_sweep() else []
    takes_list = override.key_or_group in lists if is_group else items and (rule is None or rule.accepts(items))
    listed = f", or write '{key}=[{value}]' for a list" if takes_list else ""
    raise UserError(f"{key}={value} is several values; add -m to run each{listed}.")


def _check_option(config_name: str, override: Override, groups: dict[str, list[str]]) -> None:
    """Refuse an option that its group lacks."""
    group = override.key_or_group
    if group not in groups:
        return _check_new_name(override, groups)
    values = _values(override)
    if "None" in values:
        raise UserError(f"{group}=null is no option; {_in_place_of_null(config_name, group, groups[group])}.")
    if wrong := [value for value in values if value not in groups[group]]:
        raise UserError(_no_option(group, wrong[0], groups[group], override))
    return None


def _in_place_of_null(config_name: str, group: str, options: Sequence[str]) -> str:
    """What to give instead of ``group=null``: most groups are needed, so that the command fails without them."""
    entries = [entry for entry in _entries(config_name) if entry.group == group]
    if any(entry.value == [] for entry in entries):
        return f"for none write '{group}=[]'"
    if any(entry.value is None for entry in entries):
        return "leave it out, and none is chosen"
    return f"choose one of: {', '.join(options)}"


def _check_plus(override: Override, groups: Iterable[str], defaults: set[str] | None) -> None:
    """Refuse a plus too many or too few before a group."""
    group, values = override.key_or_group, _values(override)
    if group not in groups or defaults is None or override.package is not None or override.is_force_add() or not values:
        return
    if override.is_add() and group in defaults:
        raise UserError(f"{group} has a default already, so leave out the plus: {group}={values[0]}.")
    if not override.is_add() and group not in defaults:
        raise UserError(f"{group} has no default to replace, so it needs a plus: +{group}={values[0]}.")


def _check_new_name(override: Override, groups: Iterable[str]) -> None:
    """A plus before what is nearly a group is a slip, which Hydra would silently take as a new setting."""
    name = override.key_or_group
    if not override.is_add() or override.is_force_add() or "." in name:
        return
    if close := _nearest(name, groups, cutoff=0.8):
        written = str(override.input_line).partition("=")[2]
        raise UserError(f"There is no group '{name}'; did you mean +{close}={written}?")


def _no_option(group: str, value: str, options: Sequence[str], override: Override) -> str:
    listed = ", ".join(options)
    close = _nearest(value, options)
    plus = "+" if override.is_add() else ""
    guess = f"did you mean {plus}{group}={close}? There are: {listed}." if close else f"choose one of: {listed}."
    return f"There is no {group}={value}; {guess}"


def _values(override: Override) -> list[str]:
    """The options that a group override names: one, those of a list, or those of a sweep."""
    if override.is_sweep_override():
        return [str(value) for value in override.sweep_string_iterator()]
    value = [] if override.is_delete() else override.value()
    return [str(item) for item in (value if isinstance(value, list) else [value])]


def _first_line(override: Override) -> str:
    """The override with the first value of its sweep, as the first job will get it."""
    if not override.is_sweep_override():
        return str(override.input_line)
    first = next(iter(override.sweep_string_iterator()), "")
    return f"{str(override.input_line).partition('=')[0]}={first}"


def _check_key(
    override: Override, known: Iterable[str], groups: dict[str, list[str]], defaults: set[str] | None
) -> None:
    key = override.key_or_group
    if override.is_add() or override.is_force_add() or key in known:
        return
    if isinstance(rule_of(key), Refused):
        check_value(key, None if override.is_delete() else override.value())
    group = key.partition(".")[0]
    if group in groups and group not in known:
        options, plus = ", ".join(groups[group]), "" if group in (defaults or ()) else "+"
        raise UserError(
            f"{key} is a setting of {group}, which is not chosen; add {plus}{group}=..., one of: {options}."
        )
    near = [name for name in known if name.startswith("hydra.") == key.startswith("hydra.")]
    close = _nearest(key, [*groups, *near])
    guess = f"did you mean {close}?" if close else "--help lists the groups and --cfg job every setting."
    raise UserError(f"There is no setting '{key}'; {guess}")


def _nearest(name: str, candidates: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The candidate most like ``name``, as a whole or in its last part (max_steps, trainer.max_steps)."""
    last = name.rpartition(".")[2]

    def likeness(candidate: str) -> tuple[float, int]:
        whole = SequenceMatcher(None, name, candidate).ratio()
        part = SequenceMatcher(None, last, candidate.rpartition(".")[2]).ratio()
        return max(whole, 0.95 * part), -len(candidate)

    best = max(candidates, key=likeness, default=None)
    return best if best is not None and likeness(best)[0] >= cutoff else None

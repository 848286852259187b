"""Single overrides that cannot be: each is refused in a sentence, with the nearest valid word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString

from guided_seg.errors import UserError
from guided_seg.settings.preflight import check_value, rule_of
from guided_seg.settings.ranges import Refused


class Known(NamedTuple):
    """The content of the config files.

    Attributes:
        groups: each group and its options.
        defaults: the choice of the primary config in each group; a list if it allows several options.
        content: the primary config itself.
    """

    groups: dict[str, list[str]]
    defaults: dict[str, Any]
    content: Mapping[str, Any]


def check_names(override: Override, known: Known) -> None:
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
    if wrong and not override.is_delete() and key not in known.groups:  # see check_option for the others
        raise UserError(f"{line}: {key} takes the name of an option; found {wrong[0]}.")


def check_null(override: Override, known: Known) -> None:
    """Refuse ``null`` for a setting of the primary config that has no default."""
    key = override.key_or_group
    if not override.is_delete() and override.value() is None and known.content.get(key) == "???":
        raise UserError(f"{key} has no default; give it a value in place of null.")


def check_sweep_values(override: Override, groups: Iterable[str]) -> None:
    """Refuse an invalid value of a later job, which would otherwise be found after hours."""
    values: list[Any] = []
    if override.is_discrete_sweep() and override.key_or_group not in groups:
        values = list(override.sweep_iterator())
    elif isinstance(interval := override.value(), IntervalSweep):  # of a sampling sweeper
        values = [interval.start, interval.end]
    for value in values:
        check_value(override.key_or_group, value.text if isinstance(value, QuotedString) else value)


def refuse_sweep(override: Override, known: Known) -> None:
    """Refuse several values without -m."""
    group, (key, _, value) = override.key_or_group, str(override.input_line).partition("=")
    rule, items = rule_of(key), list(override.sweep_iterator()) if override.is_discrete_sweep() else []
    takes_list = isinstance(known.defaults.get(group), list)
    if group not in known.groups:
        takes_list = bool(items) and (rule is None or rule.accepts(items))
    listed = f", or write '{key}=[{value}]' for a list" if takes_list else ""
    raise UserError(f"{key}={value} has several values; add -m to run each{listed}.")


def check_option(override: Override, known: Known) -> None:
    """Refuse an unknown option of a group."""
    group = override.key_or_group
    if group not in known.groups:
        return _check_new_name(override, known.groups)
    options, values = known.groups[group], values_of(override)
    if "None" in values:
        raise UserError(f"{group}=null is not an option; {_in_place_of_null(group, known)}.")
    if wrong := [value for value in values if value not in options]:
        close, plus, listed = nearest(wrong[0], options), "+" if override.is_add() else "", ", ".join(options)
        guess = f"did you mean {plus}{group}={close}? There are: {listed}." if close else f"choose one of: {listed}."
        raise UserError(f"There is no {group}={wrong[0]}; {guess}")
    return None


def _in_place_of_null(group: str, known: Known) -> str:
    """Advice for ``group=null``, which makes the command fail, as most groups are required."""
    default = known.defaults.get(group, "???")
    if default == []:
        return f"for none write '{group}=[]'"
    if default is None:
        return "leave it out to choose none"
    return f"choose one of: {', '.join(known.groups[group])}"


def check_plus(override: Override, known: Known) -> None:
    """Refuse an extra or missing plus before a group."""
    group, values = override.key_or_group, values_of(override)
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


def values_of(override: Override) -> list[str]:
    """The options in a group override: one, those of a list, or those of a sweep."""
    if override.is_sweep_override():
        return [str(value) for value in override.sweep_string_iterator()]
    value = [] if override.is_delete() else override.value()
    return [str(item) for item in (value if isinstance(value, list) else [value])]


def check_key(override: Override, keys: Iterable[str], known: Known) -> None:
    """Refuse a setting that the composed config does not have."""
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

"""Settings that are paths: used as the shell passes them, with ``~`` expanded.

Hydra parses every value with its grammar, in which spaces, parentheses, commas, quotes, ``=``, ``#``, ``~`` and all
non-ASCII letters are special or refused. A path is free text, so it is quoted before Hydra, or one of our checks, reads
it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from fnmatch import fnmatchcase
from os.path import exists, expanduser

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException
from omegaconf.grammar_parser import parse as parse_interpolation

from guided_seg.errors import UserError
from guided_seg.files.text import shown

PATHS = (
    *("data.root", "data.*_root", "data.sources.*.root", "data.sources.*_root"),
    *("checkpoint", "compare", "ckpt_path", "start_from", "backbone.weights", "episodes", "card"),
    *("output_dir", "feature_cache", "folder", "archives", "state", "support", "logger.*.save_dir"),
    *("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir"),
)
"""Globs of the settings that are paths; all other overrides use Hydra's grammar."""

_OVERRIDE = re.compile(r"(?P<head>\+{0,2}(?P<key>[\w.$-]+)=)(?P<value>.*)", re.DOTALL)
_QUOTED_OR_COMMA = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|(,)", re.DOTALL)
_SIGNS = set("[](){},:='\"$\\")
_SWEEP = re.compile(r"(?:choice|glob|range|shuffle|sort)\(.*\)", re.DOTALL)


def is_path(key: str) -> bool:
    """Whether the setting of this key is a path."""
    return any(fnmatchcase(key, pattern) for pattern in PATHS)


def take_paths_as_written(argv: Sequence[str]) -> list[str]:
    """Quote every path in the command line for Hydra if necessary, and expand ``~``.

    A path that exists as written is used unchanged. Otherwise ``null``, an interpolation such as ``${oc.env:DATA}`` and
    quoted values keep their meaning, and in a sweep (``-m``) commas separate the paths of several runs.

    Raises:
        UserError: a path is empty, or an argument is not text.
    """
    several = is_sweep(argv)
    return [_as_written(word, several) for word in argv]


def is_sweep(argv: Sequence[str]) -> bool:
    """Whether the command line requests several runs."""
    return any(word in ("-m", "--multirun", "hydra.mode=MULTIRUN") for word in argv)


def suggestion(line: str) -> str | None:
    r"""The shell word for an override that Hydra's grammar refuses, or None if quotes do not help.

    Example:
        >>> suggestion('data.held_out=[red (dark),"blue"]')
        '\'data.held_out=["red (dark)","blue"]\''
    """
    word = _with_quotes(line)
    return None if word is None else shlex.quote(word)


def parse(line: str) -> Override:
    """Parse an override with Hydra's grammar. Raises `UserError` if it refuses the text."""
    try:
        return OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides([line])[0]
    except OverrideParseException as error:
        if not line.isprintable():
            raise UserError(f"{shown(line)} contains an invisible character; remove it.") from error
        if found := [mark for mark in _TYPOGRAPHIC if mark in line]:
            mark, typed = found[0], _TYPOGRAPHIC[found[0]]
            raise UserError(f"'{line}' has the typographic sign {mark}; type {typed} instead.") from error
        if "=" not in line:
            raise UserError(f"'{line}' has no value; an override is key=value, as in seed=1.") from error
        reason, word = str(error).strip().splitlines()[0], suggestion(line)
        cure = f"for that text type {word}" if word else "write key=value, as in seed=1"
        if not word and set(line.partition("=")[2]) & set("[({'\""):
            cure = "close the bracket or quote: a list is [a,b], and text is in quotes"
        raise UserError(f"'{line}' cannot be read ({reason}); {cure}.") from error


_TYPOGRAPHIC = {"‘": "'", "’": "'", "“": '"', "”": '"', "–": "- (or --)", "—": "--"}
"""Quotation marks and dashes of word processors, and their replacements."""


def _as_written(word: str, several: bool) -> str:
    match = _OVERRIDE.fullmatch(word)
    if match is None:
        return word
    if is_path(match["key"]):
        if not match["value"].strip():
            raise UserError(f"{word} is not a path; is there a space after the =, or is a shell variable empty?")
        return match["head"] + _value(match["value"], several)
    # refused values without special characters are text, such as a name with an accent
    plain = not _SIGNS & set(match["value"].removeprefix("[").removesuffix("]").replace(",", ""))
    return (_with_quotes(word) or word) if plain and _parsed(word) is None else word


def _with_quotes(word: str) -> str | None:
    """Quote the value of an override for Hydra if necessary; in a list, each item that needs it."""
    key, _, value = word.partition("=")
    if value[:1] == "[" and value[-1:] == "]":
        value = f"[{','.join(map(_item, _parts(value[1:-1])))}]"
    elif value[:1] not in ("[", "{"):
        value = _quote(value)
    return f"{key}={value}" if _parsed(f"{key}={value}") else None


def _value(text: str, several: bool) -> str:
    if text.lower() == "null":
        return text
    if exists(text):  # noqa: PTH110
        return _plain_or_quoted(_escaped(f"./{text}" if text.startswith("~") else text))
    path = _at_home(text)
    inner = _unquoted(text)
    if inner is not None:
        return _plain_or_quoted(_at_home(inner))
    if several and _SWEEP.fullmatch(text):
        return text
    if several and len(parts := _parts(text)) > 1:
        return ",".join(_value(part, several=False) for part in parts)
    return _plain_or_quoted(path if _interpolates(path) and not exists(path) else _escaped(path))  # noqa: PTH110


def _at_home(text: str) -> str:
    path = expanduser(text)  # noqa: PTH111  # pathlib would normalise the rest of it
    if path.startswith("~"):
        user = text.partition("/")[0]
        raise UserError(f"{text}: there is no user {user}; for a folder of that name write ./{user}.")
    return path


def _plain_or_quoted(text: str) -> str:
    """Quote a value only if necessary, because names of run folders contain the overrides."""
    found = _parsed(f"key={text}")
    return text if found is not None and found.value() == text else _quote(text)


def _quote(text: str) -> str:
    return QuotedString(text, Quote.single if '"' in text else Quote.double).with_quotes()


def _unquoted(text: str) -> str | None:
    """The text inside the quotes of a quoted value, or None."""
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "'\"":
        return None
    found = _parsed(f"key={text}")
    value = found.value() if found is not None and not found.is_sweep_override() else text[1:-1]
    return value if isinstance(value, str) else None


def _parsed(word: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException:
        return None


def _interpolates(text: str) -> bool:
    """Whether OmegaConf can parse the text as an interpolation, with ``${...}`` in it."""
    if "${" not in text:
        return False
    try:
        parse_interpolation(text)
    except OmegaConfBaseException:
        return False
    return True


def _escaped(text: str) -> str:
    """Escape ``${`` with a backslash, so that OmegaConf does not interpolate it."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def _parts(text: str) -> list[str]:
    """Split text at commas outside quotes."""
    parts, start = [], 0
    for match in _QUOTED_OR_COMMA.finditer(text):
        if match[1]:
            parts.append(text[start : match.start()].strip())
            start = match.end()
    return [*parts, text[start:].strip()]


def _item(text: str) -> str:
    """Quote an item of a list for Hydra if necessary."""
    return text if _parsed(f"key={text}") else _quote(text)

"""Settings that are paths: taken from the command line as the shell hands them over, with ``~`` expanded.

Hydra reads every value with its grammar, in which spaces, parentheses, commas, quotes, ``=``, ``#``, ``~`` and all
letters beyond ASCII mean something or are refused. A path is free text, so its value is put in Hydra's quotes before
Hydra, or a check of ours, sees it.
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
    *("checkpoint", "ckpt_path", "start_from", "backbone.weights", "episodes", "card"),
    *("output_dir", "feature_cache", "folder", "archives", "logger.*.save_dir"),
    *("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir"),
)
"""The settings that are paths, as globs; an override of any other key is read with Hydra's grammar."""

_OVERRIDE = re.compile(r"(?P<head>\+{0,2}(?P<key>[\w.$-]+)=)(?P<value>.*)", re.DOTALL)
_QUOTED_OR_COMMA = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|(,)", re.DOTALL)
_SIGNS = set("[](){},:='\"$\\")
_SWEEP = re.compile(r"(?:choice|glob|range|shuffle|sort)\(.*\)", re.DOTALL)


def is_path(key: str) -> bool:
    """Whether the setting of this key is a path."""
    return any(fnmatchcase(key, pattern) for pattern in PATHS)


def take_paths_as_written(argv: Sequence[str]) -> list[str]:
    """The command line with every path in Hydra's quotes where it needs them, and ``~`` expanded.

    What exists under the name as written is meant, whatever the name looks like. Otherwise ``null``, an interpolation
    such as ``${oc.env:DATA}`` and what is in Hydra's quotes already keep their meaning, and in a sweep (``-m``) commas
    separate the paths of several runs.

    Raises:
        UserError: a path is empty, or an argument is not text.
    """
    several = is_sweep(argv)
    return [_as_written(word, several) for word in argv]


def is_sweep(argv: Sequence[str]) -> bool:
    """Whether the command line asks for several runs."""
    return any(word in ("-m", "--multirun", "hydra.mode=MULTIRUN") for word in argv)


def suggestion(line: str) -> str | None:
    r"""The word to type in a shell for an override that Hydra's grammar refuses, or None where quotes do not help.

    Example:
        >>> suggestion('data.held_out=[red (dark),"blue"]')
        '\'data.held_out=["red (dark)","blue"]\''
    """
    word = _with_quotes(line)
    return None if word is None else shlex.quote(word)


def parse(line: str) -> Override:
    """An override as Hydra reads it. Raises `UserError` if its grammar refuses the text."""
    try:
        return OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides([line])[0]
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
"""What word processors make of quotation marks and dashes, and what to type."""


def _as_written(word: str, several: bool) -> str:
    match = _OVERRIDE.fullmatch(word)
    if match is None:
        return word
    if is_path(match["key"]):
        if not match["value"].strip():
            raise UserError(
                f"{word} names no path; is there a blank after the =, or was a variable of the shell empty?"
            )
        return match["head"] + _value(match["value"], several)
    # what is refused though it has none of the grammar's own signs is text, such as a name with an accent
    plain = not _SIGNS & set(match["value"].removeprefix("[").removesuffix("]").replace(",", ""))
    return (_with_quotes(word) or word) if plain and _parsed(word) is None else word


def _with_quotes(word: str) -> str | None:
    """An override with its value in quotes where Hydra needs them; in a list, each item that needs them."""
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
    path = expanduser(text)  # noqa: PTH111  # pathlib would write the rest of it in another way
    if path.startswith("~"):
        user = text.partition("/")[0]
        raise UserError(f"{text}: there is no user {user} whose home that could be; a folder of that name is ./{user}.")
    return path


def _plain_or_quoted(text: str) -> str:
    """Names of run folders hold the overrides, so a value that means the same without quotes stays without."""
    found = _parsed(f"key={text}")
    return text if found is not None and found.value() == text else _quote(text)


def _quote(text: str) -> str:
    return QuotedString(text, Quote.single if '"' in text else Quote.double).with_quotes()


def _unquoted(text: str) -> str | None:
    """What is between the quotes of a value that is in quotes, or None."""
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
    """Whether OmegaConf can read the text as one with ``${...}`` in it."""
    if "${" not in text:
        return False
    try:
        parse_interpolation(text)
    except OmegaConfBaseException:
        return False
    return True


def _escaped(text: str) -> str:
    """The text for OmegaConf, for which ``${`` begins an interpolation unless a backslash stands before it."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def _parts(text: str) -> list[str]:
    """The text between commas that are outside quotes."""
    parts, start = [], 0
    for match in _QUOTED_OR_COMMA.finditer(text):
        if match[1]:
            parts.append(text[start : match.start()].strip())
            start = match.end()
    return [*parts, text[start:].strip()]


def _item(text: str) -> str:
    """An item of a list, in quotes where Hydra needs them."""
    return text if _parsed(f"key={text}") else _quote(text)

"""Rules for valid values of a setting. `guided_seg.settings.limits` has the table of all settings."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

LARGEST = 2**31 - 1
"""The largest whole number of a setting without another limit."""


class Rule(ABC):
    """Base class of rules for valid values."""

    @abstractmethod
    def accepts(self, value: Any) -> bool:
        """Whether ``value``, in plain Python, is valid."""

    @abstractmethod
    def wanted(self, value: Any) -> str:
        """The valid values, for a message about an invalid ``value``."""


@dataclass(frozen=True)
class Whole(Rule):
    """Whole numbers from ``least`` to ``most``, or certain words; None is ``null``."""

    least: int
    most: int = LARGEST
    words: tuple[Any, ...] = ()

    def accepts(self, value: Any) -> bool:
        """See `Rule`."""
        return self.least <= value <= self.most if type(value) is int else _among(value, self.words)

    def wanted(self, value: Any) -> str:
        """See `Rule`."""
        end = f" to {self.most}" if type(value) is int and value > self.most else ""
        return f"expected a whole number from {self.least}{end}{_or(self.words)}"


@dataclass(frozen=True)
class Number(Rule):
    """Finite numbers from ``least`` to ``most``, or certain words; ``above`` and ``below`` exclude the ends."""

    least: float
    most: float = math.inf
    words: tuple[Any, ...] = ()
    above: bool = False
    below: bool = False

    def accepts(self, value: Any) -> bool:
        """See `Rule`."""
        if type(value) not in (int, float):
            return _among(value, self.words)
        enough = value > self.least if self.above else value >= self.least
        return math.isfinite(value) and enough and (value < self.most if self.below else value <= self.most)

    def wanted(self, _: Any) -> str:
        """See `Rule`."""
        start = "" if self.least == -math.inf else f" {'above' if self.above else 'from'} {self.least:g}"
        end = "" if self.most == math.inf else f" {'and below' if self.below else 'to'} {self.most:g}"
        return f"expected a number{start}{end}{_or(self.words)}"


@dataclass(frozen=True)
class Choice(Rule):
    """Certain values, or their alternative ``names``, which are not in messages."""

    options: tuple[Any, ...]
    names: tuple[Any, ...] = ()

    def accepts(self, value: Any) -> bool:
        """See `Rule`."""
        return _among(value, (*self.options, *self.names))

    def wanted(self, _: Any) -> str:
        """See `Rule`."""
        *words, last = map(as_word, self.options)
        return f"expected {', '.join(words)} or {last}" if words else f"expected {last}"


@dataclass(frozen=True)
class Text(Rule):
    """Non-empty text, described by ``words``."""

    words: str = "a path or a name"

    def accepts(self, value: Any) -> bool:
        """See `Rule`."""
        return isinstance(value, str | PurePath) and bool(str(value))

    def wanted(self, value: Any) -> str:
        """See `Rule`."""
        if not isinstance(value, int | float):  # null, an empty text or a list
            return f"expected {self.words}"
        return f"""expected {self.words}; to pass it as text, use two pairs of quotes: "'{as_word(value)}'\""""


@dataclass(frozen=True)
class Every(Rule):
    """A list with a rule for its items.

    Attributes:
        rule: rule for each item.
        words: description of the list, for messages.
        length: required length; None for any.
        empty: whether it may be empty.
        rising: whether items must not decrease.
        different: whether items must be distinct.
    """

    rule: Rule
    words: str
    length: int | None = None
    empty: bool = False
    rising: bool = False
    different: bool = False

    def accepts(self, value: Any) -> bool:
        """See `Rule`."""
        if not isinstance(value, list) or len(value) != (self.length or len(value)) or not (value or self.empty):
            return False
        if not all(map(self.rule.accepts, value)) or (self.different and len({*value}) < len(value)):
            return False
        return not (self.rising and value != sorted(value))

    def wanted(self, _: Any) -> str:
        """See `Rule`."""
        return f"expected {self.words}"


@dataclass(frozen=True)
class Named(Rule):
    """A mapping from names to values with a rule; ``some`` of them must be above 0."""

    rule: Rule
    words: str
    some: bool = False

    def accepts(self, value: Any) -> bool:
        """See `Rule`."""
        values = list(value.values()) if isinstance(value, dict) else []
        return bool(values) and all(map(self.rule.accepts, values)) and (not self.some or any(values))

    def wanted(self, _: Any) -> str:
        """See `Rule`."""
        return f"expected {self.words}"


@dataclass(frozen=True)
class Either(Rule):
    """Values that one of several rules accepts."""

    rules: tuple[Rule, ...]

    def accepts(self, value: Any) -> bool:
        """See `Rule`."""
        return any(rule.accepts(value) for rule in self.rules)

    def wanted(self, value: Any) -> str:
        """See `Rule`."""
        return self.rules[0].wanted(value) + "".join(
            f" or {rule.wanted(value).removeprefix('expected ')}" for rule in self.rules[1:]
        )


@dataclass(frozen=True)
class Refused(Rule):
    """No valid value: the setting would break a run, or the run sets it itself."""

    reason: str

    def accepts(self, _: Any) -> bool:
        """See `Rule`."""
        return False

    def wanted(self, _: Any) -> str:
        """See `Rule`."""
        return self.reason


def _among(value: Any, words: Iterable[Any]) -> bool:
    return any(type(value) is type(word) and value == word for word in words)


def _or(words: Iterable[Any]) -> str:
    return "".join(f"{', or ' if word is None else ' or '}{as_word(word)}" for word in words)


def as_word(value: Any) -> str:
    """Format a value as in a config."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_word, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{as_word(each)}' for key, each in value.items())}}}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

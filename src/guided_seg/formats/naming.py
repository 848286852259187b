"""File names and class names from ids and labels, which may hold any characters."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import PurePosixPath

from guided_seg.data.files.pairs import IMAGE_SUFFIXES
from guided_seg.files.text import same_form

_BYTES = 100
"""Most bytes of a name. File systems allow 255; suffixes and temporary names need the rest."""
_TAKEN = frozenset(
    ("con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10)), "classes")
)
"""Names that Windows does not allow, and that of the list of classes."""
_DIGITS = 8


def safe_names(ids: Iterable[str]) -> dict[str, str]:
    """A file name without a suffix for each id: letters of any script, digits, ``_`` and ``-``.

    Names are unique, also where case does not count, and the same for the same ids in any order. Ids that would share
    a name have a part of their checksum at its end. The suffix of an image file is dropped.

    Example:
        >>> safe_names(["my cat.jpg", "a/b", "a:b", "clip#12"])
        {'my cat.jpg': 'my_cat', 'a/b': 'a_b-c14cddc0', 'a:b': 'a_b-...', 'clip#12': 'clip_12'}
    """
    plain = {each: _plain(each) for each in ids}
    shared = Counter(name.casefold() for name in plain.values())
    digits = _DIGITS
    while True:
        names = {
            each: f"{name}-{_checksum(each)[:digits]}"
            if shared[name.casefold()] > 1 or name.casefold() in _TAKEN
            else name
            for each, name in plain.items()
        }
        if len({name.casefold() for name in names.values()}) == len(names):
            return names
        digits += _DIGITS  # the name of another id looks like this checksum


def class_names(labels: Sequence[str]) -> list[str]:
    r"""The labels as lists of classes can hold them: one line each, not blank, all different.

    Example:
        >>> class_names(["negative", "cat\n1", " ", "cat 1"])
        ['negative', 'cat 1', 'label 2', 'cat 1 (3)']
    """
    names: list[str] = []
    for number, label in enumerate(labels):
        printed = "".join(sign if sign.isprintable() else " " for sign in label)
        name = " ".join(printed.split()) or f"label {number}"
        while name in names:
            name = f"{name} ({number})"
        names.append(name)
    return names


def _plain(each: str) -> str:
    text = same_form(each)
    suffix = PurePosixPath(text).suffix
    stem = text.removesuffix(suffix) if suffix.lower() in IMAGE_SUFFIXES else text
    safe = re.sub("_+", "_", "".join(sign if _is_safe(sign) else "_" for sign in stem))
    short = safe.encode()[:_BYTES].decode(errors="ignore")
    return short.strip("_-") or "image"


def _is_safe(sign: str) -> bool:
    """Whether a character is a letter, a digit, an accent, ``_`` or ``-``."""
    return sign.isalnum() or sign in "_-" or unicodedata.category(sign).startswith("M")


def _checksum(each: str) -> str:
    return sha256(each.encode("utf-8", "surrogatepass")).hexdigest()

"""File names and class names from ids and labels, which may hold any characters."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import PurePosixPath

from guided_seg.data.files.pairs import IMAGE_SUFFIXES
from guided_seg.files.text import RESERVED, file_name, may_be_in_name, same_form

_BYTES = 100
"""Most bytes of a name that is made; it may be one of many in a path."""
_TAKEN = RESERVED | {"classes"}
"""Names that Windows does not allow, and that of the list of classes."""
_DIGITS = 8
_IGNORED = ("-", "@", "$", "__")
"""How names begin that programs take for options, or for files of the system."""


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


def kept_names(files: Mapping[str, str]) -> dict[str, str]:
    """A file name without a suffix for each id: that of its own file where it can be kept, else as `safe_names`.

    It is kept if the id is this name, with or without the suffix, if it is a `file_name`, and no other image has it.

    Args:
        files: id -> the name of its image file; empty if it has none.

    Example:
        >>> kept_names({"my cat": "my cat.jpg", "a b": "", "dog": "IMG_1.jpg"})
        {'my cat': 'my cat', 'a b': 'a_b', 'dog': 'dog'}
    """
    names = safe_names(files)
    found = {each: _own(each, file) or names[each] for each, file in files.items()}
    often = Counter(name.casefold() for name in found.values())
    kept = {each: name if often[name.casefold()] == 1 else names[each] for each, name in found.items()}
    return kept if len({name.casefold() for name in kept.values()}) == len(kept) else names


def _own(each: str, file: str) -> str:
    """The name of the file of an image without its suffix; empty if it cannot be kept."""
    path = PurePosixPath(file)
    stem = same_form(path.stem)
    odd = path.suffix.lower() not in IMAGE_SUFFIXES or stem.casefold() in _TAKEN or stem.startswith(_IGNORED)
    return "" if odd or each not in (file, path.stem) or file_name(file) != file else stem


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
    return may_be_in_name(sign) and (sign.isalnum() or sign in "_-" or unicodedata.category(sign).startswith("M"))


def _checksum(each: str) -> str:
    return sha256(each.encode("utf-8", "surrogatepass")).hexdigest()

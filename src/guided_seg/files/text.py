"""Read text files that people write or edit, and report every fault as a sentence."""

from __future__ import annotations

import codecs
import csv
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from guided_seg.errors import UserError, why_unreadable

Row = dict[str, str]

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_AS_UTF8 = "save it again as UTF-8 (in an editor or in Excel: Save as, encoding UTF-8)"
RESERVED = frozenset(("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))))
"""Names without suffix that Windows does not allow, in lower case."""
_NAME_BYTES = 200
"""Most bytes of the name of a file. File systems allow 255; temporary names need the rest."""
MOST_VALUES = 1_000_000
"""Most values of a tree that is read, see `is_endless`."""
_MANY = 2000
"""With more names than this, edit distances take seconds."""


def read_bytes(path: Path, what: str, error: type[UserError] = UserError) -> bytes:
    """Read a file.

    Args:
        path: the file.
        what: what it should be, for messages: ``list``, ``label file``.
        error: the class of the error to raise.

    Raises:
        error: the file is missing, is a folder or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise error(f"The {what} {path} does not exist; put it there, or correct the path.") from None
    except OSError as reason:
        raise error(why_unreadable(path, reason)) from reason


def read_text(path: Path, what: str, error: type[UserError] = UserError) -> str:
    """Read text in UTF-8, with or without a byte order mark, or in UTF-16 or UTF-32 with one.

    Args:
        path: the file.
        what: what it should be, for messages.
        error: the class of the error to raise.

    Raises:
        error: the file cannot be read, or is in another encoding; the message has the line and the byte.
    """
    return _decode(read_bytes(path, what, error), f"The {what} {path}", error)


def read_json(path: Path, what: str, error: type[UserError] = UserError) -> Any:
    """Read a JSON file. ``NaN`` and ``Infinity`` are accepted, so check numbers before you use them.

    Args:
        path: the file.
        what: what it should be, for messages.
        error: the class of the error to raise.

    Raises:
        error: the file cannot be read or is not JSON; the message has the line and the column.
    """
    return parse_json(read_bytes(path, what, error), f"The file {path}", what, error)


def parse_json(data: bytes, name: str, what: str, error: type[UserError] = UserError) -> Any:
    """Parse JSON in bytes; see `read_json`. ``name`` begins the message."""
    text = _decode(data, name, error)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as reason:
        # other ValueErrors are whole numbers with thousands of digits
        cut = " It ends too early: it is cut off." if _ends_early(reason, text) else ""
        raise error(
            f"{name} is not {what} ({type(reason).__name__}: {reason}).{cut} Get or export it again, or correct it "
            "there."
        ) from reason


def read_yaml(path: Path, what: str, error: type[UserError] = UserError) -> Any:
    """Read a YAML file as plain values. Raises ``error`` if it cannot be read, is not YAML, or is a bomb of aliases."""
    text = read_text(path, what, error)
    try:
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as reason:
        where = " ".join(str(reason).split())
        raise error(f"The {what} {path} is not YAML ({where}); correct it there.") from reason
    if is_endless(tree):
        raise error(
            f"The {what} {path} repeats itself by its aliases (*) to more than {MOST_VALUES:,} values; write them out."
        )
    return tree


def is_endless(tree: Any) -> bool:
    """Whether a tree of mappings and lists has more than `MOST_VALUES`, counted each time that it holds them.

    A few lines of YAML, or bytes of a checkpoint, may hold a list of ten lists of ten lists, and so on: it takes no
    memory until somebody copies it.
    """
    left, waiting = MOST_VALUES, [tree]
    while waiting:
        value = waiting.pop()
        inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
        left -= len(inside)
        if left < 0:
            return True
        waiting.extend(inside)
    return False


def read_table(path: Path, what: str, columns: Sequence[str] = (), error: type[UserError] = UserError) -> list[Row]:
    """Read a CSV file with a header; rows are mappings from column to text.

    Args:
        path: the file.
        what: what it should be, for messages.
        columns: required columns.
        error: the class of the error to raise.

    Raises:
        error: the file cannot be read, lacks a column, or has a row that is shorter than the header.
    """
    reader = csv.DictReader(read_text(path, what, error).splitlines(keepends=True))
    try:
        rows = list(reader)
    except csv.Error as reason:
        raise error(
            f"Line {reader.line_num} of {path} is no row of a table ({reason}); write the file again."
        ) from None
    lacking = [column for column in columns if column not in (reader.fieldnames or ())]
    if lacking:
        raise error(
            f"The {what} {path} has no column {', '.join(lacking)}; its first line is "
            f"{shown(','.join(reader.fieldnames or ()))}. Columns are separated by commas."
        )
    if short := next((i for i, row in enumerate(rows, 2) if any(row[column] is None for column in columns)), None):
        raise error(f"Row {short} of the {what} {path} is cut off; remove it, or write the file again.")
    return rows


def shown(text: str) -> str:
    r"""Quote text on one line, with every invisible character escaped.

    Example:
        >>> print(shown("a\u200bb\ufeff"))
        'a\u200bb\ufeff'
    """
    visible = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f"'{''.join(visible)}'"


def same_form(text: str) -> str:
    r"""Compose accents to one character each (NFC). macOS stores letters and accents in file names separately.

    Example:
        >>> same_form("e\u0301") == "\u00e9"
        True
    """
    return unicodedata.normalize("NFC", text)


def may_be_in_name(sign: str) -> bool:
    """Whether file systems and messages can hold a character in the name of a file."""
    return sign.isprintable() and sign not in '<>:"|?*#/\\'


def file_name(text: str) -> str:
    """The name of a file, as any file system can hold it, nearest to a text: what cannot be in it is left out.

    A name that is too long loses its beginning, as the suffix is at its end.

    Example:
        >>> file_name("größe 1?.jpg"), file_name(".."), file_name("con.png")
        ('größe 1.jpg', 'image', 'image con.png')
    """
    kept = "".join(filter(may_be_in_name, text)).strip(" .")
    if kept.partition(".")[0].rstrip().casefold() in RESERVED:
        kept = f"image {kept}"
    while len(kept.encode("utf-8", "replace")) > _NAME_BYTES:
        kept = kept[1:].lstrip(" .")
    return kept or "image"


def is_there(path: Path) -> bool:
    """Whether a file or folder exists; false for an invalid path."""
    try:
        return path.exists()
    except OSError:  # such as a name that is too long
        return False


def as_stored(path: Path) -> Path:
    """The path, or an existing one that differs only in the Unicode form of its name."""
    if path.name.isascii() or is_there(path):
        return path
    forms = (path.with_name(unicodedata.normalize(form, path.name)) for form in ("NFC", "NFD"))
    return next((other for other in forms if is_there(other)), path)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The did-you-mean candidate: without a suffix, a folder or more columns, in another case, or misspelt.

    Example:
        >>> nearest("images/0.jpg", ["0", "1"]), nearest("Cat;3", ["cat"]), nearest("x", ["dog"])
        ('0', 'cat', None)
    """
    known = {same_form(each).casefold(): each for each in names}
    name = same_form("".join(c for c in name if c.isprintable())).casefold().strip(" \"'")
    path = PurePosixPath(name.replace("\\", "/"))
    first = name.replace(";", ",").replace(",", " ").split(maxsplit=1)[:1]
    for guess in (name, path.name, path.stem, *first):
        if guess in known:
            return known[guess]
    near = get_close_matches(name, known, n=1, cutoff=0.5) if len(known) <= _MANY else []
    return known[near[0]] if near else None


def _decode(data: bytes, name: str, error: type[UserError]) -> str:
    mark, encoding = next(((mark, kind) for mark, kind in _BOMS if data.startswith(mark)), (b"", "utf-8"))
    if not mark and b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise error(
            f"{name} holds a zero byte in line {line}, so it is UTF-16 without a byte order mark, or no text; "
            f"{_AS_UTF8}, or run: iconv -f UTF-16LE -t UTF-8 OLD > NEW"
        )
    try:
        return data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as reason:
        at = len(mark) + reason.start
        line, byte = data.count(b"\n", 0, at) + 1, data[at]
        cure = f"If it comes from Windows, {_AS_UTF8}, or run: iconv -f CP1252 -t UTF-8 OLD > NEW"
        raise error(
            f"{name} is not text in {encoding.upper()}: byte 0x{byte:02x} in line {line} (byte {at + 1} of the file) "
            f"cannot be read. {'It is damaged or cut off; get it again.' if mark else cure}"
        ) from None


def _ends_early(reason: Exception, text: str) -> bool:
    return isinstance(reason, json.JSONDecodeError) and reason.pos >= len(text.rstrip())

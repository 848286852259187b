"""The one reader of text files: what people's editors write is read, and what cannot be read is a sentence."""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guided_seg.errors import DataError, UserError
from guided_seg.files.text import as_stored, nearest, read_json, read_table, read_text, read_yaml, shown


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "names.txt"


def refusal(read: Callable[[Path, str], Any], path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read(path, "list")
    sentence = str(caught.value)
    assert path.name in sentence
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_every_encoding_with_a_mark_is_read(path: Path, mark: bytes, encoding: str) -> None:
    path.write_bytes(mark + 'café\r\n{"ü": 1}'.encode(encoding))
    assert read_text(path, "list").splitlines() == ["café", '{"ü": 1}']
    path.write_bytes(mark + '{"ü": 1}'.encode(encoding))
    assert read_json(path, "a list") == {"ü": 1}
    assert read_yaml(path, "list") == {"ü": 1}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("b\ncafé".encode("cp1252"), r"is not text in UTF-8: byte 0xe9 in line 2 \(byte 6 of the file\).*CP1252"),
        ("b\ncafé".encode("utf-16-le"), "a zero byte in line 1, so it is UTF-16 without a byte order mark.*UTF-16LE"),
        (codecs.BOM_UTF16_LE + b"\x00", r"is not text in UTF-16-LE: byte 0x00 in line 1 .*damaged or cut off"),
        (codecs.BOM_UTF8 + b"a\xff", "is not text in UTF-8: byte 0xff in line 1"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "holds a zero byte in line 3, so it is UTF-16 .* or no text"),
    ],
)
@pytest.mark.parametrize("read", [read_text, read_json, read_yaml])
def test_another_encoding_is_named_with_its_place_and_its_cure(
    path: Path, content: bytes, expected: str, read: Callable[[Path, str], Any]
) -> None:
    path.write_bytes(content)
    with pytest.raises(UserError, match=expected):
        read(path, "list")
    assert str(path) in refusal(read, path)


@pytest.mark.parametrize("read", [read_text, read_json, read_yaml])
def test_a_file_that_cannot_be_opened(path: Path, read: Callable[[Path, str], Any]) -> None:
    assert "does not exist" in refusal(read, path)
    assert "is a folder, where a file is expected" in refusal(read, path.parent)
    path.touch()
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read everything")
    assert "Permission denied" in refusal(read, path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1,\n "b" 2}', "is not a list (JSONDecodeError: Expecting ':' delimiter: line 2 column 6"),
        ('{"a": [1, 2', "It ends too early: it is cut off"),
        ("", "It ends too early"),
        ("[" * 100_000, "is not a list (RecursionError"),
        (f"[{'9' * 5000}]", "is not a list (ValueError: Exceeds the limit"),
        ("{'a': 1}", "line 1 column 2"),
    ],
)
def test_what_is_not_json_is_named_with_its_place(path: Path, text: str, expected: str) -> None:
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_json(path, "a list", DataError)
    assert expected in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", ["names: [a, b", "a: 1\n b: 2", "a: \x07", "[" * 3000])
def test_what_is_not_yaml_is_named(path: Path, text: str) -> None:
    path.write_text(text)
    assert "is not YAML" in refusal(read_yaml, path)


def test_whole_json_is_read_as_it_stands(path: Path) -> None:
    content = {"a": [1, 2.5, None, True, "ü"], "b": {}}
    path.write_text(json.dumps(content))
    assert read_json(path, "a list") == content


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_a_table_is_read_as_excel_leaves_it(path: Path, mark: bytes) -> None:
    path.write_bytes(mark + b'group,iou\r\n"a, b",.5\r\n')
    assert read_table(path, "table", ("group", "iou")) == [{"group": "a, b", "iou": ".5"}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("group;iou\na;.5\n", "has no column iou; its first line is 'group;iou'. Columns are separated by commas"),
        ("", "has no column group, iou; its first line is ''"),
        ("group,iou\na,.5\nb\n", "Row 3 of the table"),
        (f"group,iou\n{'a' * 200_000},1\n", "is no row of a table (field larger than field limit"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(path: Path, text: str, expected: str) -> None:
    path.write_text(text)
    columns = ("group", "iou") if "group;" not in text else ("iou",)
    with pytest.raises(UserError) as caught:
        read_table(path, "table", columns)
    assert expected in str(caught.value)
    assert path.name in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("café", "'café'"), ("\ufeffp0", r"'\ufeffp0'"), ("a\u200bb", r"'a\u200bb'"), ("a\xa0b\t", r"'a\xa0b\t'")],
)
def test_invisible_characters_are_shown(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(("p0.jpg", "p0"), ("images/p0.png", "p0"), (r"images\p0.png", "p0"), ("P0", "p0"), ("\ufeffp0", "p0")),
        *(("p0;train", "p0"), ("p0,1", "p0"), ("p0  1", "p0"), ('"p0"', "p0"), ("cafe\u0301", "café"), ("zzz", None)),
    ],
)
def test_the_name_that_was_meant(name: str, expected: str | None) -> None:
    assert nearest(name, ["p0", "café", "other"]) == expected


def test_a_name_is_found_in_either_form_of_its_accents(tmp_path: Path) -> None:
    stored = tmp_path / "cafe\u0301.jpg"
    stored.touch()
    assert as_stored(tmp_path / "caf\u00e9.jpg").samefile(stored)
    assert as_stored(stored) == stored
    missing = tmp_path / "thé.jpg"
    assert as_stored(missing) == missing

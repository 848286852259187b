"""The table of faults in docs/faults.md: each names a test that there is, and a message that the sources have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "faults.md"
ROW = re.compile(r"\| (?P<fault>[^|]+) \| (?P<message>[^|]+) \| `(?P<test>[^|`]+)` \|")
GAP = "…"
"""Stands for what a message says of the case: a file, a number, a name."""


def rows() -> list[dict[str, str]]:
    """The fault, the message and the test of each row."""
    return [found.groupdict() for found in map(ROW.fullmatch, PAGE.read_text(encoding="utf-8").splitlines()) if found]


def messages(path: Path) -> Iterator[str]:
    """Each text in a source, with a gap for each value in it."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    parts = {id(each) for node in nodes if isinstance(node, ast.JoinedStr) for each in node.values}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(each.value) if isinstance(each, ast.Constant) else GAP for each in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


@cache
def defined(file: str) -> set[str]:
    """The names of the tests of a file, with those of their classes."""
    body = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8")).body
    inside = {
        f"{each.name}::{one.name}"
        for each in body
        if isinstance(each, ast.ClassDef)
        for one in each.body
        if isinstance(one, ast.FunctionDef)
    }
    return inside | {each.name for each in body if isinstance(each, ast.FunctionDef)}


def test_the_table_has_eighty_faults_of_every_kind() -> None:
    found = rows()
    assert len(found) == len({row["fault"] for row in found}) >= 80
    headings = re.findall(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {"Data", "Settings", "Checkpoints and released models", "Sessions", "The page"} <= set(headings)
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert len(lines) == len(found) + lines.count("| fault | message | test |"), "each row is read"


def test_each_fault_has_a_test_that_makes_it() -> None:
    lacking = []
    for row in rows():
        file, _, name = row["test"].partition("::")
        if not (ROOT / "tests" / file).is_file() or name not in defined(file):
            lacking.append(row["test"])
    assert lacking == []


def test_each_message_is_one_that_the_sources_have() -> None:
    known = "\n".join(text for path in sorted((ROOT / "src").rglob("*.py")) for text in messages(path))
    lacking = [row["message"] for row in rows() if row["message"].strip(f" {GAP}") not in known]
    assert lacking == []

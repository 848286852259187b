"""What docstrings, comments and pages cite is there."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
SOURCES = [path for folder in ("src", "tests", "conf") for path in sorted((REPOSITORY / folder).rglob("*.py"))]
SOURCES += sorted((REPOSITORY / "conf").rglob("*.yaml"))
RULES = re.findall(r"^(\d+)\. \*\*", (REPOSITORY / "docs" / "concepts.md").read_text(encoding="utf-8"), re.MULTILINE)
CITED = re.compile(r"concepts,\s+rules? (\d+)(?:-(\d+))?")
PAGE = re.compile(r"\b((?:docs|experiments)/[\w/]+\.md)\b")


def test_the_rules_are_numbered_and_cited() -> None:
    assert [str(number) for number in range(1, len(RULES) + 1)] == RULES
    cited = [
        number for path in SOURCES for match in CITED.findall(path.read_text(encoding="utf-8")) for number in match
    ]
    assert set(filter(None, cited)) <= set(RULES)
    assert len(cited) > 20


def test_a_page_that_is_cited_is_there() -> None:
    cited = {page for path in SOURCES for page in PAGE.findall(path.read_text(encoding="utf-8"))}
    assert cited
    assert [page for page in sorted(cited) if not (REPOSITORY / page).is_file()] == []

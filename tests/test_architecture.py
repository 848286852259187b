"""Rooms: arrows between folders point one way, and no two modules have one name."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "guided_seg"
MAP = Path(__file__).parents[1] / "docs" / "architecture.md"
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = sorted({path.parent for path in FILES} - {PACKAGE})


def imported(path: Path) -> Iterator[str]:
    """The dotted names below guided_seg that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.removeprefix("guided_seg.") for name in names if name.startswith("guided_seg."))


@cache
def arrows() -> dict[str, set[str]]:
    """The rooms and top-level modules that each of them imports."""
    found: dict[str, set[str]] = {}
    for path in FILES:
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        reached = {name.partition(".")[0] for name in imported(path)}
        found.setdefault(room, set()).update(each for each in reached - {room} if any(PACKAGE.glob(f"{each}*")))
    return found


def test_rooms_form_no_circle() -> None:
    TopologicalSorter(arrows()).prepare()  # raises CycleError
    for low, high in (("model", "data"), ("data", "model"), ("model", "training"), ("settings", "cli")):
        assert high not in arrows()[low], f"{low} imports {high}"


def test_arrows_point_down_the_map() -> None:
    """Each room is on the map of docs/architecture.md, and imports only from its row and those below."""
    rows = MAP.read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0].splitlines()
    tops = [row[:40].replace("/", "").split() for row in rows if not row.startswith(" ")]
    level = {name: number for number, names in enumerate(tops) for name in names}
    assert set(arrows()) - {"__init__"} == set(level)
    up = [(room, each) for room in level for each in arrows()[room] if level[each] < level[room]]
    assert up == []


def test_no_two_modules_have_one_name() -> None:
    names = Counter(path.name for path in FILES if not path.name.startswith("__"))
    assert [name for name, number in names.items() if number > 1] == []


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.relative_to(PACKAGE).as_posix())
def test_a_room_is_small_and_says_what_is_in_it(room: Path) -> None:
    assert len([path for path in room.glob("*.py") if not path.name.startswith("__")]) <= 13
    name = ".".join(("guided_seg", *room.relative_to(PACKAGE).parts))
    assert (import_module(name).__doc__ or "").strip()


def test_few_files_lie_at_the_top() -> None:
    assert len([path for path in PACKAGE.glob("*.py") if path.name != "__init__.py"]) <= 12

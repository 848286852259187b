"""Strategies for input that somebody's disk, tool or hand has spoiled: valid input with a few changes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

NUMBERS = (
    *(0, -1, 1, 2, 3, 254, 255, 256, 2**15, 2**31 - 1, 2**31, 2**32, 2**63, 2**64, -(2**31), -(2**63), 10**400),
    *(0.0, -0.0, 0.5, 1.5, 59.9, 1e8, 1e308, -1e308, 1e-308, float("nan"), float("inf"), float("-inf")),
)
WORDS = (
    *("", " ", "x", "0", "1", "-1", "nan", "null", "true", "größe 图", "a,b", "a=b", "[", "{}", "${x}", "???", "\0"),
    *("\ud800", "\ufeffx", "../..", "/", "~", "~/x", ".", "/dev/null", "/dev/full", "a" * 5000, "a\nb", "%s", "a'b\"c"),
)
NESTED: list[Any] = [0]
for _ in range(200):
    NESTED = [NESTED]
PLAIN = (None, True, False, *NUMBERS, *WORDS)
values = st.sampled_from((*PLAIN, [], {}, [[]], [{}], [None], [0], ["x"], {"x": 0}, NESTED)) | st.integers() | st.text()
"""What may stand where something else was expected."""

words_or_numbers = st.sampled_from(WORDS) | st.sampled_from(NUMBERS).map(str) | st.text()
share = st.floats(0, 1, exclude_max=True)
Path = tuple[Any, ...]


def nodes(tree: Any, above: Path = ()) -> Iterator[Path]:
    """The way to each value of a tree of lists and dictionaries, the whole of it excepted."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*above, key)
        yield from nodes(value, (*above, key))


def at(tree: Any, path: Path) -> Any:
    """The value at the end of a way."""
    for key in path:
        tree = tree[key]
    return tree


@st.composite
def trees(draw: st.DrawFn, base: Any) -> Any:
    """``base`` with one to three values replaced, removed, repeated, wrapped or exchanged for others of its own."""
    tree = {"": deepcopy(base)}
    for _ in range(draw(st.integers(1, 3))):
        ways = list(nodes(tree))
        *above, key = ways[int(draw(share) * len(ways))]
        parent = at(tree, tuple(above))
        change = draw(st.sampled_from(("replace", "replace", "replace", "remove", "repeat", "wrap", "exchange")))
        if change == "remove" and above:
            del parent[key]
        elif change == "repeat" and isinstance(parent, list):
            parent.insert(key, deepcopy(parent[key]))
        elif change == "wrap":
            parent[key] = [parent[key]]
        elif change == "exchange":
            parent[key] = deepcopy(at(tree, ways[int(draw(share) * len(ways))]))
        else:
            parent[key] = deepcopy(draw(values))
        if not tree:
            tree = {"": None}
    return tree[""]


CHANGES = ("flip", "flip", "cut off", "cut out", "insert", "repeat", "overwrite", "nothing")
bits = st.binary(min_size=1, max_size=8) | st.sampled_from((b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff"))
damage = st.lists(
    st.tuples(share, st.sampled_from((1, 1, 2, 4, 8, 64)), st.sampled_from(CHANGES), bits), min_size=1, max_size=4
)
"""What `damaged` does to bytes: where, to how many, what, and with which others."""


def damaged(data: bytes, changes: Sequence[tuple[float, int, str, bytes]]) -> bytes:
    """Bytes with pieces cut off, cut out, inserted, repeated or overwritten."""
    for where, length, change, new in changes:
        start = int(where * len(data))
        end = start + length
        data = {
            "flip": data[:start] + bytes(byte ^ new[0] for byte in data[start:end]) + data[end:],
            "cut off": data[:start],
            "cut out": data[:start] + data[end:],
            "insert": data[:start] + new + data[start:],
            "repeat": data[:end] + data[start:end] * 3 + data[end:],
            "overwrite": data[:start] + new + data[start + len(new) :],
            "nothing": data,
        }[change]
    return data


def spoiled(data: bytes) -> st.SearchStrategy[bytes]:
    """Bytes of which a few are damaged."""
    return damage.map(lambda changes: damaged(data, changes))


TEXT_FORMS = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1")


@st.composite
def texts(draw: st.DrawFn, base: str) -> bytes:
    """A text with some lines changed, in one of the encodings that editors write, or its bytes spoiled."""
    lines = [*base.splitlines(keepends=True), "\n"]
    for _ in range(draw(st.integers(0, 3))):
        number = int(draw(share) * len(lines))
        words = lines[number].split(" ")
        words[int(draw(share) * len(words))] = draw(
            st.sampled_from(WORDS) | st.sampled_from(NUMBERS).map(str) | st.text()
        )
        lines[number] = draw(
            st.sampled_from((" ".join(words), lines[number].rstrip("\n"), lines[number] * 2, "\r\n", ""))
        )
    data = "".join(lines).encode(draw(st.sampled_from(TEXT_FORMS)), "replace")
    return draw(st.just(data) | spoiled(data))


@st.composite
def json_files(draw: st.DrawFn, base: Any) -> bytes:
    """The JSON of a changed tree, or JSON whose bytes are spoiled, or brackets without end."""
    kind = draw(st.sampled_from(("tree",) * 8 + ("bytes", "nested")))
    if kind == "nested":
        return draw(st.sampled_from((b"[" * 5000, b'{"a":' * 5000, b"[" * 900 + b"]" * 900)))
    if kind == "bytes":
        return draw(spoiled(json.dumps(base).encode()))
    return json.dumps(draw(trees(base))).encode()

"""File names from any ids."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guided_seg.files.text import same_form
from guided_seg.formats.naming import class_names, safe_names

texts = st.text(st.characters(exclude_categories=()), min_size=1, max_size=300)


@given(st.lists(texts, max_size=20, unique=True))
@example(["a/b", "a:b", "A b", "a_b", "a_b.jpg", "a_b.PNG", "../a_b", "a#b"])
@example(["é", "e\u0301", "É", "..", ".", "CON", "classes.jpg", "\ud800", "x" * 300, "x" * 299, "__MACOSX", "@eaDir"])
def test_names_are_safe_unique_and_the_same_for_the_same_ids(ids: list[str]) -> None:
    names = safe_names(ids)
    assert list(names) == ids
    assert names == safe_names(reversed(ids))
    assert len({name.casefold() for name in names.values()}) == len(ids)
    with TemporaryDirectory() as folder:
        for name in names.values():
            assert name == same_form(name)
            assert not set(name) & set("/\\ .:#%?*<>|\"'\0\n\t")
            assert name[0] not in "-_"
            Path(folder, f".partial.1234567.{name}.png").touch()
        assert len(os.listdir(folder)) == len(ids)  # noqa: PTH208


@pytest.mark.parametrize("other", ["b", "x-3ba8d02b", "x-3ba8d02b16fd2a01"])
def test_a_name_that_looks_like_a_checksum_is_no_other_name(other: str) -> None:
    names = safe_names(["x", "X", other])
    assert len({name.casefold() for name in names.values()}) == 3
    assert names[other] == other


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("IMG_2024-05.jpg", "IMG_2024-05"),
        ("holiday/day 1/cat.png", "holiday_day_1_cat"),
        ("猫 その1.jpeg", "猫_その1"),
        ("हिन्दी", "हिन्दी"),
        ("clip.mp4#12", "clip_mp4_12"),
        ("🐱", "image"),
    ],
)
def test_names_stay_recognisable(text: str, name: str) -> None:
    assert safe_names([text]) == {text: name}


@given(st.lists(texts, max_size=20, unique=True))
@example(["a", "a ", "a (1)", "a\n"])
def test_class_names_are_one_line_each_and_different(labels: list[str]) -> None:
    names = class_names(labels)
    assert len(set(names)) == len(labels)
    assert "\n".join(names).encode().decode().splitlines() == names
    assert all(name == name.strip() and name for name in names)

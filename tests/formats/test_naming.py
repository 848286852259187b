"""File names from any ids."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guided_seg.files.text import file_name, same_form
from guided_seg.formats.naming import class_names, kept_names, safe_names

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


file_names = st.one_of(texts, st.text("ab AB.-_", min_size=1, max_size=3)).flatmap(
    lambda stem: st.sampled_from([stem, f"{stem}.jpg", f"{stem}.PNG"])
)


@given(st.lists(st.tuples(file_names, file_names, st.sampled_from("isn")), max_size=20, unique_by=lambda each: each[0]))
@example([("x", "x.jpg", "n"), ("X", "", "n"), ("x-2d711642", "x-2d711642.jpg", "n")])
@example([("a b", "a b.jpg", "n"), ("a_b", "", "n"), ("a:b", "a:b.jpg", "n"), ("con", "con.jpg", "n")])
def test_kept_names_are_safe_and_unique(entries: list[tuple[str, str, str]]) -> None:
    files = {each: {"i": each, "s": f"{each}.jpg", "n": file}[which] for each, file, which in entries}
    names = kept_names(files)
    assert list(names) == list(files)
    assert len({name.casefold() for name in names.values()}) == len(files)
    made = safe_names(files)
    for each, name in names.items():
        assert name == made[each] or name == same_form(Path(files[each]).stem)
        assert file_name(f"{name}.jpg") == f"{name}.jpg"
        assert "/" not in name
        assert not name.startswith(("-", "__", "@", "."))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"photo": "photo.jpg", "IMG 1 (2)": "IMG 1 (2).JPG"}, ["photo", "IMG 1 (2)"]),
        ({"größe 1.png": "größe 1.png", "_MG_1": "_MG_1.jpeg", "a.b": "a.b.webp"}, ["größe 1", "_MG_1", "a.b"]),
        ({"cat": "IMG_1.jpg"}, ["cat"]),  # the id is the name that was chosen
        ({"photo": "photo.jpg", "photo (2)": "photo.png"}, ["photo", "photo_2"]),
        ({"a b.jpg": "a b.jpg", "A B.png": "A B.png"}, ["a_b-e7d4c3b3", "A_B-8e6c3b9c"]),
        ({"a?b": "a?b.jpg", "-x": "-x.jpg", "con": "con.jpg"}, ["a_b", "x", "con-"]),
        ({"my clip#3": "", "my clip": ""}, ["my_clip_3", "my_clip"]),
    ],
)
def test_names_of_files_are_kept_where_they_can_be(files: dict[str, str], expected: list[str]) -> None:
    for found, name in zip(kept_names(files).values(), expected, strict=True):
        cut = name.partition("-")[0] if "-" in name else ""
        assert found.startswith(f"{cut}-") if cut else found == name


@given(texts)
def test_the_name_of_a_file_is_one(text: str) -> None:
    name = file_name(text)
    assert file_name(name) == name
    with TemporaryDirectory() as folder:
        Path(folder, name.encode("utf-8", "replace").decode()).touch()


@given(st.lists(texts, max_size=20, unique=True))
@example(["a", "a ", "a (1)", "a\n"])
def test_class_names_are_one_line_each_and_different(labels: list[str]) -> None:
    names = class_names(labels)
    assert len(set(names)) == len(labels)
    assert "\n".join(names).encode().decode().splitlines() == names
    assert all(name == name.strip() and name for name in names)

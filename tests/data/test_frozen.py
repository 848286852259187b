"""Frozen episodes as a file: the same bytes for the same episodes, and nothing but what was written comes back."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guided_seg.data.frozen.episode_file import FORMAT, FrozenEpisode, FrozenEpisodes, FrozenView, Mark, _digest
from guided_seg.data.source import MODES
from guided_seg.errors import DataError

small, side = st.integers(0, 255), st.integers(1, 255)
keys = st.recursive(
    st.text(max_size=4) | st.integers(), lambda part: st.lists(part, max_size=3).map(tuple), max_leaves=4
)


@st.composite
def episodes(draw: st.DrawFn, images: dict[Any, Any]) -> tuple[Any, ...]:
    """An episode on some of the images."""
    groups = draw(st.lists(st.text(max_size=3), max_size=2).map(tuple))

    def view(key: Any) -> tuple[Any, ...]:
        height, width, _ = images[key]
        row, column, label = (st.integers(0, most - 1) for most in (height, width, len(groups) + 1))
        dots = draw(st.lists(st.tuples(row, column, label), max_size=3).map(tuple))
        values = st.lists(st.integers(0, 254), min_size=len(groups), max_size=len(groups), unique=True)
        return key, tuple(draw(values)), dots

    mode, some = draw(st.sampled_from(MODES)), st.sampled_from(sorted(images, key=repr))
    query = draw(some)
    support = draw(st.lists(st.just(query) if mode == "interactive" else some, min_size=1, max_size=3))
    rest = groups, draw(st.integers(1, 5)), draw(st.booleans())
    return mode, draw(st.integers(0, 2**62)), view(query), [view(key) for key in support], *rest


@st.composite
def contents(draw: st.DrawFn) -> tuple[Any, ...]:
    """Any names, keys, labels, dots and rules, as plain values: checked classes draw random numbers of their own."""
    images = draw(st.dictionaries(keys, st.tuples(side, side, st.integers(0, 2**32 - 1)), min_size=1, max_size=4))
    episode = episodes(images)
    rule = st.dictionaries(st.text(max_size=3), st.none() | small | st.text(max_size=3) | st.lists(small, max_size=2))
    name = st.text(max_size=3)
    return draw(name), draw(name), draw(rule), images, draw(st.lists(episode, max_size=3))


def made(source: str, split: str, rule: dict[str, Any], images: dict[Any, Any], episodes: list[Any]) -> FrozenEpisodes:
    found = tuple(
        FrozenEpisode(mode, seed, FrozenView(*query), tuple(FrozenView(*view) for view in support), *rest)
        for mode, seed, query, support, *rest in episodes
    )
    return FrozenEpisodes(source, split, rule, {key: Mark(*mark) for key, mark in images.items()}, found)


@settings(max_examples=30, deadline=None)
@given(contents())
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, content: tuple[Any, ...]) -> None:
    frozen = made(*content)
    path = tmp_path_factory.mktemp("frozen") / "new" / "episodes.json.gz"
    assert frozen.write(path) == path
    found = FrozenEpisodes.read(path)
    assert found == frozen
    assert list(found.images) == list(frozen.images)
    assert found.checksum == frozen.checksum
    before = path.read_bytes()
    found.write(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


VIEW = FrozenView(("scene", 7), (1, 2), ((3, 4, 1), (0, 5, 0)))
EPISODE = FrozenEpisode("semantic", 0, VIEW, (VIEW,), ("cow", "dog"))
FROZEN = FrozenEpisodes("voc", "test", {"shots": 1}, {("scene", 7): Mark(30, 40, 99)}, (EPISODE,))

CHANGES: list[Callable[[FrozenEpisodes], FrozenEpisodes]] = [
    lambda file: replace(file, source="coco"),
    lambda file: replace(file, split="val"),
    lambda file: replace(file, rule={"shots": 2}),
    lambda file: replace(file, images={("scene", 7): Mark(30, 41, 99)}),
    lambda file: replace(file, episodes=()),
    *(
        lambda file, change=change: replace(file, episodes=(replace(EPISODE, **change),))
        for change in (
            {"mode": "video"},
            {"seed": 1},
            {"query": replace(VIEW, values=(2, 1))},
            {"support": (replace(VIEW, dots=VIEW.dots[::-1]),)},
            {"groups": ("cow", "pig")},
            {"ways": 2},
            {"last": True},
        )
    ),
]


@pytest.mark.parametrize("change", CHANGES)
def test_anything_else_has_another_checksum(change: Callable[[FrozenEpisodes], FrozenEpisodes]) -> None:
    assert change(FROZEN).checksum != FROZEN.checksum


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return FROZEN.write(tmp_path / "episodes.json.gz")


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        FrozenEpisodes.read(path)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "\n" not in sentence
    return sentence


def test_when_it_is_written_does_not_matter(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()
    monkeypatch.setattr("time.time", lambda: 1e9)
    assert FROZEN.write(path).read_bytes() == before


def test_no_changed_byte_changes_what_is_read(path: Path) -> None:
    whole = path.read_bytes()
    refused = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            # seven bytes of gzip's header say when, where and of what it was packed, which nothing depends on
            assert FrozenEpisodes.read(path) == FROZEN
        except DataError:
            refused += 1
    assert refused >= len(whole) - 7


def test_a_file_that_is_cut_off_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert "cannot be read as frozen episodes (" in refusal(path)


def rewritten(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The file with other content, packed as before."""
    content = json.loads(gzip.decompress(path.read_bytes()))
    path.write_bytes(gzip.compress(json.dumps(change(content)).encode()))
    return path


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda content: content | {"split": "train"}, "is not as it was written: its checksum differs; get it again"),
        (lambda content: content | {"extra": 1}, "its checksum differs"),
        (lambda content: {key: content[key] for key in content if key != "checksum"}, "its checksum differs"),
        (lambda content: content | {"format": FORMAT + 1}, rf"has the format {FORMAT + 1} .* reads {FORMAT}; freeze"),
        (lambda _: {"results": []}, "has the format None of frozen episodes"),
        (lambda content: [content], "holds no frozen episodes; give a file"),
    ],
)
def test_other_content_is_refused(path: Path, change: Callable[[dict[str, Any]], Any], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        FrozenEpisodes.read(rewritten(path, change))


def test_what_is_no_such_file_is_refused(path: Path) -> None:
    assert "There are no frozen episodes" in refusal(path.with_name("episods.json.gz"))
    assert "cannot be read" in refusal(path.parent)
    path.write_text("{}")
    assert "cannot be read as frozen episodes (Not a gzipped file" in refusal(path)
    path.write_bytes(gzip.compress(b"\xff\xfe"))
    assert "cannot be read" in refusal(path)


def test_what_was_there_stays_when_writing_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, write = path.read_bytes(), Path.write_bytes

    def full(file: Path, data: bytes) -> int:
        write(file, data[: len(data) // 2])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        replace(FROZEN, split="val").write(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before


NO_EPISODE = [
    ("source", 7, "its source is 7"),
    ("split", None, "its split is None"),
    ("rule", [], "its rule is"),
    ("images", {}, "its images is"),
    ("episodes", None, "its episodes is None"),
    *(
        ("images", [image], "image 0 is")
        for image in (
            *([], 7, None, [["scene", 7], 30, 40], [["scene", 7], 0, 40, 99], [["scene", 7], 30, -1, 99]),
            *([["scene", 7], 30.0, 40, 99], [["scene", 7], True, 40, 99], [["scene", 7], 30, 40, 2**32]),
        )
    ),
    *(("images", [[key, 30, 40, 99]], "an image has the key") for key in (None, 1.5, {}, [["a", None]], True)),
    ("images", [[["scene", 7], 30, 40, 99]] * 2, "it names an image twice"),
    *(("episodes", [entry], "episode 0 is") for entry in (7, None, [], [0], "text", [1, 0, ["cow", "dog"], 1, 0, []])),
]
WHOLE_VIEW = [0, [1, 2], [[3, 4, 1], [0, 5, 0]]]
NO_VIEW = [
    *(
        (view, "has the view")
        for view in (7, None, [], [0, [1, 2]], [1, [1, 2], []], [-1, [1, 2], []], ["0", [1, 2], []])
    ),
    *((view, "has the view") for view in ([0, 1, []], [0, [1, 2], 7], [0.0, [1, 2], []], [True, [1, 2], []])),
    *(
        ([0, values, []], "has the label values")
        for values in ([], [1], [1, 1], [1, 2, 3], [1, 255], [1, -1], [1, "2"], [1, None], [1, 2.0], [1, [2]])
    ),
    *(
        ([0, [1, 2], [dot]], "has the dot .* on an image of 30 x 40, with labels up to 2")
        for dot in (
            *([30, 0, 1], [0, 40, 1], [-1, 0, 1], [0, -1, 1], [0, 0, 3], [0, 0, -1], [0, 0], [0, 0, 1, 1], 7, None),
            *([0.5, 0, 1], ["0", 0, 1], [10**30, 0, 1], [True, 0, 1]),
        )
    ),
]


def changed(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The file with other content and the checksum of that, as somebody may make it."""

    def packed(content: dict[str, Any]) -> dict[str, Any]:
        content.pop("checksum")
        change(content)
        return {**content, "checksum": _digest(content)}

    return rewritten(path, packed)


@pytest.mark.parametrize(("field", "value", "expected"), NO_EPISODE)
def test_a_field_that_no_episodes_have_is_refused(path: Path, field: str, value: Any, expected: str) -> None:
    changed(path, lambda content: content.update({field: value}))
    assert expected in refusal(path)
    changed(FROZEN.write(path), lambda content: content.pop(field))
    assert f"its {field} is None; freeze the episodes again" in refusal(path)


@pytest.mark.parametrize(("view", "expected"), NO_VIEW)
@pytest.mark.parametrize("place", [0, 1])
def test_a_view_that_no_episode_has_is_refused(path: Path, view: Any, expected: str, place: int) -> None:
    def change(content: dict[str, Any]) -> None:
        content["episodes"][0][5][place] = view

    with pytest.raises(DataError, match=f"cannot be used: episode 0 {expected}"):
        FrozenEpisodes.read(changed(path, change))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *((0, mode) for mode in (3, -1, "semantic", None, True)),
        *((1, seed) for seed in (-1, 0.5, None)),
        *((2, groups) for groups in (["cow", 7], "cow", None)),
        *((3, ways) for ways in (0, -1, 1.0, None)),
        *((4, last) for last in (2, None, "no")),
        (5, [WHOLE_VIEW]),
    ],
)
def test_a_value_that_no_episode_has_is_refused(path: Path, place: int, value: Any) -> None:
    def change(content: dict[str, Any]) -> None:
        content["episodes"][0][place] = value

    assert "cannot be used: episode 0 " in refusal(changed(path, change))


def test_an_interactive_episode_shows_its_own_image(path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["images"].append(["other", 30, 40, 1])
        content["episodes"][0][0] = MODES.index("interactive")
        content["episodes"][0][5][1] = [1, [1, 2], []]

    assert "is interactive and shows 1 images, of 2 in all" in refusal(changed(path, change))


def test_json_that_is_too_deep_is_refused(path: Path) -> None:
    path.write_bytes(gzip.compress(b"[" * 100_000))
    assert "cannot be read as frozen episodes (" in refusal(path)

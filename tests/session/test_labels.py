"""Labels are renamed and removed, and undo brings them back to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.networks import network

from guided_seg.errors import UserError
from guided_seg.session import NEGATIVE, Session

share = st.floats(0, 1, exclude_max=True)
EDITS = ("dot", "dot", "box", "mask", "clear", "rename", "remove", "add")


class Seen(NamedTuple):
    """All that a session says of labels, annotations and answers."""

    labels: list[str]
    annotations: dict[str, tuple[bytes | None, list[tuple[int, int, int]]]]
    scores: dict[str, bytes]


def seen(session: Session) -> Seen:
    annotations = {}
    for image in session.images:
        mask, dots = session.annotation(image)
        annotations[image] = (None if mask is None else mask.tobytes(), dots)
    scores = {image: session.segment(image, return_scores=True)[1].tobytes() for image in session.images}
    return Seen(session.labels, annotations, scores)


def opened(name: str = "late_global", labels: int = 3) -> Session:
    session, rng = Session(network(name)), np.random.default_rng(0)
    for image, size in (("a", (17, 22)), ("b", (24, 13))):
        session.add_image(image, rng.integers(0, 256, (*size, 3), np.uint8))
    for number in range(1, labels + 1):
        session.add_label(f"label {number}")
    return session


def edit(session: Session, what: str, which: float, row: float, column: float) -> None:
    """Do something; a name is now and then one that was there before."""
    image = session.images[int(which * 2)]
    height, width = session.picture(image).size
    pixel, number = (int(row * height), int(column * width)), int(which * len(session.labels))
    new = f"label {int(row * 6)}"
    match what:
        case "dot":
            session.dot(image, *pixel, number)
        case "box" if number:
            session.box(image, (*pixel, height - 1, width - 1), number)
        case "mask":
            mask = np.zeros((height, width), bool)
            mask[pixel[0] :, : pixel[1] + 1] = True
            session.mask(image, mask, number)
        case "clear":
            session.clear(image)
        case "rename" if number and new not in session.labels:
            session.rename_label(number, new)
        case "remove" if number and len(session.labels) > 2:
            session.remove_label(number)
        case "add" if new not in session.labels:
            session.add_label(new)


def same(found: Seen, expected: Seen) -> bool:
    """Whether all is as it was, but for labels that were added later."""
    later = found.labels[len(expected.labels) :]
    return (
        found.labels[: len(expected.labels)] == expected.labels
        and found.annotations == expected.annotations
        and (bool(later) or found.scores == expected.scores)
    )


@pytest.mark.parametrize("name", ["late_global", "learned_annotation"])
@given(edits=st.lists(st.tuples(st.sampled_from(EDITS), share, share, share), min_size=1, max_size=14))
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
def test_undo_and_redo_of_any_edits_are_exact(name: str, edits: list[tuple[str, float, float, float]]) -> None:
    session = opened(name)
    before, after = [], []
    for each in edits:
        now = seen(session)
        steps = session._annotations.steps[0]
        edit(session, *each)
        if session._annotations.steps[0] > steps:
            before.append(now)
            after.append(seen(session))
    for expected in reversed(before):
        assert session.undo()
        assert same(seen(session), expected)
    assert not session.undo()
    for expected in after:
        assert session.redo()
        assert same(seen(session), expected)
    assert not session.redo()


@given(which=share, dots=st.lists(st.tuples(share, share, share), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
def test_renaming_and_removing_are_undone_to_the_bit(which: float, dots: list[tuple[float, float, float]]) -> None:
    session = opened()
    for dot in dots:
        edit(session, "dot", *dot)
    edit(session, "mask", *dots[0])
    number, start = 1 + int(which * 3), seen(session)
    session.rename_label(number, "new")
    renamed = seen(session)
    assert renamed.labels == [*start.labels[:number], "new", *start.labels[number + 1 :]]
    assert renamed[1:] == start[1:], "a name changes nothing else"
    assert session.undo()
    assert seen(session) == start
    session.remove_label(number)
    assert session.labels == [*start.labels[:number], *start.labels[number + 1 :]]
    assert session.undo()
    assert seen(session) == start


def test_removing_a_label_removes_its_annotations_and_no_others() -> None:
    session = opened()
    for number in range(4):
        session.dot("a", number, number, number)
    mask = np.zeros((24, 13), bool)
    mask[:4] = True
    for number in (1, 2, 3):
        session.mask("b", np.roll(mask, 5 * number, axis=0), number)
    session.remove_label("label 2")
    assert session.labels == [NEGATIVE, "label 1", "label 3"]
    assert session.dots("a") == [(0, 0, NEGATIVE), (1, 1, "label 1"), (3, 3, "label 3")]
    painted = session.annotation("b")[0]
    assert painted is not None
    assert set(np.unique(painted)) == {1, 2, 255}
    assert np.array_equal(painted == 2, np.roll(mask, 15, axis=0))


@pytest.mark.parametrize("name", ["late_global", "learned_annotation", "early_stack"])
def test_the_answer_after_a_removal_is_that_of_a_session_that_never_had_the_label(name: str) -> None:
    session, fresh = opened(name), opened(name, 2)
    for each in (session, fresh):
        each.dot("a", 1, 1, 0)
        each.dot("a", 9, 9, "label 1")
    session.segment("b")
    session.dot("a", 4, 4, "label 2")
    session.dot("b", 7, 7, "label 3")
    session.segment("b")
    session.remove_label("label 2")
    session.rename_label("label 3", "label 2")
    fresh.dot("b", 7, 7, "label 2")
    assert session.labels == fresh.labels
    for image in ("a", "b"):
        found, expected = (each.segment(image, return_scores=True)[1] for each in (session, fresh))
        assert np.allclose(found, expected, atol=1e-5, rtol=0)


def test_a_name_that_was_given_again_is_free_for_the_label_that_comes_back() -> None:
    session = opened(labels=2)
    session.dot("a", 1, 1, "label 1")
    session.remove_label("label 1")
    session.add_label("label 1")
    session.dot("a", 2, 2, "label 1")
    assert session.undo()
    assert session.undo()
    assert (session.labels, session.dots("a")) == ([NEGATIVE, "label 1", "label 2"], [(1, 1, "label 1")])
    assert session.redo()
    assert session.redo()
    assert (session.labels, session.dots("a")) == ([NEGATIVE, "label 2", "label 1"], [(2, 2, "label 1")])


def test_labels_fill_a_map_of_bytes_also_after_undo() -> None:
    session = opened(labels=254)
    session.remove_label("label 7")
    session.add_label("one more")
    assert session.undo()
    assert session.labels == [NEGATIVE, *(f"label {number}" for number in range(1, 255))]
    assert session.redo()
    assert session.labels[-1] == "one more"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda session: session.rename_label("nobody", "new"), "There is no label 'nobody'"),
        (lambda session: session.rename_label(9, "new"), "There is no label 9"),
        (lambda session: session.rename_label("label 1", "label 2"), "There is a label 'label 2' already"),
        (lambda session: session.rename_label("label 1", NEGATIVE), "already"),
        (lambda session: session.rename_label(NEGATIVE, "new"), "is the background and cannot be renamed"),
        (lambda session: session.remove_label("nobody"), "There is no label 'nobody'"),
        (lambda session: session.remove_label(0), "is the background and cannot be removed"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(change: object, words: str) -> None:
    session = opened()
    with pytest.raises(UserError, match=words):
        change(session)  # type: ignore[operator]
    assert session.labels == opened().labels
    assert not session.can_undo


def test_the_last_label_stays() -> None:
    session = opened(labels=1)
    with pytest.raises(UserError, match="is the last label and cannot be removed; rename it"):
        session.remove_label("label 1")


def test_the_same_name_again_is_no_step() -> None:
    session = opened()
    session.rename_label("label 1", "label 1")
    assert not session.can_undo


def test_labels_are_saved_as_they_are_now(tmp_path: Path) -> None:
    session = opened()
    session.dot("a", 3, 3, "label 3")
    session.remove_label("label 1")
    session.rename_label("label 3", "cup")
    again = Session.open(session.save(tmp_path / "x.session"), network=network("late_global"))
    assert again.labels == [NEGATIVE, "label 2", "cup"]
    assert again.dots("a") == [(3, 3, "cup")]
    assert not again.can_undo


def test_a_session_that_follows_takes_names_and_numbers_over() -> None:
    session, other = opened(), Session(network("late_global"))
    session.dot("a", 3, 3, "label 3")
    other.follow(session)
    session.remove_label("label 1")
    session.rename_label("label 3", "cup")
    other.follow(session)
    assert other.labels == session.labels
    assert seen(other) == seen(session)

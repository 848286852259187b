"""Scribbles and boxes: the dots that stand for them, set and undone as one step."""

from __future__ import annotations

from inspect import unwrap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guided_seg.errors import UserError
from guided_seg.session import NEGATIVE, Session
from guided_seg.session.strokes import MOST, SPACING, along, around, inside

sides = st.integers(1, 300)


@st.composite
def lines(draw: st.DrawFn) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    height, width = draw(sides), draw(sides)
    point = st.tuples(st.integers(0, height - 1), st.integers(0, width - 1))
    return draw(st.lists(point, min_size=1, max_size=6)), (height, width)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    height, width = draw(sides), draw(sides)
    top, bottom = sorted((draw(st.integers(0, height - 1)), draw(st.integers(0, height - 1))))
    left, right = sorted((draw(st.integers(0, width - 1)), draw(st.integers(0, width - 1))))
    return (top, left, bottom, right), (height, width)


@given(line=lines())
def test_the_dots_of_a_scribble_lie_on_it_evenly(line: tuple[list[tuple[int, int]], tuple[int, int]]) -> None:
    points, size = line
    corners = np.array(points, float)
    length = np.hypot(*np.diff(corners, axis=0).T).sum()
    found = along(points, size)
    assert 1 <= len(found) <= MOST
    assert len(set(found)) == len(found)
    low, high = corners.min(0), corners.max(0)
    assert all((low <= dot).all() and (dot <= high).all() for dot in np.array(found))
    if length >= SPACING * max(size):
        assert found[0] == points[0]
        assert len(points) > 2 or found[-1] == points[-1]
    if len(points) == 2 and len(found) > 2:  # a straight line
        steps = np.hypot(*np.diff(np.array(found, float), axis=0).T)
        assert steps.max() - steps.min() <= 2 * np.sqrt(2)
        assert steps.max() >= SPACING * max(size) - np.sqrt(2)


def test_a_scribble_goes_round_corners() -> None:
    assert along([(0, 0), (0, 40), (40, 40)], (50, 100)) == [
        *[(0, 10 * step) for step in range(5)],
        *[(10 * step, 40) for step in range(1, 5)],
    ]


@pytest.mark.parametrize("points", [[(7, 9)], [(7, 9)] * 3, [(5, 9), (7, 9), (9, 9)], [(9, 9), (5, 9)]])
def test_a_short_scribble_is_a_dot(points: list[tuple[int, int]]) -> None:
    assert along(points, (100, 100)) == [(7, 9)]


@given(box=boxes())
def test_the_dots_of_a_box_are_inside_and_around(
    box: tuple[tuple[int, int, int, int], tuple[int, int]],
) -> None:
    (top, left, bottom, right), (height, width) = box
    within, outside = inside(box[0]), around(*box)
    assert 1 <= len(within) <= 12
    assert len(outside) <= 16
    assert all(top <= row <= bottom and left <= column <= right for row, column in within)
    for row, column in outside:
        assert not (top <= row <= bottom and left <= column <= right)
        assert 0 <= row < height
        assert 0 <= column < width


def test_the_dots_of_a_box_are_symmetric() -> None:
    """A box and its dots, mirrored along each axis, are the same; and there are dots on all four sides."""
    for dots in (inside((20, 20, 60, 80)), around((20, 20, 60, 80), (81, 101))):
        assert {(80 - row, column) for row, column in dots} == set(dots)
        assert {(row, 100 - column) for row, column in dots} == set(dots)
    assert len(around((20, 20, 60, 80), (81, 101))) == 16


def test_around_a_whole_image_there_is_nothing() -> None:
    assert around((0, 0, 36, 49), (37, 50)) == []


@pytest.mark.parametrize("what", ["scribble", "box"])
def test_it_is_one_step(late: Session, what: str) -> None:
    late.add_label("cup")
    late.dot("a", 0, 0, NEGATIVE)
    before = late.segment("a", return_scores=True)[1]
    if what == "scribble":
        late.scribble("a", [(3, 4), (3, 40), (30, 40)], "cup")
        expected = [(*pixel, "cup") for pixel in along([(3, 4), (3, 40), (30, 40)], (37, 50))]
    else:
        late.box("a", (5, 8, 25, 30), "cup")
        expected = [(*pixel, "cup") for pixel in inside((5, 8, 25, 30))]
        expected += [(*pixel, NEGATIVE) for pixel in around((5, 8, 25, 30), (37, 50))]
    assert late.dots("a") == sorted([(0, 0, NEGATIVE), *expected])
    after = late.segment("a", return_scores=True)[1]
    assert (after != before).any()
    assert late.undo()
    np.testing.assert_array_equal(late.segment("a", return_scores=True)[1], before)
    assert late.redo()
    np.testing.assert_array_equal(late.segment("a", return_scores=True)[1], after)
    assert late.undo()
    assert late.undo()
    assert not late.undo()


def test_dots_below_are_replaced_and_come_back(late: Session) -> None:
    late.add_label("cup")
    late.dot("a", 10, 20, NEGATIVE)
    late.scribble("a", [(10, 0), (10, 40)], "cup")
    assert (10, 20, "cup") in late.dots("a")
    late.undo()
    assert late.dots("a") == [(10, 20, NEGATIVE)]


@pytest.mark.parametrize(
    ("points", "sentence"),
    [
        ([], r"A scribble is a list of points \(row, column\), one or more, but it is \[\]"),
        ("line", "A scribble is a list of points"),
        (7, r"A scribble is a list of points .*, but it is 7 \(int\)"),
        ([(1, 2), (3,)], "A point of a scribble is .* expected a pair"),
        ([(1, 2), (3, 50)], "row 3, column 50 lies outside its 37 x 50 image"),
        ([(1, 2), (3.5, 4)], "The row of a dot is 3.5"),
    ],
)
def test_lines_that_are_none_are_refused(late: Session, points: object, sentence: str) -> None:
    late.add_label("cup")
    with pytest.raises(UserError, match=sentence):
        unwrap(Session.scribble)(late, "a", points, "cup")  # past the checker of types
    assert late.dots("a") == []
    assert not late.undo()


@pytest.mark.parametrize(
    ("box", "label", "sentence"),
    [
        ((1, 2, 3), "cup", r"A box is \(top, left, bottom, right\), but it is \(1, 2, 3\)"),
        ((5, 2, 3, 4), "cup", "The box ends at row 3, column 4, before it begins at row 5, column 2; give its first"),
        ((5, 9, 8, 4), "cup", "The box ends at row 8, column 4, before it begins at row 5, column 9"),
        ((5, 9, 37, 10), "cup", "row 37, column 10 lies outside"),
        ((-1, 9, 8, 10), "cup", "row -1, column 9 lies outside"),
        ((1, 2, 3, 4), NEGATIVE, "A box is drawn around an object, so it needs a label other than negative"),
        ((1, 2, 3, 4), "plate", "no label 'plate'"),
    ],
)
def test_boxes_that_are_none_are_refused(late: Session, box: object, label: str, sentence: str) -> None:
    late.add_label("cup")
    with pytest.raises(UserError, match=sentence):
        unwrap(Session.box)(late, "a", box, label)  # past the checker of types
    assert late.dots("a") == []
    assert not late.undo()

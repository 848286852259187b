"""Simulated clicks against distances counted out, and NoC and NoF against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from support.scenes import Scene, label_map, quick, scenes

from guided_seg.episode import IGNORE
from guided_seg.metrics.simulated_clicks import Click, clicks_needed, failed, next_click


def labels(text: str) -> np.ndarray:
    """A label map drawn with . for 0, # for 1 and ? for void."""
    values = {".": 0, "#": 1, "?": IGNORE}
    return np.array([[values[character] for character in line] for line in text.split()], np.uint8)


def slow_depths(error: np.ndarray) -> dict[tuple[int, int], int]:
    """The squared distance of every pixel of an error to the nearest pixel outside, in the order of rows."""
    ring = np.pad(error, 1)
    outside, inside = np.argwhere(~ring), np.argwhere(ring)
    return {(int(r) - 1, int(c) - 1): int(((outside - (r, c)) ** 2).sum(1).min()) for r, c in inside}


def slow_click(prediction: np.ndarray, target: np.ndarray, clicked: list[Click]) -> Click | None:
    """Of the deepest pixels the first, false alarms before misses."""
    errors = [(False, prediction & (target == 0)), (True, ~prediction & (target == 1))]
    done = {(row, column) for row, column, _ in clicked}
    found = [
        (depth, Click(*pixel, positive))
        for positive, error in errors
        for pixel, depth in slow_depths(error).items()
        if pixel not in done
    ]
    return max(found, key=lambda pair: pair[0])[1] if found else None


@quick
@given(scenes(largest=9))
def test_clicks_go_where_counting_sends_them_until_every_error_is_clicked(scene: Scene) -> None:
    prediction, target = scene[0], label_map(*scene[1:])
    clicks: list[Click] = []
    while (click := next_click(prediction, target, clicks)) is not None and len(clicks) < 12:
        assert click == slow_click(prediction, target, clicks)
        clicks.append(click)
    assert click == slow_click(prediction, target, clicks)


@quick
@given(scenes(largest=6))
def test_each_wrong_pixel_is_clicked_once_with_its_sign_and_no_other(scene: Scene) -> None:
    prediction, target = scene[0], label_map(*scene[1:])
    clicks: list[Click] = []
    while (click := next_click(prediction, target, clicks)) is not None:
        clicks.append(click)
    wrong = (prediction != (target == 1)) & (target != IGNORE)
    assert sorted(click[:2] for click in clicks) == [tuple(pixel) for pixel in np.argwhere(wrong).tolist()]
    assert all(click.positive == (target[click.row, click.column] == 1) for click in clicks)


@pytest.mark.parametrize(
    ("prediction", "target", "clicked", "expected"),
    [
        pytest.param("... ... ...", "### ### ###", [], Click(1, 1, True), id="the edge of the image is a boundary"),
        pytest.param("### ### ###", "... ... ...", [], Click(1, 1, False), id="a false alarm"),
        pytest.param("#.#", "#.#", [], None, id="no error"),
        pytest.param("###", "???", [], None, id="only void"),
        pytest.param(".....", "#.#.#", [], Click(0, 0, True), id="the first of equals"),
        pytest.param("#....", "....#", [], Click(0, 0, False), id="a false alarm before a miss as deep"),
        pytest.param(
            "...###. ...###. ...###. .......",
            "....... ....... ....... #######",
            [],
            Click(1, 4, False),
            id="depth counts, not the number of pixels: 7 missed, 9 false",
        ),
        pytest.param(
            ".......... .......... .......... ......####",
            "###....... ###....... ###....... ..........",
            [],
            Click(1, 1, True),
            id="a miss deeper than a false alarm",
        ),
        pytest.param(
            "..... ..... ..... ..... .....",
            "##### ##### ##?## ##### #####",
            [],
            Click(1, 1, True),
            id="void is outside of the error",
        ),
        pytest.param(
            "... ... ...", "### ### ###", [Click(1, 1, True)], Click(0, 0, True), id="not where it has been clicked"
        ),
        pytest.param("#..", "..#", [Click(0, 0, False)], Click(0, 2, True), id="clicked, and the other error remains"),
        pytest.param("#..", "..#", [Click(0, 0, False), Click(0, 2, True)], None, id="all clicked"),
    ],
)
def test_clicks_worked_out_by_hand(prediction: str, target: str, clicked: list[Click], expected: Click | None) -> None:
    assert next_click(labels(prediction), labels(target), clicked) == expected
    assert next_click(labels(prediction) != 0, labels(target), iter(clicked)) == expected


LATE = [0.5] * 19 + [0.9]


@pytest.mark.parametrize(
    ("ious", "threshold", "needed", "lost"),
    [
        ([0.9], 0.85, 1, 0),
        ([0.5, 0.8, 0.84, 0.86], 0.80, 2, 0),
        ([0.5, 0.8, 0.84, 0.86], 0.85, 4, 0),
        ([0.5, 0.8, 0.84, 0.86], 0.90, 20, 1),
        ([0.5, 0.9, 0.2, 0.95], 0.90, 2, 0),
        ([], 0.85, 20, 1),
        (LATE, 0.90, 20, 0),
        ([0.5, *LATE], 0.90, 20, 1),
    ],
    ids=["at once", "reached", "later", "never", "lost again", "no click", "by the last click", "a click too late"],
)
def test_clicks_needed_worked_out_by_hand(ious: list[float], threshold: float, needed: int, lost: int) -> None:
    assert clicks_needed(ious, threshold) == needed
    assert failed(ious, threshold) == lost


def test_the_limit_is_a_choice() -> None:
    assert clicks_needed(LATE, 0.9, limit=10) == 10
    assert [failed(LATE, 0.9, limit) for limit in (10, 20)] == [True, False]

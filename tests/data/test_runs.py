"""Outlines and run lengths: right where they can be, and refused before C sees them where they cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycocotools import mask as pycoco

from guided_seg.data.coco.run_lengths import BadOutline, area, check_size, decode, nothing, of_polygons, of_segmentation

SIZE = (40, 60)
BOX = [5, 5, 25, 5, 25, 15, 5, 15]
WHOLE = [40 * 60]


def painted(found: Any, size: tuple[int, int] = SIZE) -> np.ndarray:
    runs = of_segmentation(found, size)
    assert runs is not None
    return decode(runs)


def box(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    labels = np.zeros(SIZE, np.uint8)
    labels[top:bottom, left:right] = 1
    return labels


def text(mask: np.ndarray) -> dict[str, Any]:
    return {"size": list(mask.shape), "counts": pycoco.encode(np.asfortranarray(mask))["counts"].decode()}


@pytest.mark.parametrize(
    ("polygon", "expected"),
    [
        ([-0.5, -0.5, 60.3, -0.5, 60.3, 40.4, -0.5, 40.4], box(0, 0, 40, 60)),
        ([-300, 5, 25, 5, 25, 15, -300, 15], box(5, 0, 15, 25)),
        ([5, -200, 25, -200, 25, 15, 5, 15], box(0, 5, 15, 25)),
        ([5, 5, 500, 5, 500, 300, 5, 300], box(5, 5, 40, 60)),
        ([100, 5, 125, 5, 125, 15, 100, 15], box(0, 0, 0, 0)),
    ],
)
def test_what_is_outside_of_the_image_is_cut_off(polygon: list[float], expected: np.ndarray) -> None:
    assert (painted([polygon]) == expected).all()


corner = st.tuples(st.integers(-150, 210), st.integers(-100, 140))


def beside(corners: list[tuple[int, int]]) -> np.ndarray:
    """The distance of each pixel's centre to the outline."""
    points = np.stack(np.meshgrid(np.arange(SIZE[1]), np.arange(SIZE[0])), -1) + 0.5
    starts, ends = np.array(corners, float), np.roll(np.array(corners, float), -1, axis=0)
    found = np.full(SIZE, np.inf)
    for start, end in zip(starts, ends, strict=True):
        along, off = end - start, points - start
        share = np.clip(off @ along / max(along @ along, 1e-9), 0, 1)
        found = np.minimum(found, np.linalg.norm(off - share[..., None] * along, axis=-1))
    return found


@settings(max_examples=80, deadline=None)
@example([(0, 0), (-60, 5), (179, 0)])
@given(st.lists(corner, min_size=3, max_size=6))
def test_a_polygon_across_the_border_is_the_part_inside(corners: list[tuple[int, int]]) -> None:
    """As on a canvas that holds all of it; C rounds what is below 0 to a fifth of a pixel more.

    Where an edge passes half-way between two of C's fifths, the last digit of a float decides, and it is another one on
    the other canvas. So both may differ in a pixel here and there, but only in pixels that the outline passes.
    """
    found = painted([[float(value) for point in corners for value in point]])
    moved = [value + 200 + 0.2 * (value < 0) for point in corners for value in point]
    other = painted([moved], (500, 500))[200:240, 200:260]
    differ = found != other
    assert not differ.any() or beside(corners)[differ].max() < 0.2
    assert differ.sum() <= 2


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.randoms(use_true_random=False))
def test_run_lengths_in_text_and_as_numbers_are_the_mask(height: int, width: int, random: Any) -> None:
    mask = np.array([[random.random() < 0.5 for _ in range(width)] for _ in range(height)], np.uint8)
    packed = text(mask)
    size = (height, width)
    assert (painted(packed, size) == mask).all()
    flat = np.concatenate([[0], mask.ravel(order="F"), [1 - mask[-1, -1]]])
    counts = np.diff([0, *np.flatnonzero(np.diff(flat) != 0)]).tolist()
    assert (painted({"size": [height, width], "counts": counts}, size) == mask).all()


def test_long_runs_in_text() -> None:
    mask = np.ones((3000, 2000), np.uint8)
    mask[1000:2000, 7:1500] = 0
    assert of_segmentation(text(mask), mask.shape)["counts"].decode() == text(mask)["counts"]  # type: ignore[index]


@pytest.mark.parametrize(
    "found",
    [
        [BOX],
        BOX,
        [[float(value) for value in BOX]],
        [BOX, [1, 2]],
        text(box(5, 5, 15, 25)),
        [text(box(5, 5, 15, 25))],
        [text(box(5, 5, 15, 10)), text(box(5, 10, 15, 25))],
        {"size": [40.0, 60.0], "counts": text(box(5, 5, 15, 25))["counts"]},
    ],
)
def test_every_form_of_one_box(found: Any) -> None:
    assert (painted(found) == box(5, 5, 15, 25)).all()


@pytest.mark.parametrize("found", [None, [], [[]], [[], []]])
def test_nothing_outlined(found: Any) -> None:
    assert of_segmentation(found, SIZE) is None
    assert area([nothing(SIZE), nothing(SIZE)]) == [0, 0]
    assert area([]) == []


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        *(
            ([[x, 15, 44, 15, 44, 49]], "has a point at x = .*, but x goes from 0 to 60")
            for x in (NAN, INF, -INF, 1e8, -1e8, 1e308, 10**400, 661, -601)
        ),
        ([[5, 5, 9, 5, 9, NAN]], "has a point at y = nan, but y goes from 0 to 40"),
        ([[5, 5, 9, 5, 9, 9], [5, 5, 9, 5, 9, 1e10]], "has a point at y = 1"),
        *(([[value, 5, 9, 5, 9, 9]], "in a polygon; expected numbers") for value in ("5", None, True, [5], {})),
        ([[5, 5, 9, 5, 9, 9, 7]], "a polygon of 7 numbers, so an x lacks its y"),
        ([[[5, 5], [9, 5], [9, 9]]], r"has \[5, 5\] in a polygon"),
        ([BOX, "x"], "has the polygon 'x'"),
        ([[1, 2]], "has a polygon of 1 point; three or more enclose an area"),
        *(
            (found, "has a polygon of 2 points; three or")
            for found in ([[1, 2, 3, 4]], [1, 2, 3, 4], [[1, 2, 3, 4], []])
        ),
        ("x", "has the segmentation 'x'; expected polygons or run lengths"),
        (7, "has the segmentation 7"),
        ([[0, 0, 60, 40] * 60_000], "has an outline of .* pixels, which is longer than any"),
        *(
            ({"size": size, "counts": WHOLE}, "run lengths of an image of")
            for size in ([60, 40], [1, 2400], [2**20, 2**10])
        ),
        ({"size": [60, 40], "counts": WHOLE}, r"size is \[height, width\], not the reverse"),
        *(
            ({"size": size, "counts": WHOLE}, "has the height")
            for size in (
                [0, 60],
                [-40, 60],
                [40],
                [40, 60, 1],
                ["40", 60],
                [True, 60],
                [NAN, 60],
                [10**9, 10**9],
                [40.5, 60],
            )
        ),
        ({"size": None, "counts": WHOLE}, "run lengths are an object with size and counts"),
        ({"size": [40, 60]}, "run lengths are an object with size and counts"),
        ({"counts": WHOLE}, "run lengths are an object with size and counts"),
        ([{"size": [40, 60]}, BOX], "run lengths are an object with size and counts"),
        *(
            ({"size": [40, 60], "counts": counts}, expected)
            for counts, expected in (
                ([], "run lengths of 0 pixels in all, but its image has 2,400"),
                ([2399], "run lengths of 2,399 pixels"),
                ([2400, 1], "run lengths of 2,401 pixels"),
                ([2500, -100], "has a run of -100 pixels"),
                ([2**31, -(2**31) + 2400], "expected whole numbers of pixels"),
                ([NAN], "expected whole numbers"),
                ([2400.5], "expected whole numbers"),
                ([True] * 2400, "expected whole numbers"),
                (["2400"], "expected whole numbers"),
                ([[2400]], "expected whole numbers"),
                ([10**400], "expected whole numbers"),
                ("!!zz", "not in COCO's code"),
                ("", "not in COCO's code"),
                ("öä", "not in COCO's code"),
                ("of0R1V1o", "not in COCO's code"),
                ("oooooooooo0", "longer than any image"),
                ("0", "run lengths of 0 pixels"),
                ("000", "run lengths of 0 pixels"),
                ("O", "has a run of -1 pixels"),
            )
        ),
    ],
)
def test_what_is_no_mask_is_refused_before_c_sees_it(
    found: Any, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("frPyObjects", "merge", "decode", "area"):
        monkeypatch.setattr(pycoco, name, lambda *_: pytest.fail("C was called"))
    with pytest.raises(BadOutline, match=expected) as caught:
        of_segmentation(found, SIZE)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("size", [(2**20 + 1, 1), (1, 10**9), (2**16, 2**16), (10**400, 1)])
def test_no_image_is_so_large(size: tuple[int, int]) -> None:
    with pytest.raises(BadOutline, match=r"which no image has|expected two whole numbers"):
        check_size(size)
    assert check_size((96.0, 2**20)) == (96, 2**20)


def test_the_largest_outline_is_painted() -> None:
    side = 2**17
    runs = of_polygons([[-5.0 * side, -2, 6 * side, -2, 6 * side, 10, -5 * side, 10]], (1000, side))
    assert runs is not None
    assert area([runs]) == [10 * side]

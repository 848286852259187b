"""Answers to pixels that are not those of an image of the session, and the frames of a video."""

from __future__ import annotations

import numpy as np
import pytest
from support.networks import COMPOSITIONS, OWN_IMAGE_ALONE, network

from guided_seg.errors import UserError
from guided_seg.session import Session


@pytest.mark.parametrize("name", [name for name in COMPOSITIONS if name not in OWN_IMAGE_ALONE])
@pytest.mark.parametrize("refined", [False, True])
def test_the_answer_is_that_of_the_image_in_the_session(
    name: str, refined: bool, pictures: dict[str, np.ndarray]
) -> None:
    first, second = Session(network(name)), Session(network(name))
    for session in (first, second):
        session.add_image("a", pictures["a"])
        session.add_label("cat")
        session.dot("a", 20, 30, "cat")
        session.dot("a", 3, 3, "negative")
    second.add_image("b", pictures["b"])
    expected = second.refined("b") if refined else second.segment("b")
    for _ in range(2):
        np.testing.assert_array_equal(first.segment_pixels(pictures["b"], refined=refined), expected)
    np.testing.assert_array_equal(first.segment_pixels(pictures["a"], "a"), second.segment("a"))
    assert first.images == ["a"]
    assert first.encodes == {"a": 1}


def test_nothing_of_it_is_kept(late: Session, pictures: dict[str, np.ndarray]) -> None:
    late.add_label("cat")
    late.dot("a", 20, 30, "cat")
    late.segment_pixels(pictures["b"])
    before = set(late._predictor.cache.kept())
    rng = np.random.default_rng(1)
    for _ in range(5):
        late.segment_pixels(rng.integers(0, 256, (33, 47, 3), np.uint8))
    assert set(late._predictor.cache.kept()) == before


def test_pixels_that_cannot_be_segmented(late: Session, pictures: dict[str, np.ndarray]) -> None:
    with pytest.raises(UserError, match="nothing to segment yet"):
        late.segment_pixels(pictures["a"])
    late.add_label("cat")
    late.dot("a", 20, 30, "cat")
    with pytest.raises(UserError, match=r"The image is float64 .* expected uint8"):
        late.segment_pixels(pictures["a"] / 255)
    with pytest.raises(UserError, match=r"The image 'a' .* changed since it was added"):
        late.segment_pixels(pictures["b"], "a")
    with pytest.raises(UserError, match="There is no image 'c'"):
        late.segment_pixels(pictures["b"], "c")
    tight = Session(network("late_global"), cache_mb=0.001)
    tight.add_label("cat")
    with pytest.raises(UserError, match="The features of the image take"):
        tight.segment_pixels(pictures["b"])


def test_frames_of_a_stream(late: Session, pictures: dict[str, np.ndarray]) -> None:
    late.add_video("camera", iter([pictures["a"], pictures["b"]]))
    found = list(late.frames("camera"))
    assert [number for number, _ in found] == [0, 1]
    np.testing.assert_array_equal(found[1][1], pictures["b"])
    with pytest.raises(UserError, match="a stream gives frames once"):
        next(late.frames("camera"))
    with pytest.raises(UserError, match="There is no video 'film'"):
        late.frames("film")

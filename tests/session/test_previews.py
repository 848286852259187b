"""What a dot would do: the answer that it has once it is set, and nothing changes before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.networks import COMPOSITIONS, TWO_LABELS, network

from guided_seg.errors import UserError
from guided_seg.session import NEGATIVE, Session

SIZES = {"a": (17, 22), "b": (24, 13)}
share = st.floats(0, 1, exclude_max=True)
dots = st.tuples(st.sampled_from("ab"), share, share, st.integers(0, 2))


def placed(session: Session, dot: tuple[str, float, float, int]) -> tuple[str, int, int, int]:
    image, down, right, label = dot
    height, width = SIZES[image]
    return image, int(down * height), int(right * width), min(label, len(session.labels) - 1)


@pytest.mark.parametrize("name", COMPOSITIONS)
@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.lists(dots, max_size=5), painted=st.booleans(), undone=st.booleans(), supposed=dots)
def test_a_preview_is_the_answer_to_the_dot(
    name: str, before: list[tuple[str, float, float, int]], painted: bool, undone: bool, supposed: tuple
) -> None:
    session = Session(network(name))
    rng = np.random.default_rng(0)
    for image, size in SIZES.items():
        session.add_image(image, rng.integers(0, 256, (*size, 3), np.uint8))
    for label in ("cup",) if name in TWO_LABELS else ("cup", "plate"):
        session.add_label(label)
    if painted:
        mask = np.zeros(SIZES["a"], bool)
        mask[3:9, 4:10] = True
        session.mask("a", mask, "cup")
    for dot in before:
        session.dot(*placed(session, dot))
    if undone:
        session.undo()
    dot = placed(session, supposed)
    kept = {image: session.segment(image, return_scores=True)[1] for image in SIZES}
    encodes, annotated = session.encodes, {image: session.annotation(image)[1] for image in SIZES}

    found = session.preview(*dot)

    assert {image: session.annotation(image)[1] for image in SIZES} == annotated
    for image in SIZES:
        np.testing.assert_array_equal(session.segment(image, return_scores=True)[1], kept[image])
    assert session.encodes == encodes
    if undone:  # before the dot, which ends what can be done again
        assert session.redo() == bool(painted or before)
        session.undo()
    session.dot(*dot)
    np.testing.assert_array_equal(found, session.segment(dot[0]))
    if session.annotation(dot[0])[1] != annotated[dot[0]]:  # a dot that was there already is no step
        session.undo()
    for image in SIZES:
        np.testing.assert_array_equal(session.segment(image, return_scores=True)[1], kept[image])


def test_a_preview_leaves_what_was_computed(late: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the dot changes is computed, and the answer before it is still there afterwards."""
    late.add_label("cup")
    late.dot("a", 3, 4, "cup")
    late.dot("b", 5, 6, NEGATIVE)
    before = late.segment("a")
    entries = late._predictor.cache.kept()
    scored: list[int] = []
    score = late._predictor._scores
    monkeypatch.setattr(
        late._predictor, "_scores", lambda *args: (scored.extend(args[2]), score(*args))[1], raising=True
    )
    late.preview("a", 20, 30, "cup")
    assert scored == [1]
    assert set(late._predictor.cache.kept()) == set(entries)
    scored.clear()
    np.testing.assert_array_equal(late.segment("a"), before)
    assert scored == []


def test_a_preview_of_the_dot_that_is_there_is_the_answer(late: Session) -> None:
    late.add_label("cup")
    late.dot("a", 3, 4, "cup")
    np.testing.assert_array_equal(late.preview("a", 3, 4, "cup"), late.segment("a"))


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        (("c", 0, 0, NEGATIVE), "no image 'c'"),
        (("a", 37, 0, NEGATIVE), "row 37, column 0 lies outside its 37 x 50 image"),
        (("a", 0, 0, "cup"), "no label 'cup'"),
        (("a", 0, 0, NEGATIVE), "nothing to segment yet"),
    ],
)
def test_previews_that_cannot_be_are_refused(late: Session, where: tuple, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        late.preview(*where)
    assert late.images == ["a", "b"]
    assert not late.undo()

"""Sessions: every image is encoded once, and what they answer is what the network answers to the whole episode."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.networks import COMPOSITIONS, FULL, OWN_IMAGE_ALONE, ask, for_labels, network, same_labels

from guided_seg.errors import UserError
from guided_seg.session import NEGATIVE, Session

DOTS = [("a", 3, 5, "cup"), ("a", 30, 41, NEGATIVE), ("b", 12, 9, "cup"), ("b", 20, 33, "plate"), ("b", 0, 0, NEGATIVE)]


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_an_answer_is_that_of_the_whole_episode(name: str, pictures: dict[str, np.ndarray]) -> None:
    model = for_labels(name, 3)
    assert model.needs_same_image == (name in OWN_IMAGE_ALONE)
    session = Session(model)
    assert session.update_cost == ("full" if name in FULL else "none" if name == "foreground_background" else "head")
    for image, picture in pictures.items():
        session.add_image(image, picture)
    session.add_label("cup")
    session.add_label("plate")
    for count, dot in enumerate(DOTS, 1):
        session.dot(*dot)
        shown: dict[str, list[tuple[int, int, int]]] = {}
        for image, row, column, label in DOTS[:count]:
            shown.setdefault(image, []).append((row, column, session.labels.index(label)))
        for query in pictures:
            labels, scores = session.segment(query, return_scores=True)
            expected = ask(model, pictures, query, shown, 3)
            np.testing.assert_allclose(scores, expected.numpy(), rtol=0, atol=1e-4)  # also where both are -inf
            assert same_labels(labels, expected)


def test_every_image_is_encoded_once(late: Session) -> None:
    late.add_label("cup")
    for row in range(3):
        late.dot("a", row, 0, "cup")
        assert [late.segment(name).shape for name in "ab"] == [(37, 50), (45, 61)]
        assert late.encodes == {"a": 1, "b": 1}


def test_dots_are_replaced_and_removed(late: Session) -> None:
    late.add_label("cup")
    late.dot("a", 3, 4, "cup")
    late.dot("a", 20, 30, NEGATIVE)
    before = late.segment("a")
    late.dot("a", 9, 9, "cup")
    late.dot("a", 3, 4, NEGATIVE)
    late.remove("a", 9, 9)
    late.dot("a", 3, 4, "cup")
    assert (late.segment("a") == before).all()


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_every_network_answers_without_annotations(pictures: dict[str, np.ndarray], name: str) -> None:
    session = Session(network(name))
    session.add_image("a", pictures["a"])
    session.add_label("cup")
    labels, scores = session.segment("a", return_scores=True)
    assert labels.shape == scores.shape[1:] == pictures["a"].shape[:2]
    assert np.isfinite(scores).all()


def test_nothing_has_to_be_shown_yet(late: Session) -> None:
    late.add_label("cup")
    assert set(np.unique(late.segment("a"))) <= {0, 1}
    assert late.segment("a").dtype == np.uint8


def test_an_image_may_be_a_file(tmp_path: Path, late: Session, pictures: dict[str, np.ndarray]) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), pictures["a"][..., ::-1])
    late.add_image("file", tmp_path / "a.png")
    late.add_label("cup")
    late.dot("a", 3, 4, "cup")
    assert (late.segment("file") == late.segment("a")).all()


def test_a_network_of_two_labels_says_what_to_do_with_three(pictures: dict[str, np.ndarray]) -> None:
    session = Session(network("fine_tune"))
    session.add_image("a", pictures["a"])
    session.add_label("cup")
    session.add_label("plate")
    session.dot("a", 1, 1, "plate")
    with pytest.raises(ValueError, match="built for 2 labels and got 3; use k_way=one_vs_rest"):
        session.segment("a")


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda s: s.segment("a"), "nothing to segment yet; add_label"),
        (lambda s: s.segment("c"), "no image 'c'; there are: a, b"),
        (lambda s: s.dot("a", 1, 1, "cup"), "no label 'cup'; labels are negative; add_label"),
        (lambda s: s.dot("a", 37, 0, NEGATIVE), "row 37, column 0 lies outside its 37 x 50 image"),
        (lambda s: s.remove("c", 0, 0), "no image 'c'"),
        (lambda s: s.add_label(NEGATIVE), "a label 'negative' already"),
        (lambda s: s.add_image("a", np.zeros((4, 4, 3), np.uint8)), "an image or video 'a' already"),
        (lambda s: s.add_image("c", np.zeros((4, 4), np.uint8)), r"uint8 \(4, 4\); expected uint8 \(H, W, 3\)"),
        (lambda s: s.add_image("c", np.zeros((4, 4, 3))), "float64"),
        (lambda s: s.add_image("c", "nowhere.jpg"), "nowhere.jpg"),
        (lambda s: list(s.segment_all(batch=0)), "batch=0: expected how many images"),
    ],
)
def test_what_makes_no_sense_is_refused(late: Session, act: Callable[[Session], object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        act(late)


@pytest.mark.parametrize(("batch", "most"), [(1, 1), (2, 2), (3, 2), (100, 3)])
def test_images_of_one_size_are_encoded_together(batch: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    one, together = Session(network("late_global")), Session(network("late_global"))
    for session in (one, together):
        rng = np.random.default_rng(0)
        for number, width in enumerate((20, 24, 20, 20, 24)):
            session.add_image(f"{number}", rng.integers(0, 256, (16, width, 3), np.uint8))
        session.dot("1", 3, 4, session.add_label("it"))
    encode, sizes = together._predictor.encode, []
    monkeypatch.setattr(together._predictor, "encode", lambda images: (sizes.append(len(images)), encode(images))[1])
    for (name, labels), (other, expected) in zip(together.segment_all(batch), one.segment_all(), strict=True):
        assert name == other
        np.testing.assert_array_equal(labels, expected)
    assert together.encodes == one.encodes == dict.fromkeys(map(str, range(5)), 1)
    assert max(sizes) == most


def test_features_that_have_no_room_are_refused_and_the_session_goes_on(pictures: dict[str, np.ndarray]) -> None:
    session = Session(network("late_global"), cache_mb=0.05)
    session.add_image("small", pictures["a"][:16, :16])
    session.dot("small", 3, 4, session.add_label("it"))
    before = session.segment("small")
    session.add_image("large", np.zeros((200, 200, 3), np.uint8))
    with pytest.raises(UserError, match=r"'large' take .* MB and the session may keep 0.05; give it more \(cache_mb\)"):
        session.segment("large")
    np.testing.assert_array_equal(session.segment("small"), before)

"""Refined answers: those of the network in `Refined`, from the features that quick answers use."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.networks import COMPOSITIONS, OWN_IMAGE_ALONE, network, same_labels

from guided_seg.errors import UserError
from guided_seg.model.refine import Refined, patient
from guided_seg.session import NEGATIVE, Session

DOTS = [("a", 3, 5, "cup"), ("a", 30, 41, NEGATIVE), ("b", 12, 9, "cup")]


def annotated(session: Session, pictures: dict[str, np.ndarray], painted: bool) -> Session:
    for name, picture in pictures.items():
        session.add_image(name, picture)
    session.add_label("cup")
    if painted:
        mask = np.zeros(pictures["a"].shape[:2], bool)
        mask[10:20, 12:30] = True
        session.mask("a", mask, "cup")
    for dot in DOTS:
        session.dot(*dot)
    return session


@pytest.mark.parametrize("painted", [False, True])
@pytest.mark.parametrize("name", COMPOSITIONS)
def test_it_is_the_answer_of_the_refined_network(name: str, painted: bool, pictures: dict[str, np.ndarray]) -> None:
    pictures = {**pictures, "c": pictures["a"][::-1, ::-1].copy()}
    quick = annotated(Session(network(name)), pictures, painted)
    slow = annotated(Session(patient(network(name))), pictures, painted)
    for image in pictures:
        before = quick.segment(image)
        found = quick.refined(image)
        assert same_labels(found, torch.from_numpy(slow.segment(image, return_scores=True)[1]))
        np.testing.assert_array_equal(quick.segment(image), before)
    if not network(name).needs_same_image:
        assert quick.encodes == {"a": 1, "b": 1, "c": 1}


def test_its_own_answer_is_shown_to_the_network_once(
    pictures: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = annotated(Session(network("late_global")), pictures, painted=False)
    session.add_label("plate")
    session.dot("b", 2, 2, "plate")
    session.segment("a")
    calls: list[object] = []
    show = session.network.show
    monkeypatch.setattr(session.network, "show", lambda *arguments: calls.append(arguments) or show(*arguments))
    session.refined("a")
    assert len(calls) == 1, "not once for each label"


def test_it_differs_from_the_quick_answer(pictures: dict[str, np.ndarray]) -> None:
    session = annotated(Session(network("fused")), pictures, painted=False)
    assert (session.refined("a") != session.segment("a")).any()


@pytest.mark.parametrize("name", ["late_global", *OWN_IMAGE_ALONE])
def test_the_options_suit_the_network(name: str) -> None:
    ways = patient(network(name))
    assert isinstance(ways, Refined)
    assert (ways.again, ways.margin, ways.connected) == (int(name not in OWN_IMAGE_ALONE), 0.7, True)
    assert ways.zoom is None  # it would encode a further image
    assert not ways.mirror


def test_there_has_to_be_something_to_refine(late: Session) -> None:
    with pytest.raises(UserError, match="nothing to segment yet"):
        late.refined("a")
    with pytest.raises(UserError, match="no image 'c'"):
        late.refined("c")

"""Dots over a mask."""

from __future__ import annotations

import numpy as np
from support.networks import network

from guided_seg.session import NEGATIVE, Session


def test_dots_that_cover_a_whole_mask_leave_nothing_of_its_label() -> None:
    session = Session(network("late_global"))
    session.add_image("a", np.random.default_rng(0).integers(0, 256, (20, 25, 3), np.uint8))
    cat, dog = session.add_label("cat"), session.add_label("dog")
    mask = np.zeros((20, 25), bool)
    mask[4, 5] = True
    session.mask("a", mask, cat)
    session.dot("a", 9, 9, dog)
    before = session.segment("a", return_scores=True)[1]
    session.dot("a", 4, 5, NEGATIVE)
    covered = session.segment("a", return_scores=True)[1]
    assert not np.array_equal(covered, before)
    session.undo()
    assert np.array_equal(session.segment("a", return_scores=True)[1], before)

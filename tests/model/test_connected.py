"""How far an object goes: regions that hold a dot of it."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from guided_seg.model.wrappers.connected import BEYOND, connected

SIZE = (9, 12)
LABELS = st.integers(2, 4)


def scores_of(labels: int, seed: int) -> Tensor:
    return 3 * torch.randn(labels, *SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(labels=LABELS, seed=st.integers(0, 99), dots=st.integers(0, 6))
def test_what_is_left_of_a_label_holds_a_dot_of_it(labels: int, seed: int, dots: int) -> None:
    scores, rng = scores_of(labels, seed), np.random.default_rng(seed)
    shown = torch.zeros(SIZE, dtype=torch.uint8)
    for _ in range(dots):
        shown[rng.integers(SIZE[0]), rng.integers(SIZE[1])] = int(rng.integers(1, labels))
    before, after = scores.argmax(0), connected(scores, shown).argmax(0)
    changed = before != after
    assert (after[changed] == 0).all()
    assert torch.equal(connected(connected(scores, shown), shown).argmax(0), after)
    for label in range(1, labels):
        regions, number = ndimage.label(before == label, np.ones((3, 3)))
        held = {int(region) for region in regions[(shown == label).numpy()]} - {0}
        kept = held or set(range(1, number + 1))
        assert ((after == label).numpy() == np.isin(regions, list(kept))).all()


def test_what_is_dropped_is_surely_negative() -> None:
    scores = torch.zeros(3, 1, 5)
    scores[1, 0, :2] = scores[2, 0, 3:] = scores[1, 0, 4] = 8.0
    shown = torch.tensor([[1, 0, 0, 2, 0]], dtype=torch.uint8)
    found = connected(scores, shown)
    assert torch.equal(found[:, 0, :4], scores[:, 0, :4])
    assert found[:, 0, 4].tolist() == [0.0, -BEYOND, -BEYOND]

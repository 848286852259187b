from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from support.boxes import Boxes

from guided_seg.data.indexed import IndexedSource
from guided_seg.data.source import Sample, Target
from guided_seg.errors import DataError

DRAWS = 4000


class Listed(IndexedSource):
    """Two classes and two videos, one nine times as large as the other, and no files."""

    def __init__(self, balance: float) -> None:
        tables = {name: [Target(f"{name}{i}", 1) for i in range(n)] for name, n in (("rare", 10), ("common", 90))}
        super().__init__("listed", [], tables, tables, balance)

    def load(self, key: object) -> Sample:
        raise NotImplementedError


@pytest.mark.parametrize(("balance", "share"), [(1.0, 0.5), (0.5, 0.25), (0.0, 0.1)])
def test_balance_decides_how_often_a_class_is_drawn(balance: float, share: float) -> None:
    rng, source = np.random.default_rng(0), Listed(balance)
    drawn = Counter(source.sample("semantic", 1, rng).group for _ in range(DRAWS))
    # five standard deviations of a share of DRAWS
    assert drawn["rare"] / DRAWS == pytest.approx(share, abs=5 * (share * (1 - share) / DRAWS) ** 0.5)
    videos = Counter(source.sample("video", 1, rng).group for _ in range(DRAWS))
    assert videos["rare"] / DRAWS == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("balance", [-0.1, 1.5])
def test_a_balance_that_cannot_be_is_refused(balance: float) -> None:
    with pytest.raises(DataError, match=r"data.balance=.*expected a number from 0, .*, to 1, all alike"):
        Listed(balance)


def test_what_tasks_show_is_counted_once() -> None:
    source = Boxes({"a": (1, 2), "b": (2,), "film/0": (3,), "film/1": (1, 3)})
    assert sorted(source.image_keys()) == ["a", "b", "film/0", "film/1"]
    shown = {(target.key, target.value) for target in source.targets()}
    assert shown >= {("a", 1), ("a", 2), ("b", 2), ("film/0", 3), ("film/1", 1), ("film/1", 3)}
    assert len(source.targets()) == len(set(source.targets()))

"""What a new dot costs, as a run measures it."""

from __future__ import annotations

import itertools
import math
import time
from typing import Any

import pytest
from support.commands import TINY, compose_run

from guided_seg.composition.build import build_network
from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisode, EvaluationEpisodes
from guided_seg.data.frozen.freeze import Plan
from guided_seg.data.shapes.shapes import Shapes
from guided_seg.episode import Batch
from guided_seg.errors import BrokenFile
from guided_seg.model.network import Network
from guided_seg.training import update_time
from guided_seg.training.update_time import timed_episode, update_times


@pytest.fixture
def timed() -> tuple[Network, Batch]:
    batch = timed_episode(Shapes("test", size=48), Plan(["semantic"], shots=3))
    assert len(batch) == 1
    assert len(batch.images) == 2  # the query and one shot
    assert len(batch.points) == 10
    return build_network(compose_run(*TINY)).eval(), batch


def test_encoding_is_of_the_query_and_an_update_encodes_nothing(
    timed: tuple[Network, Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, batch = timed
    encoded: list[int] = []
    honest = type(network).encode

    def encode(self: Network, images: Any, sizes: Any) -> Any:
        encoded.append(len(images))
        return honest(self, images, sizes)

    monkeypatch.setattr(type(network), "encode", encode)
    found = update_times(network, batch)
    assert set(found) == {"encode_ms", "update_ms"}
    assert all(0 < milliseconds < 1000 for milliseconds in found.values())
    assert set(encoded) == {1}
    assert len(encoded) == 2 + 23, "the query and the shot once each, and the query again to be timed"


def test_it_is_the_median_in_milliseconds(timed: tuple[Network, Batch], monkeypatch: pytest.MonkeyPatch) -> None:
    network, batch = timed
    clock = iter([0.1 * tick**2 for tick in range(2 * 2 * 23)])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(update_time, "_PATIENCE", math.inf)
    # repetition r takes 0.1 * ((2 r + 1)² - (2 r)²) = 0.4 r + 0.1 seconds; r = 3..22, and the same 23 later
    assert update_times(network, batch) == {"encode_ms": 5100.0, "update_ms": 14300.0}


def test_what_is_slow_is_repeated_less(timed: tuple[Network, Batch], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0.0, 8.0)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert update_times(*timed) == {"encode_ms": 8000.0, "update_ms": 8000.0}
    assert next(clock) == 8.0 * 2 * (3 + 3)


def test_an_episode_that_cannot_be_read_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    honest, plan, source = EvaluationEpisodes.__getitem__, Plan(["interactive"], 2), Shapes("test", size=48)

    def episode(self: EvaluationEpisodes, number: int) -> EvaluationEpisode:
        if number == 0:
            raise BrokenFile("a.jpg")
        return honest(self, number)

    monkeypatch.setattr(EvaluationEpisodes, "__getitem__", episode)
    assert timed_episode(source, plan).metas[0]["index"] == 1
    with pytest.raises(BrokenFile, match=r"a\.jpg"):
        timed_episode(source, Plan(["interactive"], 1))

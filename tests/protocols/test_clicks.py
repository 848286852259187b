"""Clicks on objects, answered by stubs for which NoC can be told beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from support.boxes import Boxes
from support.evaluations import SHAPES, Stub

from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisode, EvaluationEpisodes
from guided_seg.data.frozen.freeze import freeze
from guided_seg.data.source import Source
from guided_seg.episode import IGNORE, Episode
from guided_seg.errors import DataError
from guided_seg.protocols.clicks import Clicks
from guided_seg.protocols.protocol import Row

BOXES = Boxes({"x": (1,), "y": (1, 2)})


def clicks(**values: Any) -> Clicks:
    return Clicks("A rule.", **{"figures": ["NoC@85"], **values})


def asked(protocol: Clicks, source: Source = BOXES) -> list[EvaluationEpisode]:
    items = EvaluationEpisodes(source, freeze(source, "test", protocol.plan))
    return [items[number] for number in range(len(items))]


def places(answers: Stub) -> list[list[list[int]]]:
    """The dots of each answer."""
    found = []
    for episode in answers.asked:
        (shot,) = episode.support
        assert shot.points is not None
        assert shot.is_query
        found.append(shot.points.tolist())
    return found


def ious(row: Row) -> dict[int, float]:
    return {number: row["ious"][number - 1] for number in (1, 3, 5, 10, 20)}


def nocs(row: Row) -> tuple[list[int], list[float]]:
    return [row[f"noc{at}"] for at in (80, 85, 90)], [row[f"nof{at}"] for at in (80, 85, 90)]


def test_a_perfect_network_needs_one_click_in_the_middle() -> None:
    for item in asked(clicks()):
        answers = Stub()
        (row,) = clicks().measure(item, answers)
        assert nocs(row) == ([1, 1, 1], [0, 0, 0])
        assert set(ious(row).values()) == {1}
        (only,) = places(answers)
        assert [label for *_, label in only] == [1]
        assert row["group"] == item.frozen.groups[0]
        expected = {
            "episode": item.number,
            "seed": 0,
            "mode": "interactive",
            "shots": 1,
            "points": "clicks",
            "label": 1,
        }
        assert {key: row[key] for key in expected} == expected


class Never(Stub):
    """Sees nothing, whatever it is shown."""

    def answer(self, item: EvaluationEpisode, episode: Episode) -> np.ndarray:
        return np.zeros_like(item.dense.target.numpy())


def test_a_network_that_never_improves_fails_after_twenty_clicks() -> None:
    for item in asked(clicks()):
        answers = Never()
        (row,) = clicks().measure(item, answers)
        assert nocs(row) == ([20, 20, 20], [1, 1, 1])
        assert set(ious(row).values()) == {0}
        dots = places(answers)
        assert [len(shown) for shown in dots] == list(range(1, 21))
        assert all(before == after[:-1] for before, after in pairwise(dots))
        last = dots[-1]
        assert len({(row, column) for row, column, _ in last}) == 20
        target = item.dense.target.numpy()
        assert all(label == target[row, column] == 1 for row, column, label in last)


class Everything(Stub):
    """Calls all of the image the object."""

    def answer(self, item: EvaluationEpisode, episode: Episode) -> np.ndarray:
        return np.ones_like(item.dense.target.numpy())


def test_void_is_neither_clicked_on_nor_scored() -> None:
    for item in asked(clicks()):
        answers = Everything()
        (row,) = clicks().measure(item, answers)
        target = item.dense.target.numpy()
        assert (target == IGNORE).any()
        first, *others = places(answers)[-1]
        assert first[2] == 1
        assert all(target[row, column] == label == 0 for row, column, label in others)
        assert row["ious"][0] == pytest.approx((target == 1).sum() / (target != IGNORE).sum())


class Slowly(Stub):
    """Finds as many tenths of the object's pixels as there are clicks."""

    def answer(self, item: EvaluationEpisode, episode: Episode) -> np.ndarray:
        object_ = np.flatnonzero(item.dense.target.numpy() == 1)
        found = np.zeros(item.dense.target.shape, np.uint8)
        assert episode.support[0].points is not None
        found.flat[object_[: len(object_) * len(episode.support[0].points) // 10]] = 1
        return found


class Tall(Boxes):
    """An object of 10 x 4 pixels."""

    def load(self, key: Any) -> Any:
        sample = super().load(key)
        sample.labels[sample.labels == 1] = 0
        sample.labels[5:15, 3:7] = 1
        return sample


def test_the_first_click_that_reaches_a_threshold_counts() -> None:
    (item,) = asked(clicks(), Tall({"x": (1,)}))
    answers = Slowly()
    (row,) = clicks().measure(item, answers)
    assert nocs(row) == ([8, 9, 9], [0, 0, 0])
    # nothing is left to click on after ten
    assert ious(row) == pytest.approx({1: 0.1, 3: 0.3, 5: 0.5, 10: 1.0, 20: 1.0})
    assert len(answers.asked) == 10


def test_the_limit_is_a_limit() -> None:
    (item,) = asked(clicks(), Tall({"x": (1,)}))
    answers = Slowly()
    (row,) = clicks(limit=4, thresholds=[30, 85]).measure(item, answers)
    assert (row["noc30"], row["nof30"], row["noc85"], row["nof85"]) == (3, 0, 4, 1)
    assert row["ious"] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert len(answers.asked) == 4
    assert "noc80" not in row


@pytest.mark.parametrize("source", [BOXES, SHAPES], ids=["boxes", "shapes"])
def test_random_clicks_take_turns_and_stay_on_their_label(source: Source) -> None:
    protocol = clicks(strategy="random", episodes=3)
    drawn = []
    for item in asked(protocol, source):
        answers = Never()
        protocol.measure(item, answers)
        last = places(answers)[-1]
        assert [label for *_, label in last] == [1, 0] * 10
        target = item.dense.target.numpy()
        assert all(target[row, column] == label for row, column, label in last)
        assert len({(row, column) for row, column, _ in last}) == 20
        assert sorted(map(tuple, last)) == sorted(item.frozen.support[0].dots)
        drawn.append(tuple(map(tuple, last)))
    assert len(set(drawn)) == 3


def test_random_clicks_go_on_where_all_is_right_and_end_where_a_label_does() -> None:
    class Small(Boxes):
        def load(self, key: Any) -> Any:
            sample = super().load(key)
            sample.labels[sample.labels == 1] = 0
            sample.labels[5, 3:6] = 1
            return sample

    protocol = clicks(strategy="random")
    (item,) = asked(protocol, Small({"x": (1,)}))
    answers = Stub()
    (row,) = protocol.measure(item, answers)
    # three pixels of the object, and three beside it
    assert [label for *_, label in places(answers)[-1]] == [1, 0, 1, 0, 1, 0]
    assert nocs(row) == ([1, 1, 1], [0, 0, 0])


@pytest.mark.parametrize("strategy", ["error", "human", "random"])
def test_only_random_clicks_are_frozen(strategy: str) -> None:
    assert clicks(strategy=strategy, limit=7).plan.points == {"error": 0, "human": 0, "random": 4}[strategy]


class Deaf(Slowly):
    """As `Slowly`, but says the opposite at the pixel of every second click."""

    def answer(self, item: EvaluationEpisode, episode: Episode) -> np.ndarray:
        found = super().answer(item, episode)
        dots = episode.support[0].points
        assert dots is not None
        for number, (row, column, label) in enumerate(dots.tolist()):
            found[row, column] = label if number % 2 == 0 else 1 - label
        return found


@pytest.mark.parametrize("strategy", ["error", "random"])
def test_a_click_is_honoured_if_its_pixel_has_its_label_in_the_answer_to_it(strategy: str) -> None:
    (item,) = asked(clicks(strategy=strategy), Tall({"x": (1,)}))
    (row,) = clicks(strategy=strategy, limit=6, figures=["NoC@85"]).measure(item, Deaf())
    assert row["clicks"] == 6
    assert row["honoured"] == [1, 0, 1, 0, 1, 0]


def test_clicks_that_were_not_made_are_not_counted() -> None:
    (item,) = asked(clicks(), Tall({"x": (1,)}))
    (row,) = clicks().measure(item, Stub())
    assert row["clicks"] == 1
    assert row["ious"] == [1.0] * 20
    assert row["honoured"] == [1, *[0] * 19]


def test_people_are_the_same_again_and_each_seed_is_another() -> None:
    protocol = clicks(strategy="human", seeds=[0, 1], limit=8)
    made = []
    for item in asked(protocol, Tall({"x": (1,)})):
        answers, again = Slowly(), Slowly()
        assert protocol.measure(item, answers) == protocol.measure(item, again)
        assert places(answers) == places(again)
        target = item.dense.target.numpy()
        last = places(answers)[-1]
        assert all(label == target[row, column] for row, column, label in last)
        assert len({(row, column) for row, column, _ in last}) == 8
        made.append(last)
    assert made[0] != made[1]


def test_people_without_jitter_and_bias_click_the_deepest_points() -> None:
    (item,) = asked(clicks(), Tall({"x": (1,)}))
    exact, person = Slowly(), Slowly()
    clicks().measure(item, exact)
    clicks(strategy="human", jitter=0.0, bias=0.0).measure(item, person)
    assert places(exact) == places(person)


def test_the_last_answer_is_kept() -> None:
    kept: list[tuple[int, str, np.ndarray]] = []
    (item,) = asked(clicks(), Tall({"x": (1,)}))
    clicks(limit=3).measure(item, Slowly(), lambda q, setting, labels: kept.append((q.number, setting, labels)))
    ((number, setting, labels),) = kept
    assert (number, setting, labels.sum()) == (0, "clicks", 12)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"strategy": "eror"}, "strategy=eror: expected error, human or random"),
        ({"limit": 0}, r"limit=0, thresholds=\[80, 85, 90\]: expected a number of clicks from 1, and percentages"),
        ({"thresholds": [0]}, r"limit=20, thresholds=\[0\]"),
        ({"thresholds": [101]}, r"limit=20, thresholds=\[101\]"),
        ({"thresholds": [80, 90]}, "The figure 'NoC@85' is of 'noc85', and only noc80, nof80, noc90"),
        ({"figures": ["NoC@86"]}, "There is no figure 'NoC@86'; did you mean 'NoC@8"),
        ({"figures": ["J"]}, "The figure 'J' is of 'j', and only noc80"),
        ({"episodes": 0}, "episodes=0: expected a whole number from 1"),
        ({"size": [0, 40]}, r"size=\[0, 40\]: expected \[height, width\] in pixels"),
        ({"jitter": -1.0}, r"jitter=-1.0, bias=0.3: expected shares of the depth of an error, from 0"),
        ({"bias": float("inf")}, r"jitter=0.5, bias=inf: expected shares"),
        ({"size": [40]}, r"size=\[40\]: expected \[height, width\] in pixels"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        clicks(**values)


def test_columns_are_those_that_figures_are_of() -> None:
    everything: Sequence[str] = [f"{name}@{at}" for name in ("NoC", "NoF") for at in (80, 85, 90)]
    at = [f"{name}@{number}" for name in ("IoU", "honoured") for number in (1, 2, 3, 5, 10, 20)]
    changes = [f"change@{number}" for number in (2, 3, 5, 10, 20)]
    clicks(figures=[*everything, *at, *changes, "honoured", "falls", "worst_change"])

"""Protocols of masks: what is asked, what is measured of each answer, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.boxes import Boxes
from support.evaluations import Stub

from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisode, EvaluationEpisodes
from guided_seg.data.frozen.freeze import freeze
from guided_seg.data.source import MODES
from guided_seg.episode import IGNORE, Episode
from guided_seg.errors import UserError
from guided_seg.metrics.j_and_f import contour_accuracy
from guided_seg.protocols.protocol import Masks, Row

BOXES = Boxes({f"{name}/{i}": values for name, values in {"a": (1, 2), "b": (2, 3)}.items() for i in range(4)})


def masks(**values: Any) -> Masks:
    return Masks("A rule.", **{"modes": MODES, "shots": [1], "points": [2], "figures": ["J"], **values})


def asked(protocol: Masks) -> list[EvaluationEpisode]:
    items = EvaluationEpisodes(BOXES, freeze(BOXES, "test", protocol.plan), protocol.size)
    return [items[number] for number in range(len(items))]


class Noise(Stub):
    """Another random answer for every item and every version of it."""

    def answer(self, item: EvaluationEpisode, episode: Episode) -> np.ndarray:
        rng = np.random.default_rng((item.number, len(self.asked)))
        return rng.integers(0, episode.num_labels, item.dense.target.shape, np.uint8)


def counted(found: np.ndarray, target: np.ndarray, label: int) -> dict[str, float]:
    """What is measured of a label, a pixel at a time."""
    counts = dict.fromkeys(("fg_i", "fg_u", "bg_i", "bg_u"), 0)
    for ours, true in zip(found.ravel() == label, target.ravel(), strict=True):
        if true != IGNORE:
            counts["fg_i"] += bool(ours and true == label)
            counts["fg_u"] += bool(ours or true == label)
            counts["bg_i"] += bool(not ours and true != label)
            counts["bg_u"] += bool(not ours or true != label)
    return {**counts, "j": counts["fg_i"] / counts["fg_u"] if counts["fg_u"] else 1.0}


@pytest.mark.parametrize("objects", [1, 3])
def test_every_version_of_a_question_is_measured(objects: int) -> None:
    protocol = masks(shots=[1, 2], points=[1, 3, "dense"], contours=True, objects=objects, episodes=4)
    for item in asked(protocol):
        answers, kept = Noise(), dict[str, np.ndarray]()
        rows = protocol.measure(item, answers, lambda _, name, labels, kept=kept: kept.update({name: labels}))
        shots = [1] if item.frozen.mode == "interactive" else [s for s in (1, 2) if item.with_setting(s, 1)]
        settings = [(s, p) for s in shots for p in ("1", "3", "dense")]
        assert list(kept) == [f"s{s}_p{p}" for s, p in settings]
        assert [(row["shots"], row["points"], row["label"]) for row in rows] == [
            (s, p, label) for s, p in settings for label in range(1, item.dense.num_labels)
        ]
        for (s, p), episode in zip(settings, answers.asked, strict=True):
            assert len(episode.support) == s * item.frozen.ways
            for shot in episode.support:
                dots = shot.points if p == "dense" else shot.points[:, 2].bincount()[0]
                assert dots == (None if p == "dense" else int(p))
        target = item.dense.target.numpy()
        for row in rows:
            found = kept[f"s{row['shots']}_p{row['points']}"]
            expected = counted(found, target, row["label"])
            assert {key: row[key] for key in expected} == expected
            void = target == IGNORE
            assert row["f"] == contour_accuracy(found == row["label"], target == row["label"], void)
            assert row["group"] == item.frozen.groups[row["label"] - 1]
            assert (row["episode"], row["mode"], row["seed"]) == (item.number, item.frozen.mode, 0)


def test_contours_are_measured_on_request() -> None:
    (row, *_) = masks().measure(asked(masks())[0], Stub())
    assert "f" not in row
    assert row["j"] == 1


def test_the_last_frame_is_answered_and_not_scored() -> None:
    for skip in (False, True):
        protocol, scored, kept = masks(modes=["video"], skip_last=skip), list[Row](), list[int]()
        items = asked(protocol)
        for item in items:
            scored += protocol.measure(item, Stub(), lambda q, *_, kept=kept: kept.append(q.number))
        assert kept == list(range(12))  # three frames of each of four objects
        frames = [items[row["episode"]].frozen.query.key for row in scored]
        assert [frame.endswith("3") for frame in frames] == [False, False, *([] if skip else [True])] * 4


def test_answers_are_scored_at_the_size_that_is_asked() -> None:
    protocol = masks(modes=["semantic"], episodes=1, size=[20, 50])
    assert protocol.size == (20, 50)
    (item,) = asked(protocol)
    answers = Stub()
    (row,) = protocol.measure(item, answers)
    assert answers.asked[0].query.shape == (3, 20, 50)
    assert row["bg_u"] + row["fg_u"] == (item.dense.target != IGNORE).sum()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"figures": ["class_miuo"]}, "There is no figure 'class_miuo'; did you mean 'class_miou'"),
        (
            {"figures": ["F"]},
            "The figure 'F' is of 'f', and only fg_i, fg_u, bg_i, bg_u, j are measured; .*contours=true",
        ),
        ({"figures": ["NoC@85"]}, "The figure 'NoC@85' is of 'noc85'"),
        ({"figures": []}, r"figures=\[\]: expected at least one of"),
        ({"unit": "group"}, "unit=group: expected episodes or groups"),
        ({"modes": ["vidoe"]}, "no mode 'vidoe'; choose from interactive, semantic, video"),
        ({"modes": []}, r"modes=\[\], .*: expected at least one"),
        ({"shots": []}, r"shots=\[\], points=\[2\]: expected at least one of each"),
        ({"shots": [0]}, r"shots=\[0\]"),
        ({"points": []}, r"points=\[\]"),
        ({"points": [0]}, r"points=\[0\]: 0 is neither a whole number from 1 nor dense"),
        ({"points": ["dens"]}, "dens is neither a whole number from 1 nor dense"),
        ({"draw": "radnom", "episodes": 2}, "draw=radnom: expected spread or random"),
        ({"size": [400]}, r"size=\[400\]: expected \[height, width\] in pixels, or null"),
        ({"objects": 0}, "objects=0: expected a whole number from 1"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        masks(**values)


def test_figures_that_can_be() -> None:
    masks(figures=["positive_iou", "class_miou", "fb_iou", "J", "F", "J&F"], contours=True)

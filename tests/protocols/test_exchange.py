"""Tasks with + and - exchanged: the same episodes and dots, and the complement of the object."""

from __future__ import annotations

import numpy as np
import pytest
from support.boxes import Boxes
from support.commands import compose_evaluation
from support.evaluations import SHAPES, Stub

from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisode, EvaluationEpisodes
from guided_seg.data.frozen.freeze import freeze
from guided_seg.data.source import Source
from guided_seg.episode import IGNORE, Episode
from guided_seg.errors import DataError
from guided_seg.protocols.evaluation import build_protocol
from guided_seg.protocols.protocol import Masks

BOXES = Boxes({"x": (1,), "y": (1, 2)})
VIDEO = Boxes({"v/0": (1, 2), "v/1": (1,), "v/2": (2,)})


def masks(mode: str, exchange: bool, **values: object) -> Masks:
    return Masks("A rule.", [mode], [1], [2, "dense"], ["mean_iou"], exchange=exchange, **values)  # type: ignore[arg-type]


def asked(protocol: Masks, source: Source) -> list[EvaluationEpisode]:
    items = EvaluationEpisodes(source, freeze(source, "test", protocol.plan))
    return [items[number] for number in range(len(items))]


class Everything(Stub):
    """Calls all of the image the positive."""

    def answer(self, item: EvaluationEpisode, episode: Episode) -> np.ndarray:
        return np.ones_like(item.dense.target.numpy())


@pytest.mark.parametrize(("mode", "source"), [("interactive", BOXES), ("video", VIDEO), ("interactive", SHAPES)])
def test_dots_masks_and_targets_are_those_of_the_task_exchanged(mode: str, source: Source) -> None:
    plain, other = masks(mode, False), masks(mode, True)
    for item, same in zip(asked(plain, source), asked(other, source), strict=True):
        assert item.frozen == same.frozen
        answers, exchanged = Stub(), Stub()
        plain.measure(item, answers)
        rows = other.measure(item, exchanged)
        assert all(row["j"] == 1 for row in rows)
        for one, two in zip(answers.asked, exchanged.asked, strict=True):
            assert two.num_labels == 2
            assert_exchanged(one.target.numpy(), two.target.numpy())
            for shot, again in zip(one.support, two.support, strict=True):
                assert again.image is shot.image
                assert again.is_query == shot.is_query
                if shot.points is None:
                    assert shot.mask is not None
                    assert again.mask is not None
                    assert_exchanged(shot.mask.numpy(), again.mask.numpy())
                else:
                    assert again.points is not None
                    swapped = [[row, column, 1 - label] for row, column, label in shot.points.tolist()]
                    assert sorted(again.points.tolist()) == sorted(swapped)


def assert_exchanged(one: np.ndarray, two: np.ndarray) -> None:
    assert ((one == IGNORE) == (two == IGNORE)).all()
    assert (one[one != IGNORE] + two[two != IGNORE] == 1).all()


def test_the_iou_is_that_of_the_background() -> None:
    protocol = masks("interactive", True)
    for item in asked(protocol, BOXES):
        target = item.dense.target.numpy()
        share = (target == 0).sum() / (target != IGNORE).sum()
        rows = protocol.measure(item, Everything())
        assert [row["j"] for row in rows] == pytest.approx([share, share])
        assert [row["fg_i"] for row in rows] == [(target == 0).sum()] * 2


def test_exchanging_twice_is_the_task_itself() -> None:
    for item in asked(masks("interactive", True), BOXES):
        again = item.exchanged().exchanged()
        assert (again.dense.target == item.dense.target).all()
        assert [dots.tolist() for dots in again.dots] == [dots.tolist() for dots in item.dots]


def test_the_complements_are_those_of_the_tasks_of_instances() -> None:
    cfg = compose_evaluation("any", "protocol=[instances,complement]")
    one, two = (build_protocol(cfg, name) for name in ("instances", "complement"))
    assert one.plan == two.plan
    assert (one.figures, one.unit, one.size) == (two.figures, two.unit, two.size)


def test_several_objects_have_no_complement() -> None:
    with pytest.raises(DataError, match="exchange=true is for tasks of one object and objects=2; choose objects=1"):
        masks("interactive", True, objects=2)

"""The experiment on the cost of annotating: outlines by hand, simulated clicks, and the sums of its table."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from jaxtyping import UInt8
from support.scripts import script

from guided_seg.session import Session

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "experiments" / "annotation_cost" / "measure.py"


@pytest.fixture(scope="module")
def cost() -> ModuleType:
    return script("annotation_cost/measure")


def disk(radius: int) -> UInt8[np.ndarray, "H W"]:
    rows, columns = np.ogrid[:120, :160]
    return ((rows - 60) ** 2 + (columns - 80) ** 2 <= radius**2).astype(np.uint8)


def test_a_rectangle_takes_four_vertices(cost: ModuleType) -> None:
    target = np.zeros((60, 80), np.uint8)
    target[10:40, 20:70] = 1
    assert cost.polygons(target, 1.0) == 4


def test_a_finer_outline_takes_more_vertices(cost: ModuleType) -> None:
    found = [cost.polygons(disk(40), least) for least in (0.6, 0.85, 0.95)]
    assert 3 <= found[0] < found[1] < found[2] < 40


def test_a_hole_is_outlined_where_it_matters(cost: ModuleType) -> None:
    ring = disk(40) - disk(20)
    solid = ring.copy()
    solid[disk(20) == 1] = 255  # void: nobody asks whether there is a hole
    assert cost.polygons(ring, 0.85) > cost.polygons(solid, 0.85)


class Answers(Session):
    """A session that knows the object after three clicks, and half of it before."""

    def __init__(self, target: UInt8[np.ndarray, "H W"]) -> None:
        self.target, self.set = target, list[tuple[int, int, str | int]]()

    def add_label(self, name: str) -> int:
        return 1

    def dot(self, image_id: str, row: int, column: int, label: str | int) -> None:
        self.set.append((row, column, label))

    def refined(self, image_id: str) -> UInt8[np.ndarray, "H W"]:
        if len(self.set) >= 3:
            return self.target
        half = self.target.copy()
        half[:, :80] = 0
        return half


def test_it_clicks_until_the_target_is_reached(cost: ModuleType) -> None:
    session = Answers(disk(40))
    clicks, steps = cost.Annotator(session, {"a": disk(40)}, "cow").correct("a", 0.9, guided=False)
    assert len(clicks) == len(session.set) == 3
    assert session.set[0] == (60, 80, "cow")
    assert [step.iou for step in steps[::3]] == [0.0, 1.0]
    row = cost._row("a", 0.9, "alone", steps)
    assert (row.clicks, row.reached, row.start) == (3, True, 0.0)
    assert cost._row("a", 0.4, "alone", steps).clicks == 1


def test_a_guided_answer_that_is_good_enough_takes_no_click(cost: ModuleType) -> None:
    session = Answers(disk(40))
    clicks, steps = cost.Annotator(session, {"a": disk(40)}, "cow").correct("a", 0.4, guided=True)
    assert (clicks, session.set, len(steps)) == ([], [], 1)


def test_an_image_that_dots_do_not_finish_is_outlined_as_well(cost: ModuleType) -> None:
    def row(way: str, clicks: int, reached: bool) -> object:
        return cost.Row("a", 0.9, way, 0.0, clicks, reached, 0.0)

    of = {"hand": [row("hand", 30, True)], "alone": [row("alone", 20, False)], "rest5": [row("rest5", 4, True)]}
    assert cost._clicks(of, "alone") == [50]
    assert cost._clicks(of, "rest5", 3) == pytest.approx([(5 * 33 + 995 * 33) / 1000])
    assert cost._clicks(of, "rest5") == pytest.approx([(5 * 50 + 995 * 4) / 1000])


def test_the_table_of_the_docs_is_that_of_the_results(cost: ModuleType) -> None:
    text = cost.table(cost.read()).markdown("bare")
    assert cost.TABLE.read_text(encoding="utf-8") == text
    assert text in (ROOT / "docs" / "segment.md").read_text(encoding="utf-8")

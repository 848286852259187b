"""Two networks side by side in a real browser: the same one twice, which has to agree, and one that differs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser
from support.browser import Visit, page_server
from support.evaluations import write_checkpoint

from guided_seg.app.opening import SAMPLES

pytestmark = pytest.mark.slow

CUP, TABLE = (150, 300), (30, 560)
"""Rows and columns of things on the photo of a cup."""

AGREEMENT = """
([height, width]) => {
  let [agree, objects] = [0, 0];
  for (let row = 0; row < height; row += 4)
    for (let column = 0; column < width; column += 4) {
      agree += window.guided.maskAt(row, column) === window.guided.otherAt(row, column);
      objects += window.guided.otherAt(row, column) === 1;
    }
  return [agree, objects];
}"""


@pytest.fixture(params=["guided-lite0", "untrained"])
def name(request: pytest.FixtureRequest) -> str:
    """What the second network is called."""
    return str(request.param)


@pytest.fixture
def visit(driven: Browser, name: str, tmp_path: Path) -> Iterator[Visit]:
    other: str | Path = name
    if name == "untrained":
        (tmp_path / name).mkdir()
        other = write_checkpoint(tmp_path / name / "best.ckpt", "+experiment=late_global")
    with page_server(SAMPLES, state=tmp_path / "state", options=(f"compare={other}",)) as (address, _):
        made = Visit(driven, address, "main")
        yield made
        made.context.close()
    assert made.errors == []


def until_compared(visit: Visit, after: int) -> None:
    visit.until("n => window.guided.lastPaint.of === 'other' && window.guided.lastPaint.n > n", after)


def number(visit: Visit) -> int:
    """The number of the message that was answered last."""
    return int(visit.page.evaluate("window.guided.lastPaint.n"))


def middle(visit: Visit) -> np.ndarray:
    """What the canvas shows between the names and the divider, which are at its borders."""
    return visit.seen()[60:, 20:-20]


def test_two_networks_side_by_side(visit: Visit, name: str) -> None:
    same = name == "guided-lite0"
    visit.show("coffee")
    empty = middle(visit)
    visit.click(CUP)
    before = number(visit)
    visit.page.keyboard.press("c")
    until_compared(visit, before)
    shown = [visit.by(f"network-{each}").inner_text() for each in ("first", "second")]
    assert shown == (["A: guided-lite0/model", "B: guided-lite0/model"] if same else ["guided-lite0", name])

    before = number(visit)
    visit.click(TABLE, button="right")
    until_compared(visit, before)
    height, width = 400, 600
    agree, objects = visit.page.evaluate(AGREEMENT, [height, width])
    assert (agree == height * width // 16) == same
    assert objects > 100

    divider = visit.by("divider")
    assert divider.get_attribute("aria-valuenow") == "50"
    seen = {}
    for key, expected in (("ArrowLeft", "48"), ("Home", "0"), ("End", "100")):
        divider.press(key)
        assert divider.get_attribute("aria-valuenow") == expected
        visit.page.wait_for_timeout(100)
        seen[key] = middle(visit)
    assert np.array_equal(seen["Home"], seen["End"]) == same, "right of the divider is the answer of the second"
    assert (np.abs(seen["Home"] - empty).sum(-1) > 24).mean() > 0.02, "and it is seen"

    stage = visit.by("stage").bounding_box()
    visit.page.mouse.move(stage["x"] + stage["width"] - 2, stage["y"] + 100)
    visit.page.mouse.down()
    visit.page.mouse.move(stage["x"] + stage["width"] / 4, stage["y"] + 100, steps=3)
    visit.page.mouse.up()
    assert divider.get_attribute("aria-valuenow") == "25"

    visit.by("compare").click()
    assert divider.is_hidden()

"""The page on a phone, by touch: taps, long touches, two fingers, and what can be reached at its sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser
from support.browser import Visit, need_chromium, page_server

from guided_seg.app.opening import SAMPLES

pytestmark = pytest.mark.slow

CUP, TABLE, SPOON = (150, 300), (30, 560), (300, 420)
"""Rows and columns of things on the photo of a cup."""

UPRIGHT, LYING = (390, 844), (844, 390)

OUT_OF_REACH = """
() => {
  const found = [];
  for (const each of document.querySelectorAll("button, summary, select, input:not([type=file])")) {
    if (each.closest("dialog, #strip, #labels, #options, [hidden]") || !each.checkVisibility()) continue;
    const { left, top, right, bottom } = each.getBoundingClientRect();
    const name = each.id || each.textContent;
    if (left < 0 || top < 0 || right > innerWidth || bottom > innerHeight) found.push(`${name} is cut off`);
    const over = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    if (over && !each.contains(over)) found.push(`${name} is below ${over.id || over.className}`);
    if (right - left < 36 || bottom - top < 32) found.push(`${name} is small`);
    if (each.scrollWidth > each.clientWidth + 1 && each.tagName !== "INPUT") found.push(`${name} is clipped`);
  }
  return found;
}"""
"""What of the page cannot be touched well; lists that scroll are left out."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    need_chromium()
    with page_server(SAMPLES, state=tmp_path_factory.mktemp("state")) as (found, _):
        yield found


class Phone(Visit):
    """A page on a phone, with the fingers on it."""

    def __init__(self, driven: Browser, address: str, name: str, size: tuple[int, int]) -> None:
        super().__init__(driven, address, name, viewport=size, has_touch=True, is_mobile=True)
        self._fingers = self.context.new_cdp_session(self.page)

    def touch(self, kind: str, *points: tuple[float, float]) -> None:
        """Fingers at these places of the screen: start, move or end; those that are not named are lifted."""
        content: Any = {
            "type": f"touch{kind}",
            "touchPoints": [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)],
        }
        self._fingers.send("Input.dispatchTouchEvent", content)

    def press(self, pixel: tuple[int, int], milliseconds: int = 40) -> None:
        """Touch a pixel for a while, and wait until the answer is painted."""
        before = self.painted()
        self.touch("Start", self.at(pixel))
        self.page.wait_for_timeout(milliseconds)
        self.touch("End")
        self.until_painted(before)

    def dots(self) -> list[list[int]]:
        return list(self.page.evaluate("window.guided.dots"))


@pytest.fixture
def phone(driven: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Phone]:
    name = "".join(each if each.isalnum() and each.isascii() else "-" for each in request.node.name.lower())[:40]
    made = Phone(driven, address, name, getattr(request, "param", UPRIGHT))
    made.show("coffee")
    yield made
    made.context.close()
    assert made.errors == []


def near(dot: list[int], pixel: tuple[int, int], label: int) -> bool:
    """Whether it is the dot, within the two pixels of the image that one of the screen may be."""
    return dot[2] == label and abs(dot[0] - pixel[0]) <= 2 and abs(dot[1] - pixel[1]) <= 2


def test_a_tap_is_the_object_and_a_long_touch_is_not(phone: Phone) -> None:
    phone.press(CUP)
    assert phone.label_at(CUP) == 1
    phone.press(TABLE, 800)
    upper, lower = phone.dots()
    assert near(upper, TABLE, 0)
    assert near(lower, CUP, 1)
    phone.press(CUP)
    assert len(phone.dots()) == 1, "a tap on a dot removes it"


def test_a_dot_is_dragged(phone: Phone) -> None:
    phone.press(CUP)
    before = phone.painted()
    (x, y), (to_x, to_y) = phone.at(CUP), phone.at(SPOON)
    phone.touch("Start", (x, y))
    for step in range(1, 9):
        phone.touch("Move", (x + (to_x - x) * step / 8, y + (to_y - y) * step / 8))
    phone.touch("End")
    phone.until_painted(before)
    (dot,) = phone.dots()
    assert near(dot, SPOON, 1)


def test_two_fingers_zoom_and_one_pans(phone: Phone) -> None:
    view = phone.page.evaluate("window.guided.view")
    x, y = phone.at(CUP)
    phone.touch("Start", (x - 20, y))
    phone.touch("Start", (x - 20, y), (x + 20, y))
    for apart in range(24, 64, 4):
        phone.touch("Move", (x - apart, y), (x + apart, y))
    phone.touch("End", (x - 60, y))
    phone.touch("End")
    zoomed = phone.page.evaluate("window.guided.view")
    assert zoomed["scale"] == pytest.approx(3 * view["scale"], rel=0.05)
    assert phone.at(CUP) == pytest.approx((x, y), abs=3), "what is between the fingers stays there"
    phone.touch("Start", (x, y))
    for step in range(1, 6):
        phone.touch("Move", (x - 12 * step, y + 8 * step))
    phone.touch("End")
    panned = phone.page.evaluate("window.guided.view")
    assert (panned["x"] - zoomed["x"], panned["y"] - zoomed["y"]) == pytest.approx((-60, 40), abs=2)
    phone.page.wait_for_timeout(700)
    assert phone.dots() == [], "neither sets a dot"
    phone.press(SPOON)
    assert near(phone.dots()[0], SPOON, 1)


@pytest.mark.parametrize("tool", ["scribble", "box"])
def test_tools_draw_by_touch(phone: Phone, tool: str) -> None:
    phone.by(f"tool-{tool}").tap()
    before = phone.painted()
    (x, y), (to_x, to_y) = phone.at((100, 220)), phone.at((200, 380))
    phone.touch("Start", (x, y))
    for step in range(1, 9):
        phone.touch("Move", (x + (to_x - x) * step / 8, y + (to_y - y) * step / 8))
    phone.touch("End")
    phone.until_painted(before)
    assert len(phone.dots()) > 3


@pytest.mark.parametrize("phone", [UPRIGHT, LYING], indirect=True, ids=str)
def test_the_options_are_closed(phone: Phone) -> None:
    options = phone.page.locator("#options")

    def escape() -> None:
        phone.by("opacity").focus()
        phone.page.keyboard.press("Escape")

    for leave in (phone.by("options-close").tap, escape, phone.by("export").tap):
        phone.by("options-button").tap()
        options.wait_for()
        leave()
        options.wait_for(state="hidden")
        assert phone.by("options-button").get_attribute("aria-expanded") == "false"
    phone.by("export-coco").click(trial=True)
    phone.by("options-button").tap()
    phone.by("export-coco").wait_for(state="hidden")
    close, view = phone.by("options-close").bounding_box(), phone.by("view-cutout").bounding_box()
    assert close["y"] + close["height"] <= view["y"], "it lies over nothing"


@pytest.mark.parametrize("phone", [UPRIGHT, LYING, (320, 568), (667, 375)], indirect=True, ids=str)
def test_everything_can_be_reached(phone: Phone) -> None:
    phone.press(CUP)
    assert phone.page.evaluate(OUT_OF_REACH) == []
    phone.by("next").tap()
    phone.by("question").wait_for()
    assert "Tap = object, long touch = not" in phone.by("question").inner_text()
    phone.by("options-button").tap()
    for name in ("view-similarity", "opacity", "fill", "mask", "clear-all"):
        phone.by(name).scroll_into_view_if_needed()
        phone.by(name).click(trial=True)
    phone.by("options-button").tap()
    phone.by("options-button").click(trial=True)
    assert phone.by("clear-all").is_hidden()
    phone.page.locator('[data-testid="shot"][data-image^="clip"]').tap()
    phone.by("timeline").wait_for()
    assert phone.page.evaluate(OUT_OF_REACH) == []
    for name in ("label-rename", "label-name"):
        phone.by(name).first.scroll_into_view_if_needed()
        phone.by(name).first.click(trial=True)

"""The page in a real browser: what people do with it, from the first click to the export."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Route
from support.browser import Visit, need_chromium, page_server
from support.pages import write_image

from guided_seg.app.opening import SAMPLES
from guided_seg.session import Session

pytestmark = pytest.mark.slow

CUP, TABLE, SPOON = (150, 300), (30, 560), (300, 420)
"""Rows and columns of things on the photo of a cup."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    need_chromium()
    state = tmp_path_factory.mktemp("state")
    with page_server(SAMPLES, state=state) as (found, _):
        yield found


@pytest.fixture
def visit(driven: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A page of its own for each test."""
    name = "".join(each if each.isalnum() and each.isascii() else "-" for each in request.node.name.lower())[:40]
    made = Visit(driven, address, name)
    yield made
    made.context.close()
    assert made.errors == []


def test_a_click_selects_and_a_right_click_takes_away(visit: Visit) -> None:
    visit.show("coffee")
    empty = visit.seen()
    visit.click(CUP)
    assert visit.label_at(CUP) == 1
    changed = np.abs(visit.seen() - empty).sum(-1) > 24
    assert changed.mean() > 0.02, "the mask is seen"
    visit.click(TABLE, button="right")
    assert visit.label_at(TABLE) == 0
    assert visit.label_at(CUP) == 1


def test_the_page_shows_what_a_session_says(visit: Visit) -> None:
    visit.show("coffee")
    visit.by("refine").click()  # the quick answer is compared
    visit.click(CUP)
    visit.click(TABLE, button="right")
    session = Session.load("guided-lite0", precision="auto")
    session.add_image("coffee", SAMPLES / "coffee.jpg")
    label = session.add_label("object")
    session.dot("coffee", *CUP, label)
    session.dot("coffee", *TABLE, 0)
    labels = session.segment("coffee")
    shown = visit.page.evaluate(
        "([h, w]) => Array.from({length: h * w}, (_, i) => window.guided.maskAt(Math.floor(i / w) * 8, (i % w) * 8))",
        [labels.shape[0] // 8, labels.shape[1] // 8],
    )
    expected = labels[: labels.shape[0] // 8 * 8 : 8, : labels.shape[1] // 8 * 8 : 8]
    # the dots may be a pixel off, as the browser rounds where the mouse is
    assert (np.array(shown).reshape(expected.shape) == expected).mean() > 0.99


def test_the_refined_answer_follows_by_itself(visit: Visit) -> None:
    visit.show("coffee")
    visit.click(CUP)
    visit.until("window.guided.lastRefined !== null")
    visit.until("() => !document.getElementById('refined').hidden")
    visit.by("refine").click()
    before = visit.page.evaluate("window.guided.lastRefined.n")
    visit.click(TABLE, button="right")
    visit.page.wait_for_timeout(1000)
    assert visit.page.evaluate("window.guided.lastRefined.n") == before, "it is switched off"
    visit.by("refine").click()
    visit.until("n => window.guided.lastRefined.n > n", before)


def until_refined(visit: Visit, after: int = 0) -> int:
    """Wait until a refined answer is painted, later than that to message ``after``; the number of its message."""
    visit.until(
        "n => window.guided.lastRefined?.n > n && !document.getElementById('refined').hidden",
        after,
    )
    return int(visit.page.evaluate("window.guided.lastRefined.n"))


def test_refined_is_said_of_refined_answers_alone(visit: Visit) -> None:
    visit.show("chelsea")
    visit.click((150, 225))
    until_refined(visit)

    def late(route: Route) -> None:
        time.sleep(1)  # the answer comes before the pixels
        route.continue_()

    visit.page.route(re.compile(r"/image/rocket\?v="), late)
    visit.show("rocket")
    assert visit.by("refined").is_hidden()


def test_an_image_with_dots_is_refined_when_it_is_shown_again(visit: Visit) -> None:
    visit.show("coffee")
    visit.click(CUP)
    first = until_refined(visit)
    visit.show("rocket")
    visit.show("coffee")
    second = until_refined(visit, first)
    visit.show("rocket")
    visit.page.wait_for_timeout(1000)
    assert visit.page.evaluate("window.guided.lastRefined.n") == second, "it has no dots"
    visit.show("coffee")
    until_refined(visit, second)
    visit.by("saved").wait_for()
    visit.page.reload()
    visit.by("shot").first.wait_for()
    visit.show("coffee")
    until_refined(visit)


def test_clicks_reach_the_image_below_the_progress(visit: Visit) -> None:
    visit.show("coffee")
    found = visit.page.evaluate(
        """() => {
            const shown = document.getElementById("progress");
            shown.hidden = false;
            return ["progress-bar", "cancel"].map((id) => {
                const { x, y, width, height } = document.getElementById(id).getBoundingClientRect();
                return document.elementFromPoint(x + width / 2, y + height / 2).closest("canvas, button").id;
            });
        }"""
    )
    assert found == ["stage", "cancel"]


def test_hovering_shows_what_a_dot_would_do(visit: Visit) -> None:
    visit.show("coffee")
    visit.click(CUP)
    before = visit.painted()
    visit.page.mouse.move(*visit.at(SPOON))
    visit.until_painted(before, "preview")


def test_dots_are_moved_removed_and_brought_back(visit: Visit) -> None:
    visit.show("coffee")
    visit.click(CUP)
    full = visit.label_at(CUP)
    before = visit.painted()
    visit.page.mouse.move(*visit.at(CUP))
    visit.page.mouse.down()
    visit.page.mouse.move(*visit.at(TABLE), steps=4)
    visit.page.mouse.up()
    visit.until_painted(before)
    assert visit.label_at(TABLE) == 1
    visit.click(TABLE)
    assert (full, visit.label_at(TABLE)) == (1, 0)
    for key, expected in (("Control+z", 1), ("Control+Shift+z", 0)):
        before = visit.painted()
        visit.page.keyboard.press(key)
        visit.until_painted(before)
        assert visit.label_at(TABLE) == expected


def test_labels_and_other_photos(visit: Visit) -> None:
    visit.show("coffee")
    visit.click(CUP)
    visit.by("label-name").fill("table <b>&")
    visit.by("label-add").click()
    visit.until("document.querySelectorAll('[data-testid=label]').length >= 3")
    assert visit.by("label").last.inner_text().strip().startswith("table <b>&")
    visit.by("label").last.click()
    visit.click(TABLE)
    assert (visit.label_at(CUP), visit.label_at(TABLE)) == (1, 2)
    visit.show("chelsea")
    found = visit.page.evaluate(
        "[...Array(300 * 451).keys()].map(i => window.guided.maskAt(Math.floor(i / 451), i % 451))"
    )
    assert set(found) - {0}, "dots on one photo guide another"


def names(visit: Visit) -> list[str]:
    return [each.strip() for each in visit.page.locator(".label .words").all_inner_texts()]


def test_labels_are_renamed_and_removed(visit: Visit) -> None:
    visit.show("coffee")
    visit.click(CUP)
    visit.by("label-name").fill("table")
    visit.by("label-add").click()
    visit.until("document.querySelectorAll('[data-testid=label]').length === 3")
    visit.click(TABLE)
    visit.by("label").nth(1).dblclick()
    visit.by("label-edit").fill("cup")
    visit.page.keyboard.press("Enter")
    visit.until("[...document.querySelectorAll('.words')].some(each => each.textContent === 'cup')")
    assert names(visit) == ["Background", "cup", "table"]
    visit.page.keyboard.press("F2")
    visit.by("label-edit").fill("table")
    visit.page.keyboard.press("Enter")
    visit.by("error").wait_for()
    assert "There is a label 'table' already" in visit.by("error").inner_text()
    assert names(visit) == ["Background", "cup", "table"]
    before = visit.painted()
    visit.by("label-remove").first.click()
    visit.until_painted(before)
    assert names(visit) == ["Background", "table"]
    assert visit.label_at(TABLE) == 1
    assert visit.label_at(CUP) == 0
    assert "Removed the label cup with 1 dot from 1 image." in visit.by("notice").last.inner_text()
    before = visit.painted()
    visit.by("notice-undo").click()
    visit.until_painted(before)
    assert names(visit) == ["Background", "cup", "table"]
    assert (visit.label_at(CUP), visit.label_at(TABLE)) == (1, 2)


OUTSIDE = """
() => [...document.querySelectorAll("#label-panel :is(button, input, kbd)")].filter((each) => {
  const { left, right } = each.getBoundingClientRect();
  const panel = document.getElementById("label-panel").getBoundingClientRect();
  return each.checkVisibility() && (left < panel.left || right > Math.min(panel.right, innerWidth));
}).map((each) => each.title || each.textContent)"""
"""What of the labels is cut off."""


def test_a_long_name_leaves_room_for_its_buttons(visit: Visit) -> None:
    name = "spoon with a long name, and a longer one"
    visit.by("label-name").fill(name)
    visit.by("label-add").click()
    visit.until("document.querySelectorAll('[data-testid=label]').length === 3")
    assert visit.page.evaluate(OUTSIDE) == []
    assert visit.by("label").last.get_attribute("title") == name
    words = visit.page.locator(".label .words").last
    assert words.evaluate("each => each.scrollWidth > each.clientWidth")
    assert words.evaluate("each => getComputedStyle(each).textOverflow") == "ellipsis"
    visit.by("label").last.dblclick()
    visit.by("label-edit").wait_for()
    assert visit.page.evaluate(OUTSIDE) == []
    visit.page.keyboard.press("Escape")


def test_removing_a_dot_of_another_label_is_said_and_undone(visit: Visit) -> None:
    visit.show("coffee")
    visit.click(CUP)
    visit.click(CUP)
    assert visit.by("notice").count() == 0, "it is a dot of the chosen label"
    visit.click(CUP)
    visit.click((CUP[0] + 3, CUP[1]), "right")
    assert visit.page.evaluate("window.guided.dots") == []
    assert "Removed a dot of object." in visit.by("notice").inner_text()
    before = visit.painted()
    visit.by("notice-undo").click()
    visit.until_painted(before)
    assert [dot[2] for dot in visit.page.evaluate("window.guided.dots")] == [1]


def test_where_next_asks_about_the_chosen_label(visit: Visit) -> None:
    visit.show("coffee")
    visit.click(CUP)
    visit.by("label-name").fill("saucer")
    visit.by("label-add").click()
    visit.click(SPOON)
    visit.by("label").nth(1).click()
    for number, expected in ((1, "object"), (2, "saucer")):
        visit.by("label").nth(number).click()
        heard = len(visit.heard)
        visit.by("next").click()
        visit.until_heard("next", heard)
        visit.by("question").wait_for()
        visit.until("document.getElementById('ring').hidden === false")
        question = f"Is this {expected} or background? Click (left = {expected}, right = not)"
        assert visit.by("question").inner_text() == question
        assert visit.by("label").nth(number).get_attribute("aria-checked") == "true"
    visit.page.keyboard.press("Escape")
    visit.by("question").wait_for(state="hidden")
    visit.by("next").click()
    visit.by("question").wait_for()
    visit.click(TABLE, "right")
    visit.by("question").wait_for(state="hidden")


@pytest.mark.parametrize("then", ["Escape", "Control+z", "PageDown"])
def test_a_late_answer_to_where_next_is_not_shown(visit: Visit, then: str) -> None:
    visit.show("coffee")
    visit.click(CUP)
    visit.click(TABLE, "right")
    heard = len(visit.heard)
    # both at once, so that something else was done when the server's answer comes
    visit.page.evaluate(
        """([control, key]) => {
          document.querySelector('[data-testid=next]').click();
          document.body.dispatchEvent(new KeyboardEvent('keydown', { key, ctrlKey: control, bubbles: true }));
        }""",
        ["Control" in then, then.rpartition("+")[2]],
    )
    visit.until_heard("next", heard)
    visit.page.wait_for_timeout(300)
    assert visit.page.evaluate("document.getElementById('question').hidden")


def test_clearing_all_is_said_and_undone(visit: Visit) -> None:
    visit.show("coffee")
    visit.click(CUP)
    visit.click(TABLE, "right")
    visit.by("clear-all").click()
    visit.by("notice-undo").wait_for()
    assert "Removed 2 dots from 1 image." in visit.by("notice").inner_text()
    before = visit.painted()
    visit.by("notice-undo").click()
    visit.until_painted(before)
    assert visit.label_at(CUP) == 1
    visit.by("notice-undo").wait_for(state="detached")


def test_the_status_line_names_what_it_says(visit: Visit) -> None:
    visit.show("coffee")
    visit.click(CUP)
    row, column = CUP[0] - 20, CUP[1]
    visit.page.mouse.move(*visit.at((row, column)))
    said = visit.page.locator("#position")
    assert said.inner_text() == f"x {column}, y {row}: object"
    for view, words, more in (
        ("heat", "probability of object", r"\d+ %"),
        ("similarity", "similarity", r"-?[01]\.\d\d"),
    ):
        visit.by(f"view-{view}").focus()  # the pointer stays where it is
        visit.page.keyboard.press("Enter")
        visit.until("words => document.getElementById('position').textContent.includes(words)", words)
        assert re.fullmatch(rf"x {column}, y {row}: object, {words} {more}", said.inner_text()), said.inner_text()
    assert "how sure" in visit.page.locator("#strip-legend").inner_text()


def test_a_video_plays_and_is_corrected(visit: Visit) -> None:
    visit.show("coffee")
    visit.click(CUP)
    before = visit.painted()
    visit.page.locator('[data-testid="shot"][data-image^="clip"]').click()
    visit.page.wait_for_timeout(300)
    visit.by("play").click()
    visit.until("n => window.guided.painted > n + 5", before)
    visit.by("stop").click()
    visit.click((120, 180))


def play_the_clip(visit: Visit) -> None:
    """Play the clip until its progress is seen."""
    visit.show("coffee")
    visit.by("fill").click()  # whose progress is another
    visit.click(CUP)
    visit.page.locator('[data-testid="shot"][data-image^="clip"]').click()
    visit.by("timeline").wait_for()
    visit.by("play").click()
    visit.until("/^Playing: [0-9]+ of [0-9]+ frames$/.test(document.getElementById('progress-text').textContent)")


def test_one_count_of_frames_while_playing(visit: Visit) -> None:
    play_the_clip(visit)
    of = visit.by("progress-text").inner_text().split()[3]
    visit.until("document.getElementById('play').dataset.playing === 'false'")
    visit.until("of => document.getElementById('frame-number').textContent === `${of} / ${of}`", of)
    assert visit.by("ticks").get_attribute("aria-valuetext") == f"Frame {of} of {of}"
    visit.by("ticks").focus()
    visit.page.keyboard.press("ArrowLeft")
    visit.until("of => document.getElementById('frame-number').textContent === `${of - 1} / ${of}`", int(of))


def test_a_video_stops_when_another_image_is_opened(visit: Visit) -> None:
    play_the_clip(visit)
    visit.show("chelsea")
    assert visit.by("play").get_attribute("data-playing") == "false"
    visit.page.wait_for_timeout(500)
    assert visit.by("progress").is_hidden()
    assert visit.by("timeline").is_hidden()


HIDDEN = """
(panels) => panels.flatMap((id) => [...document.querySelectorAll(`#${id} :is(button, input, a)`)]).filter((each) => {
  if (!each.checkVisibility()) return false;
  each.scrollIntoView({ block: "nearest" });
  const { x, y, width, height } = each.getBoundingClientRect();
  return !each.contains(document.elementFromPoint(x + width / 2, y + height / 2));
}).map((each) => each.title || each.textContent)"""
"""What of some panels cannot be reached by scrolling."""


@pytest.mark.parametrize("height", [800, 560])
def test_panels_that_are_too_long_scroll(driven: Browser, address: str, height: int) -> None:
    visit = Visit(driven, address, f"panels-{height}", (1280, height))
    visit.page.locator('[data-testid="shot"][data-image^="clip"]').click()
    visit.by("timeline").wait_for()
    for number in range(6):
        visit.by("label-name").fill(f"label {number}")
        visit.by("label-add").click()
    visit.until("document.querySelectorAll('[data-testid=label]').length === 8")
    assert visit.page.evaluate(HIDDEN, ["tools", "label-panel", "options"]) == []
    visit.by("export").click()
    assert visit.page.evaluate(HIDDEN, ["export-menu"]) == []
    visit.context.close()


def test_the_middle_says_that_the_page_connects(driven: Browser, address: str) -> None:
    context = driven.new_context()
    page = context.new_page()
    page.add_init_script("window.WebSocket = class { static OPEN = 1; }")  # it never opens
    page.goto(f"{address}s/connecting")
    assert page.get_by_test_id("waiting").inner_text() == "Connecting…"
    context.close()
    visit = Visit(driven, address, "connected")
    assert visit.by("waiting").is_hidden()
    visit.context.close()


def test_everything_is_there_after_a_reload(visit: Visit) -> None:
    visit.show("coffee")
    visit.click(CUP)
    visit.by("saved").wait_for()
    visit.page.reload()
    visit.by("shot").first.wait_for()
    visit.show("coffee")
    assert visit.label_at(CUP) == 1


def test_exports_arrive(visit: Visit) -> None:
    visit.show("coffee")
    visit.click(CUP)
    visit.by("export").click()
    with visit.page.expect_download(timeout=120_000) as coming:
        visit.by("export-coco").click()
    assert coming.value.suggested_filename == "samples-coco.zip"
    data = Path(coming.value.path()).read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        name = next(each for each in packed.namelist() if each.endswith(".json"))
        assert json.loads(packed.read(name))["annotations"]


def test_an_export_of_annotated_images_and_refined_answers(visit: Visit) -> None:
    visit.show("coffee")
    visit.click(CUP)
    visit.by("export").click()
    visit.by("export-annotated").check()
    visit.by("export-refined").check()
    with visit.page.expect_download(timeout=120_000) as coming:
        visit.by("export-masks").click()
    with zipfile.ZipFile(Path(coming.value.path())) as packed:
        assert [each for each in packed.namelist() if each.startswith("masks/")] == ["masks/coffee.png"]
        labels = np.asarray(Image.open(io.BytesIO(packed.read("masks/coffee.png"))))
    session = Session.load("guided-lite0", precision="auto")
    session.add_image("coffee", SAMPLES / "coffee.jpg")
    session.dot("coffee", *CUP, session.add_label("object"))
    refined, quick = session.refined("coffee"), session.segment("coffee")
    assert (labels == refined).mean() > 0.99  # the dot may be a pixel off
    assert (labels == refined).mean() > (labels == quick).mean()


def test_an_export_shows_how_far_it_is_and_can_be_cancelled(visit: Visit) -> None:
    visit.show("coffee")
    visit.click(CUP)
    visit.by("export").click()
    visit.by("export-davis").click()  # the frames of the clip take a while
    visit.until("document.getElementById('export-text').textContent.startsWith('Exporting: frame ')")
    assert visit.by("export-davis").is_hidden()
    visit.by("export-cancel").click()
    visit.by("notice").wait_for()
    assert "cancelled" in visit.by("notice").inner_text()
    visit.by("export").click()
    visit.by("export-davis").wait_for()
    assert visit.by("export-progress").is_hidden()


def test_uploads_good_and_bad(visit: Visit, tmp_path: Path) -> None:
    bad, good = tmp_path / "<img src=x onerror=alert(1)>.png", tmp_path / "größe.png"
    bad.write_bytes(b"no image")
    Image.fromarray(np.full((40, 50, 3), 99, np.uint8)).save(good)
    number = visit.by("shot").count()
    visit.by("upload-files").set_input_files([bad, good])
    visit.until("n => document.querySelectorAll('[data-testid=shot]').length > n", number)
    visit.by("error").first.wait_for()
    assert "no image" in visit.by("error").first.inner_text() or "img src" in visit.by("error").first.inner_text()
    visit.show("größe")


def test_the_keyboard_and_the_help(visit: Visit) -> None:
    visit.page.keyboard.press("?")
    visit.by("help-dialog").wait_for()
    assert "Undo" in visit.by("help-dialog").inner_text()
    assert "networks" not in visit.by("help-dialog").inner_text(), "there is one"
    assert visit.by("compare").is_hidden()
    visit.page.keyboard.press("Escape")


@pytest.mark.parametrize("view", ["outline", "cutout", "heat", "similarity"])
def test_views_differ(visit: Visit, view: str) -> None:
    visit.show("coffee")
    visit.click(CUP)
    overlay = visit.seen()
    visit.by(f"view-{view}").click()
    visit.page.wait_for_timeout(700)
    assert (np.abs(visit.seen() - overlay).sum(-1) > 24).mean() > 0.005


def test_similarity_to_a_label_without_dots_is_refused_by_its_name(visit: Visit) -> None:
    visit.show("coffee")
    visit.click(CUP)
    visit.by("label-name").fill("saucer")
    visit.by("label-add").click()
    visit.by("view-similarity").click()
    visit.by("error").wait_for()
    assert "annotated with label 'saucer'" in visit.by("error").inner_text()
    visit.until("document.getElementById('view-overlay').getAttribute('aria-checked') === 'true'")
    assert visit.page.locator("#legend").is_hidden()


COLOUR = """
() => {
  const small = document.querySelector("[data-image^=clip] img");
  if (!small?.complete || !small.naturalWidth) return null;
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  context.drawImage(small, 0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data];
}"""
"""The colour of the video's picture in the strip."""


def test_files_that_changed_are_not_shown_from_the_cache(driven: Browser, photos: Path, tmp_path: Path) -> None:
    with page_server(photos, state=tmp_path / "state") as (address, _):
        visit = Visit(driven, address, "main")
        for colour in ((250, 20, 20), (20, 20, 250)):
            write_image(photos / "clip" / "00000.png", np.full((40, 52, 3), colour, np.uint8))
            visit.page.reload()
            visit.until(f"({COLOUR})() !== null")
            assert visit.page.evaluate(COLOUR)[:3] == pytest.approx(colour, abs=12)
        write_image(photos / "a.png", np.full((40, 52, 3), 99, np.uint8))
        visit.page.reload()
        visit.by("error").wait_for()
        assert "changed since it was added" in visit.by("error").inner_text(), "answers are those of the old pixels"
        visit.context.close()


def test_a_killed_server_loses_nothing_that_was_saved(driven: Browser, tmp_path: Path) -> None:
    clicks: list[Callable[[Visit], None]] = [lambda visit: visit.click(CUP), lambda visit: visit.click(TABLE, "right")]
    for number, click in enumerate(clicks, 1):
        with page_server(SAMPLES, state=tmp_path / "state") as (address, process):
            visit = Visit(driven, address, "main")
            visit.show("coffee")
            if number == 2:
                assert visit.label_at(CUP) == 1, "the dot of the killed server is there"
            click(visit)
            visit.by("saved").wait_for()
            process.kill()
            process.wait(10)
            visit.context.close()
    saved = Session.open(tmp_path / "state" / "main.session")
    assert len(saved.dots("coffee")) == 2

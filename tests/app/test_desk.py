"""What a page gets for each message, against the session itself."""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.networks import network
from support.pages import Page, picture, until, write_image

from guided_seg.app.desk import Desk
from guided_seg.app.messages import Export
from guided_seg.data.images import read_labels
from guided_seg.errors import UserError
from guided_seg.formats import write
from guided_seg.session import Session

DOTS = [("a", 5, 6, 1), ("a", 30, 40, 0)]


def tell(desk: Desk, do: str, n: int = 1, **content: Any) -> None:
    desk.receive(json.dumps({"n": n, "do": do, **content}))


def dots(desk: Desk, page: Page) -> None:
    """Annotate the first photo."""
    for number, (image, row, column, label) in enumerate(DOTS, 100):
        tell(desk, "dot", number, image=image, row=row, column=column, label=label)
    page.of("mask", n=101)


@pytest.fixture
def same(desk: Desk) -> Session:
    """A session of one's own with the same photos and dots."""
    session = Session(network("late_global"))
    for name in desk.session.images:
        session.add_image(name, desk.pixels(name))
    session.add_label("object")
    for image, row, column, label in DOTS:
        session.dot(image, row, column, label)
    return session


def test_the_state_has_all_that_a_page_needs(page: Page) -> None:
    state = page.of("state")
    assert [image["id"] for image in state["images"]] == ["a", "c", "größe 1"]
    assert [(image["height"], image["width"]) for image in state["images"]] == [(40, 52)] * 3
    assert state["videos"] == [{"id": "clip", "frames": 4, "height": 40, "width": 52}]
    assert [label["name"] for label in state["labels"]] == ["object"]
    assert {each["name"] for each in state["formats"]} >= {"coco", "masks", "folder"}
    assert state["memories"] == ["none", "shot"]


def test_dots_are_answered_as_a_session_does(desk: Desk, page: Page, same: Session) -> None:
    tell(desk, "look", image="a")
    dots(desk, page)
    answer = page.of("mask", n=101)
    assert answer["image"] == "a"
    assert np.array_equal(answer["pixels"], same.segment("a"))
    assert 0 <= answer["confidence"] <= 1
    assert page.of("dots", n=101)["dots"] == [[5, 6, 1], [30, 40, 0]]


def test_a_dot_guides_the_photo_that_is_visible(desk: Desk, page: Page, same: Session) -> None:
    dots(desk, page)
    tell(desk, "look", 200, image="c")
    assert np.array_equal(page.of("mask", n=200, image="c")["pixels"], same.segment("c"))
    tell(desk, "undo", 201)
    same.undo()
    assert np.array_equal(page.of("mask", n=201, image="c")["pixels"], same.segment("c"))


def test_nothing_is_claimed_before_the_first_dot(desk: Desk, page: Page) -> None:
    tell(desk, "look", image="a")
    answer = page.of("mask", image="a")
    assert not answer["pixels"].any()
    assert answer["confidence"] is None


def test_hover_shows_what_a_dot_would_do(desk: Desk, page: Page, same: Session) -> None:
    dots(desk, page)
    tell(desk, "hover", 5, image="a", row=20, column=20, label=1)
    preview = page.of("mask", n=5, of="preview")
    same.dot("a", 20, 20, 1)
    assert np.array_equal(preview["pixels"], same.segment("a"))
    assert len(desk.session.dots("a")) == 2


def test_edits_and_their_way_back(desk: Desk, page: Page) -> None:
    dots(desk, page)
    steps = [
        ("move", {"image": "a", "start": [5, 6], "end": [7, 8]}, [[7, 8, 1], [30, 40, 0]]),
        ("remove", {"image": "a", "row": 30, "column": 40}, [[7, 8, 1]]),
        ("undo", {}, [[7, 8, 1], [30, 40, 0]]),
        ("redo", {}, [[7, 8, 1]]),
        ("clear", {"image": "a"}, []),
        ("undo", {}, [[7, 8, 1]]),
    ]
    for number, (do, content, expected) in enumerate(steps, 200):
        tell(desk, do, number, **content)
        assert page.of("dots", n=number, image="a")["dots"] == expected
        page.of("mask", n=number)


def test_a_scribble_and_a_box_are_one_step_each(desk: Desk, page: Page) -> None:
    tell(desk, "scribble", 5, image="a", points=[[3, 3], [3, 40]], label=1)
    assert len(page.of("dots", n=5)["dots"]) > 1
    tell(desk, "undo", 6)
    assert page.of("dots", n=6)["dots"] == []
    tell(desk, "box", 7, image="c", box=[10, 10, 30, 30], label=1)
    found = page.of("dots", n=7)["dots"]
    assert {label for _, _, label in found} == {0, 1}
    tell(desk, "undo", 8)
    assert page.of("dots", n=8, image="c")["dots"] == []


def test_a_mask_to_start_from(desk: Desk, page: Page) -> None:
    mask = np.zeros((40, 52), bool)
    mask[10:20, 10:30] = True
    changes = np.flatnonzero(np.diff(mask.ravel())) + 1
    runs = np.diff([0, *changes, mask.size]).astype("<u4")
    tell(desk, "paint", 5, image="a", label=1, runs=base64.b64encode(runs.tobytes()).decode())
    page.of("mask", n=5)
    painted, _ = desk.session.annotation("a")
    assert painted is not None
    assert np.array_equal(painted == 1, mask)


def test_labels_are_added_at_any_time(desk: Desk, page: Page) -> None:
    dots(desk, page)
    tell(desk, "label", 5, name="größe")
    labels = page.of("labels", n=5)["labels"]
    assert [label["name"] for label in labels] == ["object", "größe"]
    assert len({tuple(label["colour"]) for label in labels}) == 2
    tell(desk, "dot", 6, image="a", row=1, column=1, label=2)
    page.of("mask", n=6)


def test_a_label_is_renamed_and_removed_and_comes_back(desk: Desk, page: Page) -> None:
    dots(desk, page)
    tell(desk, "label", 5, name="two")
    tell(desk, "dot", 6, image="c", row=3, column=3, label=2)
    tell(desk, "rename", 7, label=1, name="größe")
    renamed = page.of("labels", n=7)
    assert [label["name"] for label in renamed["labels"]] == ["größe", "two"]
    assert (renamed["undo"], renamed["redo"]) == (True, False)
    tell(desk, "drop", 8, label=1)
    assert [label["name"] for label in page.of("labels", n=8)["labels"]] == ["two"]
    assert page.of("dots", n=8, image="a")["dots"] == [[30, 40, 0]]
    assert page.of("dots", n=8, image="c")["dots"] == [[3, 3, 1]]
    said = page.of("removed", n=8)
    assert (said["text"], said["undo"]) == ("Removed the label größe with 1 dot from 1 image.", True)
    page.of("mask", n=8)
    tell(desk, "undo", 9)
    assert [label["name"] for label in page.of("labels", n=9)["labels"]] == ["größe", "two"]
    assert page.of("dots", n=9, image="a")["dots"] == [[5, 6, 1], [30, 40, 0]]
    assert page.of("dots", n=9, image="c")["dots"] == [[3, 3, 2]]
    tell(desk, "undo", 10)
    assert [label["name"] for label in page.of("labels", n=10)["labels"]] == ["object", "two"]


def test_a_label_that_stays_is_sent_again(desk: Desk, page: Page) -> None:
    """The page has left it out already."""
    tell(desk, "drop", 5, label=1)
    assert "last label" in page.of("error", n=5)["text"]
    assert [label["name"] for label in page.of("labels", n=5)["labels"]] == ["object"]


@pytest.mark.parametrize("image", ["a", None])
def test_clearing_says_what_went(desk: Desk, page: Page, image: str | None) -> None:
    dots(desk, page)
    mask = np.zeros((40, 52), bool)
    mask[10:20] = True
    desk.wait_for(lambda session: session.mask("c", mask, 1))
    where = {} if image is None else {"image": image}
    tell(desk, "clear", 5, **where)
    what = "2 dots from 1 image" if image else "2 dots and 1 mask from 2 images"
    assert page.of("removed", n=5)["text"] == f"Removed {what}."
    tell(desk, "clear", 6, image="a")
    assert (page.of("removed", n=6)["text"], page.of("removed", n=6)["undo"]) == ("There was nothing to remove.", False)
    tell(desk, "undo", 7)
    assert page.of("dots", n=7, image="a")["dots"] == [[5, 6, 1], [30, 40, 0]]


def test_the_colours_are_those_of_the_exports(desk: Desk, page: Page, tmp_path: Path) -> None:
    for number in range(2, 13):
        tell(desk, "label", number, name=f"label {number}")
    sent = [label["colour"] for label in page.of("labels", n=12)["labels"]]
    assert len(sent) == 12
    labels = np.zeros((40, 52), np.uint8)
    labels[0, : len(sent) + 1] = range(len(sent) + 1)
    desk.wait_for(lambda session: [session.mask("a", labels == number, number) for number in range(1, 13)])
    write(desk.session, tmp_path / "out", "masks", names=["a"])
    with Image.open(tmp_path / "out" / "masks" / "a.png") as exported:
        palette = np.array(exported.getpalette()).reshape(-1, 3)
    assert palette[1:13].tolist() == sent
    assert len(np.unique(palette, axis=0)) == 256


def test_the_version_of_a_picture_changes_with_its_file(desk: Desk, page: Page, photos: Path) -> None:
    before = page.of("state")["versions"]
    assert before.keys() == {"a", "c", "größe 1", "clip"}
    write_image(photos / "a.png", picture(77, (40, 52)))
    write_image(photos / "clip" / "00002.png", picture(78, (40, 52)))
    page.received.clear()
    desk.say_state()
    after = page.of("state")["versions"]
    assert {name for name in before if before[name] != after[name]} == {"a", "clip"}


def test_all_photos_are_filled_and_filled_again_after_an_edit(desk: Desk, page: Page, same: Session) -> None:
    dots(desk, page)
    tell(desk, "look", image="a")
    tell(desk, "fill", 5)
    page.of("progress", n=5, ended=True)
    for name in ("c", "größe 1"):
        assert np.array_equal(page.of("mask", n=5, image=name)["pixels"], same.segment(name))
    tell(desk, "dot", 6, image="a", row=20, column=20, label=1)
    page.of("progress", n=6, ended=True)
    same.dot("a", 20, 20, 1)
    assert np.array_equal(page.of("mask", n=6, image="c")["pixels"], same.segment("c"))


@pytest.mark.parametrize("memory", ["none", "shot"])
@pytest.mark.parametrize("backward", [False, True])
def test_a_video_plays_as_a_session_does(
    desk: Desk, page: Page, same: Session, photos: Any, memory: Any, backward: bool
) -> None:
    dots(desk, page)
    same.add_video("clip", photos / "clip")
    start = 3 if backward else 0
    tell(desk, "play", 5, video="clip", start=start, memory=memory, backward=backward)
    page.of("progress", n=5, ended=True)
    for index, labels in same.segment_video("clip", start, memory=memory, backward=backward):
        assert np.array_equal(page.of("mask", n=5, image=f"clip#{index}")["pixels"], labels)


@pytest.mark.parametrize(("start", "backward", "of"), [(0, False, 4), (1, False, 3), (2, True, 3)])
def test_playing_says_how_many_frames_are_done(desk: Desk, page: Page, start: int, backward: bool, of: int) -> None:
    dots(desk, page)
    tell(desk, "play", 5, video="clip", start=start, backward=backward)
    page.of("progress", n=5, ended=True)
    told = [each for each in page.received if each["type"] == "progress"]
    assert [(each["done"], each["of"]) for each in told] == [*((done, of) for done in range(1, of + 1)), (of, of)]


def test_played_frames_say_how_sure_they_are(desk: Desk, page: Page) -> None:
    dots(desk, page)
    tell(desk, "play", 5, video="clip")
    page.of("progress", n=5, ended=True)
    assert all(0 <= page.of("mask", n=5, image=f"clip#{index}")["confidence"] <= 1 for index in range(4))


def test_a_fill_behind_a_dot_does_not_swallow_its_answer(desk: Desk, page: Page) -> None:
    for n in (5, 7):
        tell(desk, "dot", n, image="a", row=n, column=n, label=1)
        tell(desk, "fill", n + 1)
    page.of("mask", n=7, image="a")
    page.of("progress", n=8, ended=True)


def test_a_frame_becomes_an_image(desk: Desk, page: Page) -> None:
    tell(desk, "frame", 5, video="clip", index=2)
    assert page.of("frame", n=5) == {"type": "frame", "n": 5, "id": "clip#2", "height": 40, "width": 52, "dots": []}
    tell(desk, "dot", 6, image="clip#2", row=1, column=1, label=1)
    page.of("mask", n=6)


@pytest.mark.parametrize("what", ["heat", "similarity"])
def test_grey_maps(desk: Desk, page: Page, what: str) -> None:
    dots(desk, page)
    tell(desk, "view", 5, image="a", what=what, label=1)
    found = page.of("map", n=5, what=what)
    assert found["pixels"].max() > found["pixels"].min()


def test_the_refined_answer_and_the_next_place(desk: Desk, page: Page) -> None:
    dots(desk, page)
    tell(desk, "refine", 5, image="a")
    assert np.array_equal(page.of("mask", n=5, of="refined")["pixels"], desk.wait_for(lambda s: s.refined("a")))
    tell(desk, "next", 6)
    place = page.of("next", n=6)
    assert place["image"] in (None, *desk.session.images)
    if place["image"]:
        expected = desk.wait_for(lambda session: session.next_click(place["image"]))
        assert (place["row"], place["column"]) == expected[:2]


HOSTILE = [
    {"do": "look", "image": "nobody"},
    {"do": "look", "image": "clip#99"},
    {"do": "dot", "image": "nobody", "row": 1, "column": 1, "label": 1},
    {"do": "dot", "image": "a", "row": 40, "column": 1, "label": 1},
    {"do": "dot", "image": "a", "row": 1, "column": 52, "label": 1},
    {"do": "dot", "image": "a", "row": 1, "column": 1, "label": 7},
    {"do": "move", "image": "a", "start": [1, 1], "end": [2, 2]},
    {"do": "move", "image": "a", "start": [5, 6], "end": [2, 99]},
    {"do": "remove", "image": "a", "row": 99, "column": 0},
    {"do": "scribble", "image": "a", "points": [[1, 1], [99, 99]], "label": 1},
    {"do": "scribble", "image": "a", "points": [[1, 1]], "label": 9},
    {"do": "box", "image": "a", "box": [1, 1, 99, 99], "label": 1},
    {"do": "box", "image": "a", "box": [9, 9, 1, 1], "label": 1},
    {"do": "box", "image": "a", "box": [9, 9, 20, 20], "label": 0},
    {"do": "paint", "image": "a", "label": 1, "runs": "AAAA"},
    {"do": "paint", "image": "a", "label": 1, "runs": "not base64"},
    {"do": "clear", "image": "nobody"},
    {"do": "label", "name": "object"},
    {"do": "label", "name": "negative"},
    {"do": "rename", "label": 7, "name": "new"},
    {"do": "rename", "label": 0, "name": "new"},
    {"do": "rename", "label": 1, "name": "negative"},
    {"do": "drop", "label": 0},
    {"do": "drop", "label": 1},
    {"do": "drop", "label": 7},
    {"do": "hover", "image": "a", "row": 99, "column": 0, "label": 1},
    {"do": "hover", "image": "a", "row": 1, "column": 0, "label": 9},
    {"do": "refine", "image": "nobody"},
    {"do": "view", "image": "a", "what": "heat", "label": 9},
    {"do": "view", "image": "a", "what": "similarity", "label": 9},
    {"do": "play", "video": "nobody"},
    {"do": "play", "video": "clip", "start": 99},
    {"do": "play", "video": "clip", "memory": "map"},
    {"do": "frame", "video": "clip", "index": 99},
    {"do": "frame", "video": "nobody", "index": 0},
]


@pytest.mark.parametrize("message", HOSTILE, ids=lambda message: ascii(message)[1:60])
def test_what_cannot_be_is_refused_and_changes_nothing(desk: Desk, page: Page, message: dict[str, Any]) -> None:
    dots(desk, page)
    before = desk.wait_for(lambda session: (session.annotation("a"), session.segment("a").tolist(), session.labels))
    page.received.clear()
    tell(desk, n=5, **message)
    sentence = page.of("error")["text"]
    assert len(sentence.split()) >= 5
    assert "Traceback" not in sentence
    assert "did not work" not in sentence
    after = desk.wait_for(lambda session: (session.annotation("a"), session.segment("a").tolist(), session.labels))
    assert after == before


def test_a_desk_is_as_it_was_after_it_was_closed(make_desk: Callable[..., Desk], desk: Desk, page: Page) -> None:
    dots(desk, page)
    tell(desk, "label", 5, name="two")
    tell(desk, "dot", 6, image="c", row=3, column=3, label=2)
    page.of("mask", n=6)
    shown = desk.wait_for(lambda session: {name: session.segment(name).tolist() for name in session.images})
    desk.end()
    again = make_desk()
    assert again.session.labels == ["negative", "object", "two"]
    assert {name: again.session.segment(name).tolist() for name in again.session.images} == shown


def test_one_page_replaces_another(desk: Desk, page: Page) -> None:
    second = Page()
    desk.connect(second)
    second.of("state")
    desk.disconnect(page)
    assert desk.outbox is second
    desk.disconnect(second)
    assert desk.outbox is None


@pytest.mark.parametrize("odd", [False, True], ids=["folder taken", "unexpected error"])
def test_a_failed_save_is_told_once_and_tried_again(
    desk: Desk, page: Page, odd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guided_seg.app.worker.SAVE_AFTER", 0.05)
    tries: list[Path] = []
    save = desk.session.save

    def counted(path: Path) -> Path:
        tries.append(path)
        if odd and not fixed:
            raise RuntimeError("odd")
        return save(path)

    fixed: list[bool] = []
    monkeypatch.setattr(desk.session, "save", counted)
    in_the_way = desk.file.parent
    in_the_way.write_text("a file in the place of the folder")
    dots(desk, page)
    until(lambda: len(tries) >= 3)
    again = Page()
    desk.connect(again)  # a page opened meanwhile gets the message too
    told = again.of("error")["text"]
    assert "Your work is not saved" in told
    assert ("RuntimeError: odd" if odd else str(desk.file)) in told
    assert len([each for each in page.received if each["type"] == "error"]) == 1
    assert not [each for each in page.received if each["type"] == "saved"]
    in_the_way.unlink()
    fixed.append(True)
    assert "works again" in again.of("notice")["text"]
    again.of("saved")
    assert Session.open(desk.file, network=network("late_global")).annotation("a")[1] == [(5, 6, 1), (30, 40, 0)]
    number = len(tries)
    time.sleep(0.2)
    assert len(tries) == number
    assert len([each for each in again.received if each["type"] == "error"]) == 1


def test_what_is_said_to_be_saved_is_in_the_file(desk: Desk, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit that comes while those before are written is not."""
    monkeypatch.setattr("guided_seg.app.worker.SAVE_AFTER", 0.05)
    begun, go_on, save = Event(), Event(), desk.session.save

    def slow(path: Path) -> Path:
        begun.set()
        assert go_on.wait(60)
        return save(path)

    monkeypatch.setattr(desk.session, "save", slow)
    tell(desk, "dot", 7, image="a", row=5, column=6, label=1)
    assert begun.wait(60)
    tell(desk, "dot", 8, image="a", row=7, column=8, label=1)
    go_on.set()
    page.of("saved", n=7)
    page.of("saved", n=8)
    assert len(Session.open(desk.file, network=network("late_global")).dots("a")) == 2
    again = Page()
    desk.connect(again)
    desk.wait_for(lambda _: None)  # saves, before any edit of that page
    again.of("saved", n=0)


def test_a_folder_that_was_removed_is_made_again(desk: Desk, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guided_seg.app.worker.SAVE_AFTER", 0.05)
    dots(desk, page)
    page.of("saved")
    shutil.rmtree(desk.file.parent)
    tell(desk, "undo", 200)
    until(desk.file.exists)


def test_an_export_tells_how_far_it_is(desk: Desk, page: Page, tmp_path: Path) -> None:
    dots(desk, page)
    desk.export(tmp_path / "all", Export(format="masks"), Event())
    assert [each["done"] for each in page.received if each["type"] == "export"] == [1, 2, 3]
    assert page.of("export")["of"] == 3
    desk.export(tmp_path / "some", Export(format="masks", annotated=True, refined=True), Event())
    assert [path.name for path in (tmp_path / "some" / "masks").iterdir()] == ["a.png"]
    assert np.array_equal(read_labels(tmp_path / "some" / "masks" / "a.png"), desk.session.refined("a"))


def test_a_cancelled_export_ends_after_the_image_that_it_is_at(desk: Desk, page: Page, tmp_path: Path) -> None:
    dots(desk, page)
    cancelled = Event()
    cancelled.set()
    with pytest.raises(UserError, match="cancelled"):
        desk.export(tmp_path / "out", Export(format="masks"), cancelled)
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 1

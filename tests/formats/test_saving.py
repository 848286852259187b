"""Saving from a session: what is written, refused, left out and taken up again."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from support.archives import everything, write_image
from support.networks import network

from guided_seg.data.images import image_orientation, image_size, read_labels
from guided_seg.errors import UserError
from guided_seg.formats import FORMATS, write
from guided_seg.formats.saving import Step
from guided_seg.formats.unfinished import MARK
from guided_seg.session import Session

FRAMES = 6


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Two image files, an array and a video with an annotated frame."""
    found = Session(network("late_global"))
    rng = np.random.default_rng(0)
    for name in ("a b.jpg", "a/b.jpg"):
        found.add_image(name, write_image(tmp_path / "in" / name.replace(" ", "_").replace("/", "-"), 37, 50))
    found.add_image("array", rng.integers(0, 256, (45, 61, 3), np.uint8))
    film = cv2.VideoWriter(str(tmp_path / "in" / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (40, 32))
    for _ in range(FRAMES):
        film.write(rng.integers(0, 256, (32, 40, 3), np.uint8))
    film.release()
    found.add_video("clip", tmp_path / "in" / "clip.avi")
    found.add_label("cat")
    found.frame("clip", 1)  # looked at, and not annotated
    found.dot("array", 20, 30, "cat")
    found.dot("array", 3, 3, "negative")
    found.dot(found.frame("clip", 3), 5, 5, "cat")
    return found


def test_every_format_is_found_in_its_folder() -> None:
    assert set(FORMATS) == {"masks", "cutouts", "coco", "yolo", "voc", "davis", "video", "folder"}
    assert all(name == each.name and each.about.endswith(".") for name, each in FORMATS.items())


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_a_result_is_whole_and_the_same_each_time(kind: str, session: Session, tmp_path: Path) -> None:
    steps: list[Step] = []
    written = write(session, tmp_path / "once", kind, progress=steps.append)
    assert sorted(written) == sorted(path for path in (tmp_path / "once").rglob("*") if path.is_file())
    write(session, str(tmp_path / "again"), kind)
    assert everything(tmp_path / "once") == everything(tmp_path / "again")
    number = FRAMES if FORMATS[kind].of == "videos" else 4
    assert [step.done for step in steps] == list(range(1, number + 1))
    assert {step.total for step in steps} == {None if FORMATS[kind].of == "videos" else 4}


def test_masks_are_what_the_session_segments(session: Session, tmp_path: Path) -> None:
    write(session, tmp_path / "out", "masks")
    found = {path.stem: read_labels(path) for path in (tmp_path / "out" / "masks").iterdir()}
    names = {"a b.jpg": "a_b-", "a/b.jpg": "a_b-", "array": "array", "clip#3": "clip_3"}
    for image, name in names.items():
        same = [
            np.array_equal(labels, session.segment(image)) for stem, labels in found.items() if stem.startswith(name)
        ]
        assert any(same)
    assert len(found) == 4


def test_a_chosen_image_has_the_name_that_it_has_among_all(session: Session, tmp_path: Path) -> None:
    every = write(session, tmp_path / "every", "masks")
    one = write(session, tmp_path / "one", "masks", names="a/b.jpg")
    assert len(one) == 3
    assert {path.name for path in one} <= {path.name for path in every}


def test_videos_are_written_frame_by_frame(session: Session, tmp_path: Path) -> None:
    write(session, tmp_path / "out", "davis", ["clip"])
    expected = dict(session.segment_video("clip"))
    masks = sorted((tmp_path / "out" / "Annotations/480p/clip").iterdir())
    assert [path.name for path in masks] == [f"{index:05d}.png" for index in range(FRAMES)]
    for path in masks:
        np.testing.assert_array_equal(read_labels(path), expected[int(path.stem)])


def no_dots(session: Session) -> None:
    session.clear()


@pytest.mark.parametrize(
    ("kind", "options", "sentence"),
    [
        ("coc", {}, "There is no format 'coc'; did you mean 'coco'"),
        ("", {}, "There is no format ''; choose from"),
        ("masks", {"names": []}, "There are no images to write: names is empty"),
        ("masks", {"names": ["array", "no"]}, "There is no image 'no'"),
        ("masks", {"names": ["clip"]}, "There is no image 'clip'"),
        ("davis", {"names": ["array"]}, "There is no video 'array'"),
        ("video", {"names": "no"}, "There is no video 'no'"),
    ],
)
def test_wrong_arguments_leave_no_folder(
    kind: str, options: dict[str, Any], sentence: str, session: Session, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence):
        write(session, tmp_path / "out", kind, **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("make", "kind", "sentence"),
    [
        (lambda _: None, "masks", "no labels"),
        (lambda it: it.add_label("cat"), "masks", "no dots or masks"),
        (lambda it: (it.add_label("cat"), it.dot("a", 1, 1, "cat")), "davis", "no videos to write.*another format"),
        (lambda it: (it.add_label("cat"), it.dot("a", 1, 1, "cat"), it.undo()), "masks", "no dots or masks"),
    ],
)
def test_a_session_without_annotations_is_refused(
    make: Callable[[Session], object], kind: str, sentence: str, tmp_path: Path
) -> None:
    session = Session(network("late_global"))
    session.add_image("a", np.zeros((9, 9, 3), np.uint8))
    make(session)
    with pytest.raises(UserError, match=sentence):
        write(session, tmp_path / "out", kind)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_anything_stays_as_it_is(session: Session, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match=r"is not empty, it holds mine\.txt"):
        write(session, out, "masks")
    with pytest.raises(UserError, match="is a file"):
        write(session, out / "mine.txt", "masks")
    assert everything(out) == {"mine.txt": b"mine"}


def stopped(session: Session, out: Path, kind: str) -> None:
    def stop(step: Step) -> None:
        if step.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(session, out, kind, progress=stop)
    assert (out / MARK).is_file()


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_a_stopped_call_can_be_repeated(kind: str, session: Session, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stopped(session, out, kind)
    (out / ".partial.1.rest.png").touch()  # as a killed process leaves it
    write(session, out, kind)
    write(session, tmp_path / "whole", kind)
    assert everything(out) == everything(tmp_path / "whole")
    with pytest.raises(UserError, match="not empty"):
        write(session, out, kind)


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.dot("array", 9, 9, "cat"),
        lambda it: it.mask("array", np.ones((45, 61), bool), "cat"),
        lambda it: it.add_label("dog"),
        lambda it: it.add_image("more", np.zeros((9, 9, 3), np.uint8)),
    ],
)
def test_a_stopped_result_of_other_annotations_is_not_taken_up(
    change: Callable[[Session], object], session: Session, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    stopped(session, out, "cutouts")
    before = everything(out)
    change(session)
    with pytest.raises(UserError, match="unfinished result of other annotations"):
        write(session, out, "cutouts")
    assert everything(out) == before
    session.undo()


def test_a_broken_image_is_reported_and_the_others_are_written(
    session: Session, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in" / "a_b.jpg").write_bytes(b"no image")
    steps: list[Step] = []
    with caplog.at_level(logging.WARNING):
        write(session, tmp_path / "out", "masks", progress=steps.append)
    assert len(list((tmp_path / "out" / "masks").iterdir())) == 3
    assert [(step.image, bool(step.fault)) for step in steps] == [
        ("a b.jpg", True),
        ("a/b.jpg", False),
        ("array", False),
        ("clip#3", False),
    ]
    assert "a_b.jpg is not an image" in steps[0].fault
    assert "Left out a b.jpg" in caplog.text


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PHOTO).save(path, exif=exif)


def with_place(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 1, "a description"
    Image.fromarray(PHOTO).save(path, quality=80, exif=exif)


PHOTO = np.random.default_rng(2).integers(0, 256, (24, 31, 3), np.uint8)
FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "photo.jpg": (lambda path: Image.fromarray(PHOTO).save(path, quality=70), "photo.jpg"),
    "my photo (1).JPG": (with_place, "my photo (1).JPG"),
    "grey.jpeg": (lambda path: Image.fromarray(PHOTO[..., 0]).save(path), "grey.jpeg"),
    "plain.png": (lambda path: Image.fromarray(PHOTO).save(path), "plain.png"),
    "misnamed.webp": (lambda path: Image.fromarray(PHOTO).save(path, "JPEG"), "misnamed.jpg"),
    "turned.jpg": (turned, ""),
    "print.jpg": (lambda path: Image.fromarray(PHOTO).convert("CMYK").save(path), ""),
    "palette.png": (lambda path: Image.fromarray(PHOTO).convert("P").save(path), ""),
    "scan.tif": (lambda path: Image.fromarray(PHOTO).save(path), ""),
}
"""Name -> how it is made, and the name under which its bytes are kept; empty if they are not."""


@pytest.mark.parametrize(
    ("kind", "inside"), [("coco", "images"), ("yolo", "images"), ("folder", "images"), ("voc", "JPEGImages")]
)
def test_photos_keep_their_names_and_bytes(kind: str, inside: str, tmp_path: Path) -> None:
    session = Session(network("late_global"))
    for name, (make, _) in FILES.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        make(path)
        session.add_image(path.stem, path)
    session.add_label("cat")
    session.dot("photo", 5, 5, "cat")
    session.dot("photo", 20, 5, "negative")
    out = tmp_path / "out"
    write(session, out, kind)
    found = everything(out / inside)
    kept = {name: to for name, (_, to) in FILES.items() if to and (kind != "voc" or to != "plain.png")}
    if kind == "voc":
        kept = {name: f"{Path(to).stem}.jpg".replace("my photo (1)", "my_photo_1") for name, to in kept.items()}
    for name, to in kept.items():
        assert found[to] == (tmp_path / "in" / name).read_bytes()
    for name in set(FILES) - set(kept):
        assert f"{Path(name).stem}.jpg" in found
    for name in found:
        size = (24, 31) if not name.startswith("turned") else (31, 24)
        assert image_size(out / inside / name) == size
        assert image_orientation(out / inside / name) == 1
    if kind == "coco":
        listed = json.loads((out / "annotations/instances_default.json").read_text())["images"]
        assert sorted(each["file_name"] for each in listed) == sorted(found)


def test_nothing_but_broken_images_is_an_error(session: Session, tmp_path: Path) -> None:
    (tmp_path / "in" / "a_b.jpg").unlink()
    with pytest.raises(UserError, match=r"Nothing could be written\. .*a_b.jpg does not exist"):
        write(session, tmp_path / "out", "masks", names=["a b.jpg"])


def test_a_video_that_breaks_off_is_written_up_to_there(session: Session, tmp_path: Path) -> None:
    data = (tmp_path / "in" / "clip.avi").read_bytes()
    (tmp_path / "in" / "cut.avi").write_bytes(data[: int(0.8 * len(data))])
    session.add_video("cut", tmp_path / "in" / "cut.avi")
    steps: list[Step] = []
    write(session, tmp_path / "out", "video", "cut", progress=steps.append)
    assert "breaks off" in steps[-1].fault
    film = cv2.VideoCapture(str(tmp_path / "out" / "cut.mp4"))
    assert 0 < film.get(cv2.CAP_PROP_FRAME_COUNT) == len(steps) - 1 < FRAMES
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(10)


def test_annotated_images_only(session: Session, tmp_path: Path) -> None:
    write(session, tmp_path / "all", "masks", annotated=True)
    assert {path.stem for path in (tmp_path / "all" / "masks").iterdir()} == {"array", "clip_3"}
    session.add_video("other", tmp_path / "in" / "clip.avi")
    write(session, tmp_path / "videos", "davis", annotated=True)
    assert [path.name for path in (tmp_path / "videos" / "JPEGImages/480p").iterdir()] == ["clip"]
    with pytest.raises(UserError, match="None of the 1 images to write is annotated"):
        write(session, tmp_path / "none", "masks", names="a b.jpg", annotated=True)
    with pytest.raises(UserError, match="None of the 1 videos to write is annotated"):
        write(session, tmp_path / "none", "davis", names="other", annotated=True)
    for kind, there in (("davis", "no video"), ("masks", "no image")):
        with pytest.raises(UserError, match=f"There is {there} 'nobody'"):
            write(session, tmp_path / "none", kind, names=["nobody"], annotated=True)
    assert not (tmp_path / "none").exists()


def test_refined_answers(session: Session, tmp_path: Path) -> None:
    write(session, tmp_path / "out", "masks", names=["array", "clip#3"], refined=True)
    for image in ("array", "clip#3"):
        found = read_labels(tmp_path / "out" / "masks" / f"{image.replace('#', '_')}.png")
        np.testing.assert_array_equal(found, session.refined(image))
    assert not np.array_equal(session.refined("array"), session.segment("array"))
    stopped(session, tmp_path / "quick", "masks")
    with pytest.raises(UserError, match="unfinished result"):
        write(session, tmp_path / "quick", "masks", refined=True)


def test_refined_videos_are_refused(session: Session, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="refined answers are of images; leave out refined, or choose one of coco"):
        write(session, tmp_path / "out", "davis", refined=True)
    assert not (tmp_path / "out").exists()


def test_images_of_one_label_are_left_out_of_training_data(session: Session, tmp_path: Path) -> None:
    session.add_image("flat", np.zeros((20, 20, 3), np.uint8))
    session.mask("flat", np.ones((20, 20), bool), "cat")
    steps: list[Step] = []
    write(session, tmp_path / "out", "folder", names=["flat", "array"], progress=steps.append)
    flat = [step for step in steps if len(np.unique(session.segment(step.image))) < 2]
    assert [step.image for step in flat] == [step.image for step in steps if "one label" in step.fault]


def test_a_stream_is_written_while_it_comes(session: Session, tmp_path: Path) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (3, 32, 40, 3), np.uint8)
    session.add_video("camera", iter(frames))
    write(session, tmp_path / "out", "davis", "camera")
    assert len(list((tmp_path / "out" / "JPEGImages/480p/camera").iterdir())) == 3
    with pytest.raises(UserError, match="a stream gives frames once"):
        write(session, tmp_path / "again", "davis", "camera")


def test_a_full_disk_is_said_in_a_sentence(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("PIL.Image.Image.save", full)
    with pytest.raises(UserError, match="is full; free some space"):
        write(session, tmp_path / "out", "masks")

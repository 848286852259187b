"""The command guided-seg segment: its forms, its formats, what it refuses, and what it leaves out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from subprocess import CompletedProcess

import cv2
import numpy as np
import pytest
from filelock import FileLock
from segment.conftest import CHECKPOINT, photo
from support.archives import everything, labels, smooth, write_image, write_mask
from support.commands import call
from support.networks import network

from guided_seg.data.images import read_image, read_labels
from guided_seg.formats import FORMATS
from guided_seg.formats.unfinished import FINISHED, LOCK, MARK
from guided_seg.session import Session

NETWORK = f"checkpoint={CHECKPOINT}"
IMAGE_FORMATS = sorted(name for name, each in FORMATS.items() if each.of == "images")
VIDEO_FORMATS = sorted(set(FORMATS) - set(IMAGE_FORMATS))


def segment(folder: Path, *words: str) -> CompletedProcess[str]:
    given = {word.partition("=")[0] for word in words}
    return call("segment.__main__", *words, *([] if "checkpoint" in given else [NETWORK]), folder=folder)


def written(folder: Path) -> dict[str, bytes]:
    """The files of a result without the one that says that it is finished."""
    return {name: data for name, data in everything(folder).items() if name != FINISHED}


def expected(saved: Path, path: Path) -> np.ndarray:
    """What a session with the same dots says."""
    session = Session.open(saved)
    session.add_image("query", path)
    return session.segment("query")


def clip(path: Path, frames: int = 4) -> Path:
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (48, 36))
    for number in range(frames):
        film.write(photo(number, 36, 48))
    film.release()
    return path


@pytest.mark.parametrize("kind", IMAGE_FORMATS)
def test_a_folder_in_every_format(kind: str, photos: Path, dots: Path, saved: Path, tmp_path: Path) -> None:
    done = segment(tmp_path, "photos", f"support={dots}", f"format={kind}", "output_dir=out")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "out: 5 images written.\n"
    again = segment(tmp_path, "photos", f"support={saved}", f"format={kind}", "output_dir=again")
    assert again.returncode == 0, again.stderr
    assert written(tmp_path / "out") == written(tmp_path / "again")
    assert not {MARK, LOCK} & set(everything(tmp_path / "out"))
    if kind == "masks":
        for path in photos.iterdir():
            found = read_labels(tmp_path / "out" / "masks" / f"{path.stem}.png")
            np.testing.assert_array_equal(found, expected(saved, path))


@pytest.mark.parametrize("kind", VIDEO_FORMATS)
def test_videos_in_every_format(kind: str, dots: Path, tmp_path: Path) -> None:
    clip(tmp_path / "clip.avi")
    done = segment(tmp_path, "clip.avi", f"support={dots}", f"format={kind}", "output_dir=out")
    assert done.stdout == "out: 4 images written.\n", done.stderr
    assert any(name.endswith((".mp4", "00003.png")) for name in written(tmp_path / "out"))


def test_frames_of_a_video_as_images(dots: Path, saved: Path, tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.avi")
    done = segment(tmp_path, "clip.avi", f"support={dots}", "format=masks", "output_dir=out")
    assert done.returncode == 0, done.stderr
    session = Session.open(saved)
    session.add_video("clip", path)
    for number, found in session.segment_video("clip"):
        name = tmp_path / "out" / "masks" / f"clip_avi_{number:05d}.png"
        np.testing.assert_array_equal(read_labels(name), found)


def test_a_frame_does_not_take_the_name_of_an_image(dots: Path, tmp_path: Path) -> None:
    clip(tmp_path / "clip.avi")
    write_image(tmp_path / "clip_avi_00001.jpg", picture=photo(20))
    words = ["clip.avi", "clip_avi_00001.jpg", f"support={dots}", "format=masks", "output_dir=out"]
    done = segment(tmp_path, *words)
    assert done.stdout == "out: 5 images written.\n", done.stderr
    names = sorted(path.stem for path in (tmp_path / "out" / "masks").iterdir())
    assert len(names) == 5
    assert {"clip_avi_00000", "clip_avi_00001", "clip_avi_00002"} <= set(names)
    size = read_labels(tmp_path / "out" / "masks" / "clip_avi_00001.png").shape
    assert size == photo(20).shape[:2]  # not that of the frames


def test_a_folder_of_frames_is_a_video(dots: Path, tmp_path: Path) -> None:
    done = segment(tmp_path, "photos", f"support={dots}", "format=davis", "output_dir=out")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out" / "Annotations/480p/photos").iterdir())) == 5


def test_queries_as_globs_and_files(photos: Path, dots: Path, tmp_path: Path) -> None:
    write_image(photos / "more" / "photo 1.jpg", picture=photo(8))
    words = ["photos/**/*1.jpg", "photos/photo 1.jpg", "photos/photo 3.jpg"]
    done = segment(tmp_path, *words, f"support={dots}", "format=masks", "output_dir=out")
    assert done.stdout == "out: 3 images written.\n", done.stderr
    assert sorted(path.stem for path in (tmp_path / "out" / "masks").iterdir()) == [
        "more_photo_1",
        "photo 1",
        "photo 3",
    ]


def test_images_of_the_session_keep_their_dots(photos: Path, saved: Path, tmp_path: Path) -> None:
    session = Session.open(saved)
    session.add_image("first", photos / "photo 0.jpg")
    session.dot("first", 3, 3, "disc")
    session.save(saved)
    done = segment(tmp_path, "photos", f"support={saved}", "format=masks", "output_dir=out")
    assert done.returncode == 0, done.stderr
    names = {path.stem for path in (tmp_path / "out" / "masks").iterdir()}
    assert names == {"first", *(f"photo {number}" for number in range(1, 5))}
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "masks" / "first.png"), session.segment("first"))
    alone = segment(tmp_path, f"support={saved}", "format=masks", "output_dir=own")
    assert alone.stdout == "own: 2 images written.\n", alone.stderr


def test_frames_of_a_video_of_the_session_keep_their_dots(saved: Path, tmp_path: Path) -> None:
    session = Session.open(saved)
    session.add_video("film", clip(tmp_path / "clip.avi"))
    session.dot(session.frame("film", 2), 3, 3, "disc")
    session.save(saved)
    done = segment(tmp_path, "clip.avi", f"support={saved}", "format=masks", "output_dir=out")
    assert done.returncode == 0, done.stderr
    for number, found in session.segment_video("film"):
        name = tmp_path / "out" / "masks" / f"film_{number:05d}.png"
        np.testing.assert_array_equal(read_labels(name), found)


def test_masks_as_support(photos: Path, tmp_path: Path) -> None:
    drawn = labels(1, 2)
    drawn[30:] = 255
    write_image(tmp_path / "shown" / "images" / "a.jpg", picture=smooth(*drawn.shape))
    write_mask(tmp_path / "shown" / "masks" / "a.png", drawn)
    (tmp_path / "shown" / "classes.txt").write_text("cup\nplate\n")
    done = segment(tmp_path, "photos", "support=shown", "format=masks", "output_dir=out", "k_way=one_vs_rest")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "classes.txt").read_text() == "cup\nplate\n"
    session = Session.load(CHECKPOINT, reading="one_vs_rest")
    session.add_image("a", tmp_path / "shown" / "images" / "a.jpg")
    for number, name in enumerate(("negative", "cup", "plate")):
        if number:
            session.add_label(name)
        session.mask("a", drawn == number, name)
    session.add_image("query", photos / "photo 2.jpg")
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "masks" / "photo 2.png"), session.segment("query"))


def test_refined_answers(photos: Path, saved: Path, tmp_path: Path) -> None:
    done = segment(tmp_path, "photos", f"support={saved}", "format=masks", "output_dir=out", "refined=true")
    assert done.returncode == 0, done.stderr
    session = Session.open(saved)
    session.add_image("query", photos / "photo 1.jpg")
    np.testing.assert_array_equal(read_labels(tmp_path / "out/masks/photo 1.png"), session.refined("query"))


def test_what_cannot_be_read_is_left_out_and_named(photos: Path, dots: Path, tmp_path: Path) -> None:
    (photos / "photo 1.jpg").write_bytes(b"no image")
    whole = (photos / "photo 3.jpg").read_bytes()
    (photos / "photo 3.jpg").write_bytes(whole[: len(whole) // 2])
    words = ["photos", f"support={dots}", "format=coco", "output_dir=out"]
    for beginning in ("out: 3 images written; 2", "out: 3 images written before, so nothing was to be done; 2"):
        done = segment(tmp_path, *words)
        assert done.returncode == 1
        assert done.stdout == f"{beginning} left out.\n"
        assert "left out: photo 1.jpg: The file" in done.stderr
        assert "left out: photo 3.jpg: The image" in done.stderr
    listed = json.loads((tmp_path / "out/annotations/instances_default.json").read_text())["images"]
    assert [each["file_name"] for each in listed] == ["photo 0.jpg", "photo 2.jpg", "photo 4.jpg"]


def dots_of(content: object) -> str:
    return content if isinstance(content, str) else json.dumps(content)


GOOD = {"images": {"shown.png": [[18, 20, "disc"]]}}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"images": {"shown.png": []}}, "holds no dots; expected"),
        ({"images": {}}, "holds no dots; expected"),
        ({"images": {"shown.png": [[2, 2, "negative"]]}}, "dots of negative alone"),
        ({"images": {"shown.png": [[500, 2, "disc"]]}}, "The dot at row 500, column 2 lies outside its 37 x 50 image"),
        ({"images": {"gone.png": [[5, 2, "disc"]]}}, "gone.png does not exist"),
        ({"images": [{"id": 1}], "annotations": [], "categories": []}, "it seems to be COCO's"),
        ({"shapes": [], "imagePath": "a.jpg"}, "it seems to be labelme's"),
        ([{"id": 1, "annotations": []}], "it seems to be Label Studio's"),
        ({"pictures": {}}, "it has no images"),
        ([], "it has no images"),
        ({**GOOD, "label": ["disc"]}, "it has the key 'label'; did you mean labels?"),
        ({**GOOD, "labels": ["disk"]}, "has the label 'disc', which is not in its list of labels; did you mean disk?"),
        ({**GOOD, "labels": ["disc", "disc"]}, "its list of labels has a name twice"),
        ({**GOOD, "labels": "disc"}, "its labels are 'disc', not a list of names"),
        ({"images": {"shown.png": {"disc": [18, 20]}}}, "the dots of shown.png are {'disc': [18, 20]}, not a list"),
        ({"images": {"shown.png": [[18, 20]]}}, "a dot of shown.png is [18, 20]"),
        ({"images": {"shown.png": [[1.5, 20, "disc"]]}}, "a dot of shown.png is [1.5, 20, 'disc']"),
        ({"images": {"shown.png": [[18, 20, 1]]}}, "the label of a dot of shown.png is 1, not a name"),
        ('{"images": {"shown.png": [[18, 20', "It ends too early: it is cut off"),
    ],
)
def test_files_of_dots_that_cannot_be_used(content: object, sentence: str, dots: Path, tmp_path: Path) -> None:
    dots.write_text(dots_of(content), encoding="utf-8")
    done = segment(tmp_path, "photos", f"support={dots}")
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "segmented").exists()


def test_labels_of_a_file_of_dots_keep_their_numbers(dots: Path, tmp_path: Path) -> None:
    dots.write_text(json.dumps({**GOOD, "labels": ["negative", "cup", "disc"]}), encoding="utf-8")
    words = ["photos", f"support={dots}", "format=masks", "output_dir=out", "k_way=one_vs_rest"]
    done = segment(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "classes.txt").read_text() == "cup\ndisc\n"


def test_a_result_is_no_query(photos: Path, dots: Path, tmp_path: Path) -> None:
    words = ["photos/**/*.jpg", f"support={dots}", "output_dir=photos/out"]
    assert segment(tmp_path, *words).stdout == "photos/out: 5 images written.\n"
    assert len(list(photos.rglob("*.jpg"))) == 10
    assert segment(tmp_path, *words).stdout.startswith("photos/out: 5 images written before")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["photos"], "support has no default; add support=... to the command."),
        (["photos", "support=gone.json"], "There is no support"),
        (["photos", "support=shown.png"], "is a file of another kind; give a saved session (.session)"),
        (["photos", "support=photos"], "has no folder images"),
        (["gone", "support=dots.json"], "There is no"),
        (["photos/*.png", "support=dots.json"], "No file matches photos/*.png"),
        (["*.json", "support=dots.json"], "None of the 1 files that match *.json is an image"),
        (["empty", "support=dots.json"], "holds nothing that is an image"),
        (["films", "support=dots.json"], "It holds videos; name them, as in films/*.avi"),
        (["above", "support=dots.json"], "There are images in inside; name such folders"),
        (["photos/photo 1.jpg", "support=dots.json", "format=video"], "is an image, and the format video is of videos"),
        (["films", "support=dots.json", "format=davis", "refined=true"], "refined answers are of images"),
        (["dots.json", "support=dots.json", "output_dir=out"], "Nothing could be written. "),
        (["photos", "support=dots.json", "format=coc"], "There is no format 'coc'; did you mean 'coco'"),
        (["photos", "support=dots.json", "output_dir=films"], "is not empty, it holds clip.avi"),
        (["photos", "support=dots.json", "output_dir=photos"], "All of photos lies in the folder of the result"),
        (["photos", "support=dots.json", "output_dir=dots.json"], "dots.json is a file; choose"),
        (["photos", "support=dots.json", "engine=spark"], "engine=spark: expected local or ray"),
        (["photos", "support=dots.json", "workers=0"], "workers=0: expected a whole number from 1"),
        (["photos", "support=dots.json", "checkpoint=nobody"], "There is no checkpoint nobody"),
        (["support=dots.json", "format=davis"], "There are no videos in the support; name what to segment"),
        (["segmented", "support=dots.json"], "lies in the folder of the result"),
    ],
)
@pytest.mark.usefixtures("dots")
def test_what_cannot_be_done_is_refused(words: Sequence[str], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "films").mkdir()
    write_image(tmp_path / "segmented" / "a.jpg")
    clip(tmp_path / "films" / "clip.avi")
    write_image(tmp_path / "above" / "inside" / "a.jpg")
    done = segment(tmp_path, *words)
    assert done.returncode == 2, done.stdout
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_session_without_dots_is_refused(saved: Path, tmp_path: Path) -> None:
    session = Session.open(saved)
    session.clear()
    session.save(saved)
    done = segment(tmp_path, "photos", f"support={saved}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Nothing is annotated in" in done.stderr


def test_a_result_of_another_job_is_refused(dots: Path, tmp_path: Path) -> None:
    words = ["photos", f"support={dots}", "format=masks", "output_dir=out"]
    assert segment(tmp_path, *words).returncode == 0
    before = everything(tmp_path / "out")
    other = json.dumps({"images": {"shown.png": [[18, 20, "disc"], [5, 5, "negative"]]}})
    for change in (["format=coco"], ["refined=true"], ["photos/photo 1.jpg"], [other]):
        dots.write_text(change[0] if change == [other] else json.dumps(GOOD), encoding="utf-8")
        done = segment(tmp_path, *words, *([] if change == [other] else change))
        assert done.returncode == 2
        assert "holds a result of other annotations, images, settings or another format; remove it" in done.stderr
    assert everything(tmp_path / "out") == before


def test_two_runs_on_one_folder(dots: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / LOCK):
        done = segment(tmp_path, "photos", f"support={dots}", "output_dir=out")
    assert done.returncode == 2
    assert "Another process is filling the folder" in done.stderr
    assert segment(tmp_path, "photos", f"support={dots}", "output_dir=out").returncode == 0


def test_a_disk_that_fills_up(dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["photos", f"support={dots}", "output_dir=out"]
    keep, calls = Path.write_bytes, 0

    def full(path: Path, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls > 4:
            raise OSError(28, "No space left on device")
        return keep(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        done = segment(tmp_path, *words)
    assert done.returncode == 2
    assert "is full; free some space, or set output_dir to another folder" in done.stderr
    segmented = count_segmented(monkeypatch)
    assert segment(tmp_path, *words).returncode == 0
    assert len(segmented) == 3  # two were kept
    assert segment(tmp_path, *words[:-1], "output_dir=whole").returncode == 0
    assert everything(tmp_path / "out") == everything(tmp_path / "whole")


def count_segmented(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    honest = Session.segment_pixels

    def counted(session: Session, *words: object) -> np.ndarray:
        found.append(1)
        return honest(session, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(Session, "segment_pixels", counted)
    return found


def test_ctrl_c_says_that_the_same_command_goes_on(dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["photos", f"support={dots}", "output_dir=out"]
    honest, calls = Session.segment_pixels, 0

    def interrupted(session: Session, *more: object) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return honest(session, *more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Session, "segment_pixels", interrupted)
        done = segment(tmp_path, *words)
    assert done.returncode == 130
    assert "The same command goes on: what was segmented is kept in out." in done.stderr
    segmented = count_segmented(monkeypatch)
    assert segment(tmp_path, *words).returncode == 0
    assert len(segmented) <= 5 - 1


def test_an_image_that_changed_is_segmented_again(
    photos: Path, dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["photos", f"support={dots}", "format=masks", "output_dir=out"]
    (photos / "photo 4.jpg").write_bytes(b"no image")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("guided_seg.formats.kinds.indexed_masks.write_lines", stop)
        assert segment(tmp_path, *words).returncode == 130
    write_image(photos / "photo 4.jpg", picture=photo(4))
    write_image(photos / "photo 0.jpg", picture=photo(11, 41, 53))
    assert segment(tmp_path, *words).returncode == 0
    assert segment(tmp_path, *words[:-1], "output_dir=whole").returncode == 0
    assert written(tmp_path / "out") == written(tmp_path / "whole")
    assert read_labels(tmp_path / "out/masks/photo 0.png").shape == (41, 53)


def test_turned_photos_are_segmented_as_they_are_seen(photos: Path, dots: Path, saved: Path, tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo(3)).save(photos / "turned.jpg", exif=exif)
    done = segment(tmp_path, "photos/turned.jpg", f"support={dots}", "format=masks", "output_dir=out")
    assert done.returncode == 0, done.stderr
    found = read_labels(tmp_path / "out/masks/turned.png")
    assert found.shape == read_image(photos / "turned.jpg").shape[:2] == (50, 37)
    np.testing.assert_array_equal(found, expected(saved, photos / "turned.jpg"))


def test_labels_that_the_network_lacks_are_refused(dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    joint = Session(network("joint"))  # before the command, since Hydra composes one configuration at a time
    monkeypatch.setattr(Session, "load", lambda *_: joint)
    dots.write_text(json.dumps({"images": {"shown.png": [[18, 20, "disc"], [5, 5, "cup"]]}}), encoding="utf-8")
    done = segment(tmp_path, "photos", f"support={dots}")
    assert done.returncode == 2
    assert "was trained for 2 labels and got 3; use shared to train another network, or read this one" in done.stderr
    assert not (tmp_path / "segmented").exists()


def test_networks_without_global_guidance_are_refused(
    dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(Session.load(CHECKPOINT).network), "needs_same_image", True)
    done = segment(tmp_path, "photos", f"support={dots}")
    assert done.returncode == 2
    assert "choose a network with global guidance" in done.stderr

"""Bad input, each refused in one clear sentence before training starts, as the command shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hydra.errors import InstantiationException
from support.archives import noise_davis, noise_folder, write_coco, write_lines, write_mask, write_voc
from support.commands import TINY, call, compose_run

from guided_seg.cli.command import user_sentence
from guided_seg.composition.build import build_network
from guided_seg.errors import UserError
from guided_seg.model.network import GuidedNetwork
from guided_seg.training.module import EpisodicSegmentation
from guided_seg.training.train import train

MINE = ("data=folder", "data.root=mine", "data.min_pixels=10")
LACKING = (
    *(("folder", "images"), ("voc", "JPEGImages"), ("davis", "JPEGImages"), ("sbd", "img")),
    *(("coco", "images"), ("camvid", "train")),
)
OWN = tuple(option for option in TINY if not option.startswith("data.size"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh working folder, and no training."""

    def training_step(*_: Any) -> None:
        pytest.fail("training has started")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(EpisodicSegmentation, "training_step", training_step)


def refusal(*overrides: str) -> str:
    """Calls the main command with overrides; the sentence that it ends with."""
    done = call("run", *overrides, folder=Path())
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, "one sentence, one line"
    assert "Traceback" not in done.stderr
    return done.stderr.removeprefix("error: ").strip()


def without_the_command(*overrides: str) -> str:
    """The sentence that the command would end with; to compose three times takes most of the time of a command."""
    with pytest.raises((UserError, InstantiationException)) as caught:
        train(compose_run(*overrides), Path("run"))
    sentence = user_sentence(caught.value)
    assert sentence is not None
    assert "\n" not in sentence
    return sentence


def sentence_of(*overrides: str) -> str:
    """`without_the_command`, with the settings of a small network."""
    return without_the_command(*OWN, *overrides)


def numbers(count: int) -> list[str]:
    return [f"{number:02d}" for number in range(count)]


def test_training_is_what_these_tests_keep_from_starting() -> None:
    """With good input the command would train."""
    noise_folder(Path("mine"), numbers(10))
    with pytest.raises(BaseException, match="training has started"):
        call("run", *OWN, *MINE, "data.augment.size=48", "debug=true", folder=Path())


def test_a_root_that_is_missing() -> None:
    expected = "nowhere does not exist; set data.root to a folder that holds"
    assert expected in refusal(*OWN, "data=folder", "data.root=nowhere")
    for data in ("folder", "voc", "davis", "sbd", "coco", "camvid", "fss1000"):
        assert expected in without_the_command(*OWN, f"data={data}", "data.root=nowhere")


def test_a_root_that_is_empty() -> None:
    Path("mine").mkdir()
    for data, lacking in LACKING:
        sentence = without_the_command(*OWN, f"data={data}", "data.root=mine")
        assert f"mine has no folder {lacking}; expected" in sentence
    for folder in ("images", "masks"):
        (Path("mine") / folder).mkdir()
    assert "images holds no images; expected .jpg" in refusal(*OWN, *MINE)


def test_too_few_items_for_three_splits() -> None:
    noise_folder(Path("mine"), numbers(3))
    assert "holds 3 items, but train, val and test need at least 5" in refusal(*OWN, *MINE)


def test_an_image_without_its_mask() -> None:
    noise_folder(Path("mine"), numbers(10))
    Path("mine/masks/07.png").unlink()
    sentence = refusal(*OWN, *MINE)
    assert "07.jpg" in sentence
    assert "07.png" in sentence


def test_an_image_and_a_mask_of_different_sizes() -> None:
    noise_folder(Path("mine"), numbers(10))
    cv2.imwrite("mine/masks/07.png", np.zeros((20, 30), np.uint8))
    sentence = refusal(*OWN, *MINE)
    assert "07.jpg is 48 x 64 (height x width) but its mask" in sentence
    assert "07.png is 20 x 30" in sentence


def test_a_broken_jpeg() -> None:
    noise_folder(Path("mine"), numbers(10))
    file = Path("mine/images/07.jpg")
    file.write_bytes(file.read_bytes()[:-200])
    assert "07.jpg is cut off" in refusal(*OWN, *MINE)


def test_a_mask_of_one_label_only() -> None:
    noise_folder(Path("mine"), numbers(10))
    cv2.imwrite("mine/masks/07.png", np.zeros((48, 64), np.uint8))
    assert "07.png holds only the label 0; a task needs something to segment" in refusal(*OWN, *MINE)


@pytest.mark.parametrize(("label", "found"), [(0, "label 0"), (1, "label 1"), (255, "label 1")])  # 255 is white
def test_masks_of_one_label_only(label: int, found: str) -> None:
    noise_folder(Path("mine"), numbers(10))
    for mask in Path("mine/masks").iterdir():
        cv2.imwrite(str(mask), np.full((48, 64), label, np.uint8))
    assert f"02.png holds only the {found}; a task needs something to segment and something around" in sentence_of(
        *MINE
    )


def test_photographs_of_one_class_that_fills_them() -> None:
    write_voc(Path("mine"), {"a": (8,), "b": (8,)}, {"c": (8,)})
    for mask in Path("mine/SegmentationClass").iterdir():
        write_mask(mask, np.full((40, 60), 8, np.uint8))
    sentence = sentence_of("data=voc", "data.root=mine", "data.held_out=[]")
    assert sentence.startswith("The source 'voc' finds nothing to segment in this split")


SQUARE = [5, 5, 25, 5, 25, 25, 5, 25]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ({"segmentation": [[5, 5, 25, 25]]}, "has a polygon of 2 points; three or more enclose an area"),
        ({"segmentation": [[70, 5, 80, 5, 80, 9]]}, "lies outside the image of 40 x 60 (height x width)"),
        (
            {"segmentation": [SQUARE], "bbox": [70, 5, 20, 20]},
            "has the box [70, 5, 20, 20] (x, y, width, height), which",
        ),
        ({"segmentation": [], "bbox": [5, 5, 20, 20]}, "None of 3 annotations of"),
    ],
)
def test_an_annotation_that_shows_nothing(shape: dict[str, Any], expected: str) -> None:
    images = {name: [{"category_id": 1, **shape}] for name in ("a", "b", "c")}
    write_coco(Path(), {"train2017": images, "val2017": images}, {1: "person"})
    assert expected in sentence_of("data=coco", "data.root=.", "data.held_out=[]")


def test_two_images_of_one_id() -> None:
    images = {name: [{"category_id": 1, "segmentation": [SQUARE]}] for name in ("a", "b")}
    write_coco(Path(), {"train2017": images, "val2017": images}, {1: "person"})
    file = Path("annotations/instances_train2017.json")
    content = json.loads(file.read_text())
    content["images"][1]["id"] = content["images"][0]["id"]
    file.write_text(json.dumps(content))
    assert "Two images of" in (sentence := sentence_of("data=coco", "data.root=.", "data.held_out=[]"))
    assert "have the id 0, 'a.jpg' and 'b.jpg', so their annotations cannot be told apart" in sentence


def test_splits_that_share_an_image() -> None:
    noise_folder(Path("mine"), numbers(10))
    for split, names in {"train": numbers(4), "val": ["05", "03"], "test": ["06", "07"]}.items():
        write_lines(Path("mine") / f"{split}.txt", *names)
    assert "'03' is on the list of train and on that of val or test, 1 in all" in sentence_of(*MINE)


@pytest.mark.parametrize(("number", "use"), [("05", "validated on"), ("07", "tested")])
def test_splits_that_share_a_copy_of_an_image(number: str, use: str) -> None:
    noise_folder(Path("mine"), numbers(10))
    for split, names in {"train": numbers(4), "val": ["04", "05"], "test": ["06", "07"]}.items():
        write_lines(Path("mine") / f"{split}.txt", *names)
    (Path("mine/images") / f"{number}.jpg").write_bytes(Path("mine/images/02.jpg").read_bytes())
    sentence = sentence_of(*MINE)
    assert f"Training would see 1 images that are {use}, as copies, such as" in sentence
    assert "02.jpg, which is the same as" in sentence


def test_an_unknown_class() -> None:
    noise_folder(Path("mine"), numbers(10))
    Path("mine/classes.txt").write_text("square\n")
    sentence = refusal(*OWN, *MINE, "data.held_out=[sqare]")
    assert sentence.startswith("There is no class 'sqare'; did you mean 'square'?")


def test_a_mode_that_the_data_has_not() -> None:
    noise_davis(Path("davis"))
    sentence = refusal(*OWN, "data=davis", "data.root=davis", "mode=semantic")
    assert sentence.startswith("The source 'davis' has no tasks for mode=semantic; it supports interactive, video.")


@pytest.mark.parametrize("mode", ["mixed", "semantic", "video"])
def test_local_guidance_on_other_images(mode: str) -> None:
    sentence = refusal(*TINY, "locality=local", f"mode={mode}")
    assert "locality=local" in sentence
    assert f"mode={mode}" in sentence
    assert sentence.endswith("choose locality=global or mode=interactive.")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("evaluation.points=[0]", "evaluation.points=[0]: expected a list of different whole numbers from 1 or dense."),
        ("evaluation.shots=[0]", "evaluation.shots=[0]: expected a list of different whole numbers from 1."),
        ("episode.shots=[3,1]", "episode.shots=[3,1]: expected [least, most] with 1 <= least <= most."),
        ("episode.points.low=0", "episode.points.low=0, points.high=64: expected 1 <= low <= high."),
        ("trainer.max_steps=0", "trainer.max_steps=0: expected a whole number from 1."),
        ("data.training.batch_size=0", "data.training.batch_size=0: expected a whole number from 1."),
        ("evaluation.modes=[vidoe]", "There is no mode 'vidoe'; choose from interactive, semantic, video."),
        ("evaluation.modes=[]", "Nothing can be tested of no mode"),
        ("data.size=8", "data.size=8 leaves no room for objects; use at least 32 pixels."),
        ("trainer.accelerator=tpv", "trainer: You selected an invalid accelerator name"),
        ("+trainer.max_stepz=3", "trainer: "),
        ("mode.weights.video=-1", "mode.weights="),
        ("output_dir=file/run", "file is not a folder; choose another with output_dir=..."),
        ("ckpt_path=nowhere.ckpt", "There is no checkpoint nowhere.ckpt to resume from"),
        ("ckpt_path=file", "file cannot be read as a checkpoint"),
        ("ckpt_path=tensors.pth", "tensors.pth is not a checkpoint of guided_seg.run: it has no config"),
    ],
)
def test_settings_that_cannot_be(override: str, expected: str) -> None:
    Path("file").write_text("text")
    torch.save({"weight": torch.zeros(1)}, "tensors.pth")
    assert expected in refusal(*TINY, override)


def test_weights_that_are_not_there() -> None:
    small = tuple(option for option in TINY if not option.startswith("backbone."))
    sentence = refusal(*small, "backbone=vgg16_lite", "backbone.weights=nowhere.pth")
    assert "no weights file nowhere.pth; check backbone.weights" in sentence


@pytest.mark.parametrize("word", ["~fusion", "~seed", "~trainer.max_steps", "~optimizer.optimizer.lr"])
def test_what_the_command_needs_is_not_taken_away(word: str) -> None:
    assert refusal(*OWN, word) == (
        f"{word} removes a setting that the command needs; leave it out, or set {word[1:]}=... instead."
    )


def test_settings_that_an_experiment_made_for_another_part() -> None:
    words = ("+experiment=guided_lite0", "data=shapes", "conditioning=nearest_neighbors", "decoder=skips")
    sentence = refusal(*(word for word in OWN if not word.startswith("backbone.")), *words)
    assert sentence.startswith("conditioning is NearestNeighbors, which has no setting hidden; choose another")
    # what it advises helps
    away = [word.strip("'") for word in sentence.split() if word.startswith("'~")]
    assert isinstance(build_network(compose_run(*words, *away, "backbone=small")), GuidedNetwork)

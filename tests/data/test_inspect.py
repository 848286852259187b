"""The command that shows what data holds."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache, partial
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf
from support.archives import davis_tree, labels, spoil_jpeg, voc_tree, write_image, write_mask
from support.commands import call, last_line
from support.restricted import dense_episodes, restrict

from guided_seg.data.preparation.overview import UNREAD, balance, overview, sheet
from guided_seg.data.preparation.reading import read_all
from guided_seg.data.shapes.shapes import Shapes
from guided_seg.data.source import MODES, SPLITS, Source
from guided_seg.data.sources.davis import Davis
from guided_seg.data.sources.voc import Voc
from guided_seg.episode import collate
from guided_seg.errors import BrokenFile, DataError
from guided_seg.settings.overrides import find_problem

SMALL = ("data.size=48", "data.tasks=16", "sheet.episodes=2")


@cache
def composed(data: str) -> DictConfig:
    with initialize_config_module("guided_seg.conf", version_base="1.3"):
        return compose("inspect", [data])


def config(data: str, *settings: str) -> DictConfig:
    """The config of the command."""
    return cast(DictConfig, OmegaConf.merge(composed(data), OmegaConf.from_dotlist(list(settings))))


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    return voc_tree(tmp_path / "voc")


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_shapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = overview(config("data=shapes", *SMALL), tmp_path / "out")
    names = {"inspect.md", "classes.png", *(f"episodes_{mode}.png" for mode in MODES)}
    assert {file.name for file in path.parent.iterdir()} == names
    for name in names - {"inspect.md"}:
        assert cv2.imread(str(path.parent / name)) is not None
        assert f"]({name})" in path.read_text(encoding="utf-8")
    assert lines(path)[0] == "# shapes"
    rows = [line.split(" | ") for line in lines(path) if re.match(r"\| \w+ \| \w+ \| [\d,]+ \| \d", line)]
    assert [(row[0][2:], row[1]) for row in rows] == [(split, mode) for split in SPLITS for mode in MODES]
    assert {row[2] for row in rows} == {"16"}
    assert "- none is broken" in lines(path)
    assert "Tasks: semantic" in capsys.readouterr().out


def test_voc_with_a_class_held_out(voc: Path, tmp_path: Path) -> None:
    write_image(voc / "JPEGImages/2008_000003.jpg")
    write_mask(voc / "SegmentationClass/2008_000003.png", labels(8))
    write_mask(voc / "SegmentationObject/2008_000003.png", labels(1))
    with (voc / "ImageSets/Segmentation/val.txt").open("a") as file:
        file.write("2008_000003\n")
    cfg = config("data=voc", f"data.root={voc}", "sheet.split=test")
    cfg.data.held_out = ["dog"]
    found = lines(overview(cfg, tmp_path / "out"))
    assert "| train | interactive | 2 | 1 | cat (2) | cat (2) |" in found
    assert "| val | interactive | 1 | 1 | cat (1) | cat (1) |" in found
    assert "| val | semantic | 0 | 0 | – | – |" in found
    assert "| test | semantic | 2 | 1 | dog (2) | dog (2) |" in found
    assert "| cat | 2 | 1 | 0 |" in found
    assert "| dog | 0 | 0 | 2 |" in found


def test_broken_files_are_listed(voc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = voc / "JPEGImages/2007_000001.jpg"
    cut.write_bytes(cut.read_bytes()[:-20])
    cfg = config("data=voc", f"data.root={voc}", "data.held_out=[]")
    found = lines(overview(cfg, tmp_path / "out"))
    told = [line for line in found if line.startswith("- broken: ")]
    assert len(told) == 1
    assert told[0].startswith("- broken: The image JPEGImages/2007_000001.jpg is cut off")
    assert found[found.index(told[0]) + 1] == f"- {UNREAD}"
    assert told[0][2:] in capsys.readouterr().out


def test_a_mixture_and_the_broken_files_of_its_parts(tmp_path: Path) -> None:
    cut = voc_tree(tmp_path / "voc2012") / "JPEGImages/2007_000001.jpg"
    cut.write_bytes(cut.read_bytes()[:-20])
    davis_tree(tmp_path / "davis2016")
    cfg = config("data=mixture", f"data.root={tmp_path}", "data.held_out=[]", "sheet.episodes=2")
    del cfg.data.sources.coco, cfg.data.sources.regions
    found = lines(overview(cfg, tmp_path / "out"))
    assert "| train | semantic | 2 | 1 | voc/dog (2) | voc/dog (2) |" in found
    assert "| val | video | 2 | 2 | davis/camel/1 (1) | davis/camel/2 (1) |" in found
    assert [line for line in found if line.startswith("- broken: The image ") and "2007_000001.jpg is cut off" in line]


def test_only_the_command_that_prepares_decodes_images(voc: Path, tmp_path: Path) -> None:
    spoil_jpeg(voc / "JPEGImages/2007_000001.jpg")
    with pytest.raises(BrokenFile, match=r"2007_000001\.jpg cannot be decoded"):
        Voc(voc, "train").load("SegmentationClass/2007_000001")
    found = lines(overview(config("data=voc", f"data.root={voc}", "data.held_out=[]"), tmp_path / "out"))
    assert found[found.index("## Files") + 2] == f"- {UNREAD}"
    assert read_all(partial(Voc, voc))[1][0].startswith(f"The image {voc}/JPEGImages/2007_000001.jpg cannot be decoded")


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("kind", ["voc", "davis", "shapes"])
def test_the_balance_counts_the_fixed_tasks(kind: str, split: str, tmp_path: Path) -> None:
    sources: dict[str, Source] = {
        "voc": Voc(voc_tree(tmp_path / "voc"), split),
        "davis": Davis(davis_tree(tmp_path / "davis"), split),
        "shapes": Shapes(split, size=32, tasks=24),
    }
    source, rng = sources[kind], np.random.default_rng(0)
    for mode in MODES:
        number = source.count(mode) if mode in source.modes else 0
        found = balance(source, mode)
        assert sum(found.values()) == number
        assert list(found.values()) == sorted(found.values(), reverse=True)
        if kind != "shapes":  # whose interactive objects are drawn anew by each generator
            assert found == Counter(source.fixed(mode, index, 1, rng).group for index in range(number))


def test_a_sheet_shows_the_dots_that_an_evaluation_asks() -> None:
    source = Shapes("test", size=48, tasks=8)
    rows = sheet(source, "semantic", episodes=4, shots=2, points=3, seed=5)
    asked = restrict(collate(dense_episodes(source, "semantic", 2, 4, 5)), 2, 3, 5)
    assert len(rows) == 4
    for number, row in enumerate(rows):
        shots = torch.nonzero(asked.shot_episode == number).flatten().tolist()
        assert len(row.support) == len(shots) == 2
        for shown, shot in zip(row.support, shots, strict=True):
            assert torch.equal(torch.as_tensor(shown.points), asked.points[asked.points[:, 0] == shot, 1:])
        assert row.prediction is None
        assert torch.equal(torch.as_tensor(row.target), asked.target[number])


def test_a_sheet_leaves_out_what_broke(voc: Path) -> None:
    source = Voc(voc, "train")
    (voc / "JPEGImages/2007_000001.jpg").unlink()
    titles = [row.title for row in sheet(source, "interactive", episodes=4, shots=1, points=1, seed=0)]
    assert titles == ["interactive · cat", "interactive · dog", "interactive · dog"]


def test_the_command(tmp_path: Path) -> None:
    done = call("data.inspect", "data=shapes", *SMALL, "output_dir=seen", folder=tmp_path)
    assert last_line(done) == str(tmp_path / "seen")
    assert done.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["seen"]
    assert (tmp_path / "seen/inspect.md").is_file()


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "You must specify 'data'"),
        (["data=shapes", "sheet.episodes=0"], "sheet.episodes=0: expected a whole number from 1."),
        (["data=shapes", "sheet.points=dense"], "sheet.points=dense: expected a whole number from 1."),
        (["data=shapes", "sheet.point=1"], "There is no setting 'sheet.point'; did you mean sheet.points?"),
    ],
)
def test_a_slip_is_named(argv: list[str], expected: str) -> None:
    assert str(find_problem("inspect", argv, "guided_seg.conf")).startswith(expected)


def test_an_unknown_split_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no split 'tset'; did you mean 'test'"):
        overview(config("data=voc", "data.root=nowhere", "sheet.split=tset"), tmp_path)

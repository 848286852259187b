"""No image of a held-out class reaches training or model selection with its label, whatever the source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.archives import write_coco, write_lines, write_polygons

from guided_seg.data.coco.coco import COCO_CLASSES, Coco
from guided_seg.data.datamodule import MixedEpisodes
from guided_seg.data.indexed import IndexedSource
from guided_seg.data.leaks import BEGINNING, copies
from guided_seg.data.source import Split, Task
from guided_seg.data.sources.camvid import CAMVID_CLASSES, Camvid
from guided_seg.data.sources.folder import Folder
from guided_seg.data.sources.pascal import VOC_CLASSES
from guided_seg.data.sources.sbd import Sbd
from guided_seg.data.sources.voc import Voc
from guided_seg.errors import DataError

Make = Callable[..., IndexedSource]
HELD = "bicycle"
"""Held out; each archive has a plain image, one of this class alone, and one of both, in every split."""

SOURCES = ("voc", "voc_instances", "trainaug", "sbd", "coco", "coco_polygons", "camvid", "folder")
MIXED = tuple(name for name in SOURCES if name != "folder")
BOTH, ALONE = ("both0", "both1"), ("alone0", "alone1")


def leaks(train: IndexedSource, held_out: str) -> list[str]:
    """The keys of images that a source of train or val shows with the label of a held-out class."""
    tables = [*train.classes.items(), *train.videos.items(), *((group, [target]) for group, target in train.objects)]
    return sorted({str(target.key) for group, targets in tables for target in targets if group == held_out})


def _images(a: Any, b: Any) -> dict[str, Any]:
    """Images of the classes a (open) and b (held out)."""
    return {"plain0": (a,), "plain1": (a,), **dict.fromkeys(BOTH, (a, b)), **dict.fromkeys(ALONE, (b,))}


def _tagged(split: str, a: Any, b: Any) -> dict[str, Any]:
    return {f"{split}_{name}": values for name, values in _images(a, b).items()}


def _voc(instances: bool, request: pytest.FixtureRequest) -> Make:
    a, b = VOC_CLASSES.index("dog") + 1, VOC_CLASSES.index(HELD) + 1
    root = request.getfixturevalue("voc")(_tagged("train", a, b), _tagged("val", a, b), objects=instances)
    return partial(Voc, root)


def _sbd(request: pytest.FixtureRequest) -> Make:
    a, b = VOC_CLASSES.index("dog") + 1, VOC_CLASSES.index(HELD) + 1
    root = request.getfixturevalue("sbd")(_tagged("train", a, b), _tagged("val", a, b))
    return partial(Sbd, root)


def _trainaug(request: pytest.FixtureRequest) -> Make:
    a, b = VOC_CLASSES.index("dog") + 1, VOC_CLASSES.index(HELD) + 1
    sbd = request.getfixturevalue("sbd")(_tagged("more", a, b), _tagged("val", a, b))
    root = request.getfixturevalue("voc")(_tagged("train", a, b), _tagged("val", a, b))
    return partial(Voc, root, train_list="trainaug", sbd_root=sbd)


def _outline(i: int) -> list[float]:
    left = 14 * i
    return [left, 10, left + 12, 10, left + 12, 22, left, 22]


def _coco(request: pytest.FixtureRequest) -> Make:
    root = request.getfixturevalue("tmp_path")
    # which images of the official train are val, instead of by a hash
    request.getfixturevalue("monkeypatch").setattr(
        "guided_seg.data.coco.coco.hashed", lambda name: 0.0 if name.startswith("some") else 0.9
    )
    parts = {
        part: {
            name: [{"category_id": value, "segmentation": [_outline(i)]} for i, value in enumerate(values)]
            for tag in tags
            for name, values in _tagged(tag, 17, 2).items()
        }
        for part, tags in (("train2017", ("train", "some")), ("val2017", ("val",)))
    }
    write_coco(root, parts, dict(enumerate(COCO_CLASSES, 1)))
    return partial(Coco, root)


def _coco_polygons(request: pytest.FixtureRequest) -> Make:
    root, shapes = request.getfixturevalue("tmp_path"), {}
    for split in ("train", "val", "test"):
        tagged = _tagged(split, 17, 2)
        write_lines(root / f"{split}.txt", *tagged)
        shapes |= {name: [(value, _outline(i)) for i, value in enumerate(values)] for name, values in tagged.items()}
    write_polygons(root, shapes)
    return partial(Coco, root)


def _camvid(request: pytest.FixtureRequest) -> Make:
    a, b = CAMVID_CLASSES.index("road"), CAMVID_CLASSES.index("bicyclist")
    root = request.getfixturevalue("camvid")
    root = root({split: _tagged(split, a, b) for split in ("train", "val", "test")}, CAMVID_CLASSES.index("building"))
    return partial(Camvid, root)


def _folder(request: pytest.FixtureRequest) -> Make:
    parts = {split: _tagged(split, 1, 2) for split in ("train", "val", "test")}
    root = request.getfixturevalue("folder")({name: values for part in parts.values() for name, values in part.items()})
    (root / "classes.txt").write_text(f"dog\n{HELD}\n")
    for split, part in parts.items():
        write_lines(root / f"{split}.txt", *part)
    return partial(Folder, root)


BUILD: dict[str, Callable[[pytest.FixtureRequest], Make]] = {
    "voc": partial(_voc, False),
    "voc_instances": partial(_voc, True),
    "trainaug": _trainaug,
    "sbd": _sbd,
    "coco": _coco,
    "coco_polygons": _coco_polygons,
    "camvid": _camvid,
    "folder": _folder,
}


def _name(source: str) -> str:
    return "bicyclist" if source == "camvid" else HELD


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Make:
    return BUILD[request.param](request)


def _shown(source: IndexedSource) -> set[str]:
    """The images of all tasks, without what keys start with."""
    return {str(view.key).split("/")[-1] for task in _tasks(source) for view in (task.query, *task.support)}


def _tasks(source: IndexedSource) -> Iterator[Task]:
    rng = np.random.default_rng(0)
    for mode in source.modes:
        yield from (source.fixed(mode, i, 2, rng) for i in range(source.count(mode)))
        yield from (source.sample(mode, 2, rng, objects) for objects in (1, 2) for _ in range(20))


each_source = pytest.mark.parametrize(("name", "make"), [(name, name) for name in SOURCES], indirect=["make"])
each_mixed = pytest.mark.parametrize(("name", "make"), [(name, name) for name in MIXED], indirect=["make"])
SPLITS: tuple[Split, ...] = ("train", "val")


@each_source
def test_images_with_a_held_out_class_are_not_shown_at_all(name: str, make: Make) -> None:
    for split in SPLITS:
        open_, closed = make(split), make(split, _name(name))
        assert any(part in image for image in _shown(open_) for part in (*BOTH, *ALONE))
        assert any("plain" in image for image in _shown(closed))
        assert not any(part in image for image in _shown(closed) for part in (*BOTH, *ALONE))
        assert leaks(closed, _name(name)) == []
        # the check finds what the rule keeps out
        assert leaks(open_, _name(name))


@each_source
def test_the_test_asks_for_the_held_out_class_alone_on_images_that_training_lacks(name: str, make: Make) -> None:
    test = make("test", _name(name))
    assert {group for task in _tasks(test) for group in task.groups} == {_name(name)}
    assert _shown(test)
    for held_out in ([_name(name)], []):
        for options in ({}, {"oracle": True}):
            assert not _shown(make("train", held_out, **options)) & _shown(make("test", held_out))


@each_mixed
def test_as_background_they_are_shown_without_their_label(name: str, make: Make) -> None:
    source = make("train", [_name(name)], mixed_images="background")
    assert any(part in image for image in _shown(source) for part in BOTH)
    # every pixel of CamVid has a class, so no image has one alone
    assert name == "camvid" or not any(part in image for image in _shown(source) for part in ALONE)
    assert leaks(source, _name(name)) == []
    assert _name(name) not in {group for task in _tasks(source) for group in task.groups}


@each_mixed
def test_what_is_tested_selects_no_model_as_background_either(name: str, make: Make) -> None:
    val = make("val", [_name(name)], mixed_images="background")
    assert not _shown(val) & _shown(make("test", _name(name)))


@each_mixed
def test_an_unknown_rule_is_refused(name: str, make: Make) -> None:
    with pytest.raises(DataError, match=r"There is no data\.mixed_images 'dorp'; did you mean 'drop'"):
        make("train", [_name(name)], mixed_images="dorp")


def test_a_data_module_refuses_to_train_on_what_it_tests(folder: Callable[..., Path]) -> None:
    root = folder({f"{i}": (1, 2) for i in range(10)})
    for whole in (False, True):
        data = MixedEpisodes(partial(Folder, root, whole=whole), weights={"semantic": 1.0})
        if not whole:
            data.setup("fit")
            data.setup("test")
            continue
        for stage, use in (("fit", "validated on"), ("test", "tested")):
            expected = rf"Training would see 10 images that are {use}, such as .*0\.jpg; give each split images of its"
            with pytest.raises(DataError, match=expected):
                data.setup(stage)


# of every five images, the first is test and the second val
@pytest.mark.parametrize(("stage", "use", "original"), [("fit", "validated on", 6), ("test", "tested", 5)])
def test_a_copy_in_another_split_is_found(folder: Callable[..., Path], stage: str, use: str, original: int) -> None:
    root = folder({f"{i}": (1, 2) for i in range(10)})
    (root / "images/2.jpg").write_bytes((root / f"images/{original}.jpg").read_bytes())
    data = MixedEpisodes(partial(Folder, root), weights={"semantic": 1.0})
    data.source("train")
    expected = (
        rf"see 1 images that are {use}, as copies, such as .*2\.jpg, which is the same as .*{original}\.jpg; remove"
    )
    with pytest.raises(DataError, match=expected):
        data.setup(stage)


def test_files_of_one_size_and_beginning_are_read_to_their_end(tmp_path: Path) -> None:
    begin = bytes(2 * BEGINNING)
    for name, content in {"a": b"1", "b": b"2", "c": b"1", "d": b"12"}.items():
        (tmp_path / name).write_bytes(begin + content)
    a, b, c, d = (tmp_path / name for name in "abcd")
    assert copies({a, b}, {c, d}) == [(a, c)]
    assert copies({b, d}, {a, c}) == []
    with pytest.raises(DataError, match="e does not exist"):
        copies({a}, {tmp_path / "e"})

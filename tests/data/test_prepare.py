"""The command that makes data ready, on archives in the official layouts."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf
from support.archives import (
    camvid_tree,
    coco_tree,
    davis_tree,
    everything,
    fss_tree,
    md5,
    pack,
    sbd_tree,
    voc_tree,
)
from support.commands import CONF, call, command, last_line
from support.serving import served

from guided_seg.data.coco.coco_layouts import ONE_FILE
from guided_seg.data.preparation.archives import Archive
from guided_seg.data.preparation.provide import bring, needed_archives, provide
from guided_seg.errors import DataError
from guided_seg.settings.overrides import find_problem


@cache
def composed(data: str) -> DictConfig:
    with initialize_config_module("guided_seg.conf", version_base="1.3"):
        return compose("prepare", [data])


def config(data: str, *settings: str) -> DictConfig:
    """The config of the command."""
    return cast(DictConfig, OmegaConf.merge(composed(data), OmegaConf.from_dotlist(list(settings))))


OFFICIAL: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(CONF / "prepare.yaml"), resolve=True)["official"]  # type: ignore[index, assignment, call-overload]
EVERY = [(name, i) for name, entry in OFFICIAL.items() for i in range(len(entry["archives"]))]


@pytest.mark.parametrize(("name", "number"), EVERY)
def test_what_is_declared_can_be_used(name: str, number: int) -> None:
    archive = Archive(**OFFICIAL[name]["archives"][number])
    assert re.match(r"https?://[\w.]+/", archive.url)
    assert archive.makes
    assert archive.name == Path(archive.name).name
    if archive.checksum is not None:
        digits = {"md5": 32, "sha256": 64}
        kind, _, digest = archive.checksum.partition(":")
        assert re.fullmatch(rf"[0-9a-f]{{{digits[kind]}}}", digest)


def without_facts(archive: Archive, path: Path) -> Archive:
    """The declaration for an archive that a test has built."""
    return Archive(archive.url, path.name, archive.makes, archive.folder, path.stat().st_size, md5(path))


LAYOUTS: dict[str, tuple[Callable[[Path], Path], list[str]]] = {
    "voc": (voc_tree, ["."]),
    "sbd": (sbd_tree, ["."]),
    "davis": (davis_tree, ["."]),
    "camvid": (camvid_tree, ["."]),
    "fss1000": (fss_tree, ["."]),
    "coco": (coco_tree, ["annotations", "train2017", "val2017"]),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_official_layout_becomes_a_root(tmp_path: Path, name: str) -> None:
    """For every archive: built as it is published, found where it is looked for, and unpacked to where sources look."""
    write, parts = LAYOUTS[name]
    tree, root, archives = write(tmp_path / "tree"), tmp_path / "root", tmp_path / "archives"
    cfg = config("data=davis", f"data.root={root}")
    cfg.data.name = name
    declared = needed_archives(cfg, root)
    assert len(declared) == len(parts)
    built = []
    for archive, part in zip(declared, parts, strict=True):
        path = pack(
            tree / part, archives / archive.name, f"{archive.folder}/{part}".strip("/.").replace("*", "Tutorial-1a2b")
        )
        built.append(without_facts(archive, path))
    bring(built, root, archives, "")
    assert everything(root) == everything(tree)
    assert needed_archives(cfg, root) == []
    assert {path.name for path in tmp_path.iterdir()} == {"tree", "root", "archives"}


def test_of_coco_only_what_is_missing_is_brought(tmp_path: Path) -> None:
    cfg = config("data=folder", f"data.root={tmp_path}")
    cfg.data.name = "coco"
    coco_tree(tmp_path)
    (tmp_path / "train2017/000000000009.jpg").unlink()
    (tmp_path / "train2017").rmdir()
    assert [archive.name for archive in needed_archives(cfg, tmp_path)] == ["train2017.zip"]


def test_another_layout_needs_no_archive(tmp_path: Path) -> None:
    cfg = config("data=folder", f"data.root={tmp_path}")
    cfg.data.name = "coco"
    (tmp_path / "images").mkdir()
    assert len(needed_archives(cfg, tmp_path)) == 3
    (tmp_path / "labels").mkdir()
    assert needed_archives(cfg, tmp_path) == []


@pytest.mark.parametrize("name", [*ONE_FILE, "train/_annotations.coco.json", "annotations/instances_train.json"])
def test_an_export_of_a_tool_needs_no_archive(tmp_path: Path, name: str) -> None:
    cfg = config("data=coco", f"data.root={tmp_path}")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    assert needed_archives(cfg, tmp_path) == []


@pytest.mark.parametrize(("year", "name"), [("2016", "DAVIS-data.zip"), ("2017", "DAVIS-2017-trainval-480p.zip")])
def test_the_year_of_davis_chooses_its_archive(tmp_path: Path, year: str, name: str) -> None:
    cfg = config("data=davis", f"data.root={tmp_path}", f"data.year={year}")
    assert [archive.name for archive in needed_archives(cfg, tmp_path)] == [name]


def voc_config(root: Path, *overrides: str, **facts: Any) -> DictConfig:
    """VOC with other facts of its archive."""
    cfg = config("data=voc", f"data.root={root}", *overrides)
    cfg.official.voc.archives[0].update({"size": None, "checksum": None} | facts)
    return cfg


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """VOC beside the root, where it is looked for."""
    return pack(voc_tree(tmp_path / "tree"), tmp_path / "VOCtrainval_11-May-2012.tar", "VOCdevkit/VOC2012")


def test_voc_from_a_local_archive(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = voc_config(tmp_path / "root", size=archive.stat().st_size, checksum=md5(archive))
    assert provide(cfg) == tmp_path / "root"
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("The licence of voc: research use")
    assert told[1].startswith("Unpacked VOCtrainval_11-May-2012.tar, which may be removed, to ")
    assert told[2:5] == [
        "train: 4 images, 2 classes, 0 videos, 4 instances",
        "val: 2 images, 2 classes, 0 videos, 4 instances",
        "test: 2 images, 2 classes, 0 videos, 4 instances",
    ]
    assert told[5:] == [str(tmp_path / "root")]
    archive.unlink()
    assert provide(cfg) == tmp_path / "root"


def test_archives_may_lie_elsewhere(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    archive.rename(tmp_path / "downloads" / archive.name)
    provide(voc_config(tmp_path / "root", f"archives={tmp_path / 'downloads'}"))
    assert (tmp_path / "root/JPEGImages").is_dir()


@pytest.mark.usefixtures("archive")
def test_broken_files_are_told_and_not_fatal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = voc_config(tmp_path / "root")
    provide(cfg)
    path = tmp_path / "root/JPEGImages/2007_000001.jpg"
    path.write_bytes(path.read_bytes()[:-20])
    capsys.readouterr()
    provide(cfg)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "train: 3 images, 1 classes, 0 videos, 3 instances"  # one cat leaves no other to show it
    assert told[3].startswith("broken: The image JPEGImages/2007_000001.jpg is cut off")
    assert len(told) == 5


def test_ones_own_folder_is_verified_where_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "root"
    cfg = config("data=folder", f"data.root={root}", "data.whole=true")
    with pytest.raises(DataError, match=r"root does not exist; set data\.root"):
        provide(cfg)
    voc_tree(root)
    (root / "JPEGImages").rename(root / "images")
    (root / "SegmentationClass").rename(root / "masks")
    assert provide(cfg) == root
    assert capsys.readouterr().out.startswith("train: 6 images, 2 classes, 0 videos, 8 instances\n")


def test_what_is_drawn_needs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert provide(config("data=shapes")) is None
    assert capsys.readouterr().out == "shapes is not made of files, so there is nothing to prepare.\n"


def test_a_mixture_is_prepared_part_by_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert provide(config("data=mixture", "data.root=nowhere")) is None
    expected = "mixture is made of other data; prepare each by its own name, so there is nothing to prepare.\n"
    assert capsys.readouterr().out == expected


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3000])


@pytest.mark.parametrize(
    ("harm", "facts", "message"),
    [
        (cut, {"size": 10**6}, r"is cut off: it has .* bytes, but 1,000,000 were expected"),
        (cut, {"checksum": "md5:abc"}, "is damaged or another file: its md5 is"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), {}, "is cut off or damaged"),
        (Path.unlink, {"url": "http://127.0.0.1:9/voc.tar"}, "could not be downloaded"),
        (Path.unlink, {"url": "file:///nowhere/voc.tar"}, "could not be downloaded"),
    ],
)
def test_a_fault_is_one_sentence_and_leaves_nothing(
    archive: Path, tmp_path: Path, harm: Callable[[Path], None], facts: dict[str, Any], message: str
) -> None:
    harm(archive)
    before = everything(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        provide(voc_config(tmp_path / "data/root", f"archives={tmp_path}", **facts))
    assert "\n" not in str(caught.value)
    assert everything(tmp_path) == before


def test_without_a_network_the_command_is_given(tmp_path: Path) -> None:
    cfg = config("data=davis", "data.year=2017", f"data.root={tmp_path / 'my data'}", f"archives={tmp_path}")
    cfg.official.davis.archives[1].url = "http://127.0.0.1:9/d.zip"
    with pytest.raises(DataError) as caught:
        provide(cfg)
    assert str(caught.value).endswith(
        f"get http://127.0.0.1:9/d.zip as {tmp_path}/DAVIS-2017-trainval-480p.zip (832.8 MB) by other means, and try "
        f"again with: python -m guided_seg.data.prepare data=davis 'data.root={tmp_path}/my data' data.year=2017 "
        f"archives={tmp_path}"
    )


# ---- as a person types it; each costs seconds of imports ----


def test_the_command_from_the_network(archive: Path, tmp_path: Path) -> None:
    facts = {"size": archive.stat().st_size, "checksum": md5(archive)}
    archive.rename(archive.with_name("voc.tar"))
    with served(tmp_path) as server:
        facts["url"] = f"{server.url}/voc.tar"
        words = [f"official.voc.archives.0.{name}={value}" for name, value in facts.items()]
        done = command("data.prepare", "data=voc", "data.root=data/voc", *words, folder=tmp_path)
    assert last_line(done) == str(tmp_path / "data/voc")
    assert done.stderr == ""
    assert {path.name for path in tmp_path.iterdir()} == {"tree", "voc.tar", "data"}
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"voc", "VOCtrainval_11-May-2012.tar"}


def test_without_a_network_the_command_ends_in_a_sentence(tmp_path: Path) -> None:
    words = ("data=voc", "data.root=x", "official.voc.archives.0.url=http://127.0.0.1:9/v")
    done = call("data.prepare", *words, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: VOCtrainval_11-May-2012.tar could not be downloaded (")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "You must specify 'data'"),
        (["data=voc"], "data.root has no default; add data.root=... to the command."),
        (["data=voc", "data.root=x", "workers=0"], "workers=0: expected a whole number from 1."),
        (["data=voc", "data.root=x", "archivs=y"], "There is no setting 'archivs'; did you mean archives?"),
    ],
)
def test_a_slip_is_named(argv: list[str], expected: str) -> None:
    assert str(find_problem("prepare", argv, "guided_seg.conf")).startswith(expected)

"""Files made to do harm: each fails in one sentence, fills no memory, and does nothing else."""

from __future__ import annotations

import gzip
import stat
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from fuzz.profile import limited_memory
from PIL import Image
from support.evaluations import write_checkpoint
from support.networks import network

import guided_seg
from guided_seg.data.frozen import episode_file
from guided_seg.data.preparation.archives import Archive
from guided_seg.data.preparation.extract import staged, unpack
from guided_seg.data.sources.sbd import read_mat
from guided_seg.errors import DataError, UserError
from guided_seg.files.text import read_yaml
from guided_seg.model.backbone import WeightsError, read_weights
from guided_seg.release.load import restore
from guided_seg.session import Session
from guided_seg.session import file as session_file

SECONDS = 20
"""Most time of a refusal: reading what a bomb unpacks to would take minutes."""


@contextmanager
def refused(sentence: str, kind: type[UserError] = UserError) -> Iterator[None]:
    """What runs within ends soon and in one sentence, in the memory of a small machine."""
    began = time.process_time()
    with limited_memory(), pytest.raises(kind, match=sentence) as caught:
        yield
    assert "\n" not in str(caught.value)
    assert time.process_time() - began < SECONDS


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The config and the tensors of a checkpoint; not to be changed."""
    return torch.load(write_checkpoint(tmp_path_factory.mktemp("good") / "best.ckpt"), weights_only=True)


# ---- checkpoints ----


def as_bomb(path: Path, packed: Path) -> None:
    """Compress the parts of a PyTorch file, and put 20 MB of zeros in place of its tensors."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            if "/data/" not in info.filename:
                new.writestr(info.filename, old.read(info))
                continue
            with new.open(info.filename, "w", force_zip64=True) as out:
                for _ in range(20):
                    out.write(bytes(2**20))


def test_a_checkpoint_that_unpacks_to_more_than_it_is(tmp_path: Path) -> None:
    torch.save({"config": {}, "state_dict": {"a": torch.zeros(4)}}, tmp_path / "small.ckpt")
    as_bomb(tmp_path / "small.ckpt", tmp_path / "bomb.ckpt")
    sentence = (
        r"its [\d,]+ bytes would unpack to [\d,]+, and PyTorch compresses nothing\); use one that guided_seg wrote"
    )
    with refused(sentence):
        guided_seg.load(tmp_path / "bomb.ckpt")
    with refused(sentence, WeightsError):
        read_weights(tmp_path / "bomb.ckpt")


def test_tensors_that_repeat_what_they_store(content: dict[str, Any], tmp_path: Path) -> None:
    """A value of a stride of 0 has any shape: to look at each would take hours."""
    state = dict.fromkeys(content["state_dict"], torch.zeros(1).expand(10**6, 10**6))
    torch.save({"config": content["config"], "state_dict": state}, tmp_path / "best.ckpt")
    assert (tmp_path / "best.ckpt").stat().st_size < 10**6
    with refused(r"has more values than the file; give a file that guided_seg wrote"):
        guided_seg.load(tmp_path / "best.ckpt")


def test_many_tensors_that_share_a_few_values(content: dict[str, Any]) -> None:
    """They make no room for a network of that size."""
    few = torch.zeros(10**7)
    config = content["config"] | {"backbone": content["config"]["backbone"] | {"width": 8192}}
    with refused(r"it has far more parameters than the file"):
        restore(config, {str(number): few.view(10, -1) for number in range(1000)}, "a.ckpt")


def endless() -> Any:
    """Ten lists of ten lists of ten lists, and so on, of a few hundred bytes."""
    tree: Any = [0]
    for _ in range(15):
        tree = [tree] * 10
    return tree


def test_a_config_that_repeats_itself_without_end(content: dict[str, Any], tmp_path: Path) -> None:
    torch.save(content | {"config": content["config"] | {"more": endless()}}, tmp_path / "best.ckpt")
    with refused(r"has no end of values; get the file again"):
        guided_seg.load(tmp_path / "best.ckpt")


def test_yaml_that_repeats_itself_without_end(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"a": endless()}))
    with refused(r"repeats itself by its aliases \(\*\) to more than 1,000,000 values; write them out"):
        read_yaml(tmp_path / "config.yaml", "record of a run")
    (tmp_path / "config.yaml").write_text("a: &a {b: *a}")
    with refused(r"repeats itself by its aliases"):
        read_yaml(tmp_path / "config.yaml", "record of a run")
    (tmp_path / "config.yaml").write_text("a: &a [1, 2]\nb: *a")
    assert read_yaml(tmp_path / "config.yaml", "record of a run") == {"a": [1, 2], "b": [1, 2]}


# ---- sessions ----


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(height: int, width: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def black(height: int, width: int, more: bytes = b"") -> bytes:
    """A whole PNG of black pixels, of a thousandth of their size, compressed row by row."""
    packer = zlib.compressobj(9)
    rows = [packer.compress(bytes(1 + 3 * width)) for _ in range(height)]
    data = b"".join([*rows, packer.flush()])
    return b"\x89PNG\r\n\x1a\n" + header(height, width) + more + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def session_with(picture: bytes, path: Path, changes: Callable[[str], str] = str, length: int = 0) -> Path:
    """A session whose image is ``picture``, followed by ``length`` zero bytes."""
    session = Session(network("prototypes"))
    session.add_image("array", np.zeros((4, 6, 3), np.uint8))
    whole = session.save(path.with_name("whole.session"))
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        new.writestr("session.json", changes(old.read("session.json").decode()))
        with new.open("images/0.png", "w", force_zip64=True) as out:
            out.write(picture)
            for _ in range(length >> 20):
                out.write(bytes(2**20))
    return path


BOMBS: dict[str, tuple[Callable[[], bytes], int, str]] = {
    # the header is enough: nothing of the pixels is unpacked
    "a picture of 10^9 pixels": (
        lambda: b"\x89PNG\r\n\x1a\n" + header(31_623, 31_623) + chunk(b"IDAT", b"") + chunk(b"IEND", b""),
        0,
        r"images/0.png is 31623 x 31623, and at most 268,435,456 pixels are read here\); give a file that",
    ),
    "two headers": (lambda: black(4, 6, header(60_000, 60_000)), 0, r"images/0.png is of two sizes"),
    "zeros behind a picture": (lambda: black(4, 6), 2**25, r"images/0.png is larger than 1,048,672 bytes"),
    "zeros": (lambda: b"", 2**25, r"images/0.png is no PNG"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_session_that_unpacks_to_more_than_memory(bomb: str, tmp_path: Path) -> None:
    make, length, sentence = BOMBS[bomb]
    path = session_with(make(), tmp_path / "bomb.session", length=length)
    with refused(sentence):
        Session.open(path, network=network("prototypes"))


def test_many_pictures_of_a_session_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two is too much; a session that could not be opened is not saved either."""
    session = Session(network("prototypes"))
    for name in ("a", "b"):
        session.add_image(name, np.zeros((4, 6, 3), np.uint8))
    path = session.save(tmp_path / "two.session")
    monkeypatch.setattr(session_file, "MOST_STORED", 30)
    with refused(r"images/1.png is 4 x 6, and at most 6 pixels are read here"):
        Session.open(path, network=network("prototypes"))
    before = path.read_bytes()
    with refused(r"The image 'b' has no file and 24 pixels, more than a session stores; write it to a file"):
        session.save(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("entry", ["../../outside.png", "/etc/passwd", "images/../../x.png", "session.json"])
def test_a_session_reads_no_entry_but_pictures_of_its_own(entry: str, tmp_path: Path) -> None:
    Image.new("RGB", (6, 4)).save(tmp_path / "outside.png")
    before = sorted(tmp_path.parent.iterdir())
    path = session_with(black(4, 6), tmp_path / "a.session", lambda text: text.replace("images/0.png", entry))
    with refused(rf"it has no {entry}|{entry} is no PNG"):
        Session.open(path, network=network("prototypes"))
    assert sorted(tmp_path.parent.iterdir()) == before


@pytest.mark.parametrize("file", ["/dev/zero", "/dev/stdin", "/proc/self/environ", "/etc/passwd", "../a.session"])
def test_a_session_opens_no_file_but_images(file: str, tmp_path: Path) -> None:
    """A file of a session may lie elsewhere, as photos do, but nothing of it is shown unless it is an image."""
    entry = f'"file": ["{file}", "{file}"]'
    path = session_with(
        black(4, 6), tmp_path / "a.session", lambda text: text.replace('"stored": "images/0.png"', entry)
    )
    with refused(r"is not there any more, nor is|is not an image"):
        Session.open(path, network=network("prototypes"))


def test_a_session_whose_text_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(network("prototypes"))
    session.add_image("a", np.zeros((4, 6, 3), np.uint8))
    path = session.save(tmp_path / "a.session")
    monkeypatch.setattr(session_file, "MOST_TEXT", 100)
    with refused(r"session.json is larger than 100 bytes\); give a file that Session.save wrote"):
        Session.open(path, network=network("prototypes"))
    with refused(r"The session has more dots than a file of 100 bytes holds; remove some"):
        session.save(path)


# ---- data ----


def test_frozen_episodes_that_unpack_to_more_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "e.json.gz").write_bytes(gzip.compress(b"{" + b" " * 2000 + b"}"))
    monkeypatch.setattr(episode_file, "MOST_TEXT", 1000)
    with refused(r"e.json.gz holds no frozen episodes; give a file that", DataError):
        episode_file.FrozenEpisodes.read(tmp_path / "e.json.gz")


def test_a_label_map_of_matlab_that_unpacks_to_more_than_memory(tmp_path: Path) -> None:
    packed = zlib.compress(bytes(2**26 + 2**20))
    (tmp_path / "a.mat").write_bytes(bytes(126) + b"IM" + struct.pack("<II", 15, len(packed)) + packed)
    with refused(r"holds no label map GTcls.Segmentation that can be read \(error\); copy it again", DataError):
        read_mat("GTcls", tmp_path / "a.mat")


# ---- archives and uploads ----


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("DAVIS/JPEGImages")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "davis.zip", "w") as out:
        out.writestr(info, "/etc")
    archive = Archive("http://x/davis.zip", "davis.zip", ("JPEGImages",), "DAVIS")
    with (
        refused(r"JPEGImages, which is a link or a device; do not use it", DataError),
        staged(tmp_path / "root") as stage,
    ):
        unpack(tmp_path / "davis.zip", archive, stage)
    assert not (tmp_path / "root").exists()


def test_an_archive_that_unpacks_to_more_than_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "davis.zip", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("DAVIS/JPEGImages/a.jpg", bytes(10**7))
    monkeypatch.setattr("guided_seg.files.disk.free_space", lambda _: 10**6)
    archive = Archive("http://x/davis.zip", "davis.zip", ("JPEGImages",), "DAVIS")
    with (
        refused(r"has 1.0 MB free, but 10.0 MB are needed; free some space", DataError),
        staged(tmp_path / "r") as stage,
    ):
        unpack(tmp_path / "davis.zip", archive, stage)
    assert [path.name for path in tmp_path.iterdir()] == ["davis.zip"]

"""Spoiled sessions and checkpoints: each is opened right, or refused in a sentence."""

from __future__ import annotations

import io
import json
import zipfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from fuzz.bases import IMAGES, labels, picture, write
from fuzz.hostile import damage, damaged, json_files, spoiled, trees
from fuzz.profile import examples, only_user_errors
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save
from support.evaluations import write_checkpoint
from support.networks import network

from guided_seg.composition.build import ARCHITECTURE
from guided_seg.model.backbone import read_weights
from guided_seg.release.load import load_network
from guided_seg.release.weights import ENTRY
from guided_seg.session import NEGATIVE, Session


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


PICTURES = {**{f"v/{number}.png": IMAGES["PNG"] for number in range(2)}, "a.jpg": IMAGES["JPEG"]}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A session's file, with all that it can have."""
    folder = write(
        tmp_path_factory.mktemp("session"), {f"v/{n}.png": IMAGES["PNG"] for n in range(2)} | {"a.jpg": IMAGES["JPEG"]}
    )
    work = Session(network("late_global"))
    work.add_image("file", folder / "a.jpg")
    work.add_image("array", picture())
    work.add_video("clip", folder / "v")
    for name in ("cup", "plate"):
        work.add_label(name)
    work.mask("array", labels() == 1, "plate")
    work.dot("array", 30, 40, "cup")
    work.dot("file", 2, 3, NEGATIVE)
    work.dot("file", 12, 13, "cup")
    work.dot(work.frame("clip", 1), 9, 9, "plate")
    return work.save(folder / "work.session").read_bytes()


def repacked(data: bytes, changes: dict[str, bytes]) -> bytes:
    """A zip file with some of its entries changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, changes.get(name, old.read(name)))
    return out.getvalue()


@examples(50)
@given(data=st.data())
def test_session_files(root: Path, session: bytes, data: st.DataObject) -> None:
    with zipfile.ZipFile(io.BytesIO(session)) as file:
        names = file.namelist()
        name = data.draw(st.sampled_from(["session.json"] * 3 + names))
        own = file.read(name)
    entry = json_files(json.loads(own)) if name.endswith(".json") else spoiled(own)
    changed = data.draw(entry.map(lambda new: repacked(session, {name: new})) | spoiled(session))
    path = write(root, {**PICTURES, "work.session": changed}) / "work.session"
    with only_user_errors(changed):
        opened = Session.open(path, network=network("late_global"))
        for name in opened.images:
            height, width = opened.picture(name).size
            assert all(0 <= row < height and 0 <= column < width for row, column, _ in opened.dots(name))
        for name, found in opened.segment_all():
            assert found.shape == opened.picture(name).size


@cache
def checkpoint() -> dict[str, Any]:
    """What a checkpoint of a small network holds."""
    with TemporaryDirectory() as folder:
        path = write_checkpoint(Path(folder) / "a.ckpt", "conditioning=prototypes")
        found: dict[str, Any] = torch.load(path, weights_only=True)
    return found


TARGETS = (
    "os.system",
    "pathlib.Path.touch",
    "builtins.print",
    "guided_seg",
    "guided_seg.cli.command.refuse",
    "torch.nn.Linear",
)
GROUPS = ("backbone", "fusion", "conditioning", "decoder", "baseline")


@examples(30)
@given(
    config=st.deferred(lambda: trees(checkpoint()["config"])),
    call=st.none() | st.tuples(st.sampled_from(GROUPS), st.sampled_from(TARGETS)),
    changes=st.just([]) | damage,
)
def test_checkpoints(root: Path, config: Any, call: tuple[str, str] | None, changes: list[Any]) -> None:
    if call and isinstance(config, dict):
        config[call[0]] = {"_target_": call[1], "_args_": [str(root / "touched")]}
    file = io.BytesIO()
    torch.save(checkpoint() | {"config": config}, file)
    path = write(root, {"a.ckpt": damaged(file.getvalue(), changes)}) / "a.ckpt"
    with only_user_errors(config, changes):
        load_network(path)
    assert [found.name for found in root.iterdir()] == ["a.ckpt"]


@cache
def released() -> tuple[dict[str, Any], bytes]:
    """What the metadata of a small released model holds, and its file."""
    config = {group: checkpoint()["config"][group] for group in ARCHITECTURE}
    state = {key.removeprefix("network."): value.half() for key, value in checkpoint()["state_dict"].items()}
    about = {"name": "small", "version": "0", "config": config}
    return about, save(state, {ENTRY: json.dumps(about)})


@examples(40)
@given(data=st.data())
def test_released_models(root: Path, data: st.DataObject) -> None:
    about, whole = released()
    changed = data.draw(trees(about).map(lambda found: _about(whole, found)) | spoiled(whole))
    path = write(root, {"model.safetensors": changed}) / "model.safetensors"
    with only_user_errors(changed[:4000]):
        load_network(path)
    with only_user_errors(changed[:4000]):
        read_weights(path)
    assert [found.name for found in root.iterdir()] == ["model.safetensors"]


def _about(whole: bytes, about: Any) -> bytes:
    """A file of safetensors with another metadata entry."""
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    header["__metadata__"] = {ENTRY: json.dumps(about)}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + whole[8 + length :]


@examples(40)
@given(values=trees({"a": [1, 2], "b": {"c": 1.5, "d": "x"}}), changes=st.just([]) | damage)
def test_weights_of_backbones(root: Path, values: Any, changes: list[Any]) -> None:
    file = io.BytesIO()
    torch.save({"state_dict": {"w": torch.zeros(3, 4), "b": torch.zeros(2, dtype=torch.int64)}, "more": values}, file)
    path = write(root, {"w.pt": damaged(file.getvalue(), changes)}) / "w.pt"
    with only_user_errors(values, changes):
        read_weights(path)

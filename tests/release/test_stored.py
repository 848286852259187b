"""Files that people give as a checkpoint: each is opened, or refused in a sentence that says what it is."""

from __future__ import annotations

import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.commands import compose_run
from support.evaluations import write_checkpoint

import guided_seg
from guided_seg.composition.build import network_config
from guided_seg.errors import UserError
from guided_seg.model.backbone import WeightsError, read_weights
from guided_seg.release import shipped
from guided_seg.release.load import check_resumable, read_checkpoint, restore
from guided_seg.release.weights import ENTRY

PAGE = "<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>\n"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("good") / "best.ckpt")


@pytest.fixture
def content(good: Path) -> dict[str, Any]:
    return read_checkpoint(good)


class Trap:
    """Runs when it is read, unless reading refuses it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("code in a file was run",)


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "hello")


def cut_in_half(path: Path) -> None:
    torch.save({"weights": torch.zeros(10_000)}, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


UNREADABLE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda path: path.touch(), r"it is empty\); get it again"),
    "a web page": (lambda path: path.write_text(PAGE), r"it is a web page, .*\); get it again"),
    "a page of XML": (lambda path: path.write_text("\n <?xml version='1.0'?><Error/>"), r"it is a web page"),
    "a pointer": (lambda path: path.write_text(POINTER), r"only points to a file in Git LFS\); run git lfs pull"),
    "text": (lambda path: path.write_text("no checkpoint"), r"cut off, damaged or another kind .*\); get it again"),
    "a zip": (zipped, r"cut off, damaged or another kind of file\); get it again"),
    "cut off": (cut_in_half, r"cut off, damaged or another kind of file\); get it again"),
    "code": (
        lambda path: torch.save({"state_dict": {}, "a": Trap()}, path),
        r"holds Python objects .* any code\); use",
    ),
    "a module": (lambda path: torch.save(torch.nn.Linear(2, 2), path), r"holds Python objects .* any code\); use one"),
    "a picture": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100)), r"another kind of file\); get it"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere"), r"There is no (checkpoint|weights file)"),
}


@pytest.mark.parametrize("name", ["best.ckpt", "model.safetensors"])
@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_no_checkpoint_is_called_what_it_is(kind: str, name: str, tmp_path: Path) -> None:
    make, sentence = UNREADABLE[kind]
    make(tmp_path / name)
    if name.endswith(".safetensors") and kind in ("a zip", "cut off", "code", "a module"):
        sentence = r"of PyTorch, not of safetensors\); if it is a checkpoint, rename it to .ckpt"
    with pytest.raises(UserError, match=sentence) as caught:
        guided_seg.load(tmp_path / name)
    with pytest.raises(WeightsError, match=sentence) as weights:
        read_weights(tmp_path / name)
    for text in (str(caught.value), str(weights.value)):
        assert "\n" not in text
        assert "weights_only" not in text, "PyTorch's advice would run the code"


def test_a_released_model_is_no_checkpoint_of_a_training(tmp_path: Path) -> None:
    file = Path(shutil.copy(shipped("guided-lite0"), tmp_path / "last.ckpt"))
    with pytest.raises(UserError, match=r"a file of safetensors, such as a released model\); give a .ckpt of a run"):
        read_checkpoint(file)


def test_a_header_longer_than_any_file_is_refused(tmp_path: Path) -> None:
    for length in (2**63, 2**64 - 1, 10**9):
        (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", length) + b'{"a":1}' + bytes(50))
        with pytest.raises(UserError, match=r"cut off, damaged or another kind of file\); get it again"):
            guided_seg.load(tmp_path)


def test_a_header_nested_without_end_is_refused(tmp_path: Path) -> None:
    deep = json.dumps({"config": 0}).replace("0", '{"a":' * 50_000 + "0" + "}" * 50_000)
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors", {ENTRY: deep})
    with pytest.raises(UserError, match=r"has no config of a guided_seg network; give a file that"):
        guided_seg.load(tmp_path)


@pytest.mark.parametrize("name", ["best.ckpt", "model.safetensors"])
def test_a_disk_that_refuses_a_file_is_told(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_text("some")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    for reader in ("torch.load", "guided_seg.release.weights.safe_open", "guided_seg.files.tensors.Path.open"):
        monkeypatch.setattr(reader, refuse)
    with pytest.raises(UserError, match=r"\(Permission denied\); check its name and its permissions"):
        guided_seg.load(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["a\0b", "x" * 5000, "größe/ü ü", "a b/c@", "owner/name@../../x", "", "~nobody/x", "=/"]
)
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        guided_seg.load(name)
    assert "\n" not in str(caught.value)


def test_a_tilde_stands_for_the_home_folder(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(good.parent))
    assert not guided_seg.load("~/best.ckpt").training


def test_a_repository_of_the_hub_without_a_model_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(tmp_path))
    with pytest.raises(UserError, match=r"^owner/name on the Hugging Face hub has no model.safetensors, so it is no"):
        guided_seg.load("owner/name")


# ---- what can be read, and holds something else ----

CONTENTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "weights of torchvision": (lambda good: good["state_dict"], r"it has no config; .* backbone.weights=FILE"),
    "of Lightning": (lambda _: {"state_dict": {}, "hyper_parameters": {}}, r"it has no config"),
    "a list": (lambda _: [1, 2], r"it has no config"),
    "a tensor": (lambda _: torch.zeros(2), r"it has no config"),
    "a config that is none": (lambda good: good | {"config": [1]}, r"is not a mapping of names to values"),
    "a config of tensors": (
        lambda good: good | {"config": good["config"] | {"seed": torch.zeros(1)}}, r"has a Tensor as seed; expected"
    ),
    "keys that are no names": (
        lambda good: good | {"config": good["config"] | {3: 1}}, r"has the key 3, which is not a name; get the file"
    ),
    "an endless config": (lambda good: good | {"config": _deep(100)}, r"nested too deeply"),
    "a state that is none": (lambda good: good | {"state_dict": [1]}, r"has no state_dict with named tensors"),
    "a state of numbers": (lambda good: good | {"state_dict": {1: 2}}, r"has no state_dict with named tensors"),
    "a state of values": (
        lambda good: good | {"state_dict": good["state_dict"] | {"network.a": 1}}, r"a in .* is no ordinary tensor"
    ),
    "no tensors": (lambda good: good | {"state_dict": {}}, r"do not fit the network that it names .* another version"),
    "an older version": (lambda good: good | {"config": {"backbone": {}}}, r"lacks the choice of resolution\); it was"),
    "a newer version": (
        lambda good: good | {"config": good["config"] | {"decoder": good["config"]["decoder"] | {"future": 1}}},
        r"unexpected keyword argument 'future'.* another version",
    ),
    "a group that is none": (
        lambda good: good | {"config": good["config"] | {"backbone": "vgg16"}}, r"names 'vgg16', which is not a part"
    ),
}  # fmt: skip


def _deep(levels: int) -> dict[str, Any]:
    return {"a": _deep(levels - 1)} if levels else {}


@pytest.mark.parametrize("kind", CONTENTS)
def test_a_file_of_something_else_is_told(kind: str, content: dict[str, Any], tmp_path: Path) -> None:
    change, sentence = CONTENTS[kind]
    torch.save(change(content), tmp_path / "best.ckpt")
    with pytest.raises(UserError, match=sentence) as caught:
        guided_seg.load(tmp_path / "best.ckpt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda x: x * float("nan"), r"not numbers \(NaN\), .* diverged. Take an earlier checkpoint"),
        (lambda x: x.to(torch.int64), r"is of torch.int64, and the network has torch.float32\); it was written"),
        (lambda x: x.to(torch.complex64), r"is of torch.complex64, and the network has torch.float32\)"),
        (lambda x: x.to_sparse(), r"weight in a.ckpt is no ordinary tensor; give"),
        (lambda x: x.to("meta"), r"weight in a.ckpt is no ordinary tensor; give"),
        (lambda x: x[..., :1], r"size mismatch .*; it was written"),
    ],
)
def test_tensors_that_the_network_cannot_answer_with_are_refused(
    content: dict[str, Any], change: Callable[[torch.Tensor], torch.Tensor], sentence: str
) -> None:
    state = {key.removeprefix("network."): tensor for key, tensor in content["state_dict"].items()}
    key = next(name for name in state if name.endswith("weight") and state[name].ndim == 4 and state[name].shape[3] > 1)
    with pytest.raises(UserError, match=sentence):
        restore(content["config"], state | {key: change(state[key])}, "a.ckpt")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_read(content: dict[str, Any], kind: torch.dtype) -> None:
    state = {key.removeprefix("network."): tensor for key, tensor in content["state_dict"].items()}
    other = {key: tensor.to(kind) if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    network, _ = restore(content["config"], other, "a.ckpt")
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize(
    "change", [{"width": 10**9}, {"width": 2**62}, {"blocks": 10**9}, {"width": -1}, {"width": "64"}]
)
def test_a_network_far_larger_than_its_file_takes_no_memory(content: dict[str, Any], change: dict[str, Any]) -> None:
    config = content["config"] | {"backbone": content["config"]["backbone"] | change}
    with pytest.raises(UserError, match=r"do not fit the network that it names"):
        restore(config, {"a": torch.zeros(1)}, "a.ckpt")


def test_a_checkpoint_without_the_state_of_its_training_is_not_resumed(good: Path) -> None:
    cfg = compose_run()
    with pytest.raises(UserError, match=r"\(optimizer_states is missing\), .*; give the last.ckpt .* start_from=FILE"):
        check_resumable(good, cfg)


@pytest.mark.parametrize("lacking", ["backbone", "length"])
def test_a_training_of_another_version_is_not_resumed(lacking: str, tmp_path: Path) -> None:
    cfg = compose_run()
    config = network_config(cfg)
    del config[lacking]
    training = dict.fromkeys(("optimizer_states", "lr_schedulers", "loops", "callbacks", "epoch", "global_step"), 0)
    torch.save({"config": config, "state_dict": {}, **training}, tmp_path / "last.ckpt")
    with pytest.raises(UserError, match=r"lacks the choice of backbone|trainer.max_steps=None"):
        check_resumable(tmp_path / "last.ckpt", cfg)


def test_a_run_folder_is_evaluated_by_way_of_a_link(good: Path, tmp_path: Path) -> None:
    (tmp_path / "a run" / "checkpoints").mkdir(parents=True)
    shutil.copy(good, tmp_path / "a run" / "checkpoints" / "best.ckpt")
    (tmp_path / "größe").symlink_to(tmp_path / "a run")
    assert guided_seg.load(tmp_path / "größe").training is False

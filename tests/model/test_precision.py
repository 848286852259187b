"""The faster precision is measured once, and kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from support.commands import TINY, call, compose_evaluation, compose_run, read
from support.networks import network

from guided_seg.errors import UserError
from guided_seg.files.writing import user_cache
from guided_seg.model import precision
from guided_seg.model.precision import chosen, device_of, fastest, measured
from guided_seg.predict.encoder import Encoder
from guided_seg.training.lightning_messages import lightning_refusals
from guided_seg.training.train import _prepare

CPU = torch.device("cpu")
BACKBONE = network("late_global").backbone


class Clock:
    """Says how long each precision takes, and counts how often it is asked."""

    def __init__(self, fp32: float, bf16: float) -> None:
        self.fp32, self.bf16, self.asked = fp32, bf16, 0

    def __call__(self, way: Callable[[], None]) -> float:
        self.asked += 1
        return self.bf16 if torch.is_autocast_enabled("cpu") else self.fp32


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(precision, "user_cache", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], Clock]:
    def set_to(fp32: float, bf16: float) -> Clock:
        made = Clock(fp32, bf16)
        monkeypatch.setattr(precision, "timed", made)
        return made

    return set_to


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize(
    ("fp32", "bf16", "wanted"),
    [(2.0, 1.0, "bf16"), (1.0, 2.0, "fp32"), (1.05, 1.0, "fp32"), (1.15, 1.0, "bf16"), (1.0, 1.0, "fp32")],
)
def test_the_precision_that_is_clearly_faster_is_taken(
    fp32: float, bf16: float, wanted: str, training: bool, clock: Callable[[float, float], Clock]
) -> None:
    timer = clock(fp32, bf16)
    assert fastest(BACKBONE, CPU, training) == wanted
    assert timer.asked == 2 * (precision.ROUNDS + 1)


def test_a_precision_that_is_hopeless_is_tried_once(clock: Callable[[float, float], Clock]) -> None:
    timer = clock(1.0, 17.0)
    assert fastest(BACKBONE, CPU) == "fp32"
    assert timer.asked == 2


@pytest.mark.parametrize(("bf16", "wanted"), [(1.0, "bf16"), (3.0, "fp32")])
def test_a_session_takes_what_is_faster(bf16: float, wanted: str, clock: Callable[[float, float], Clock]) -> None:
    clock(2.0, bf16)
    assert Encoder(network("late_global"), CPU).precision == chosen("auto", BACKBONE, CPU) == wanted


@pytest.mark.parametrize(("bf16", "wanted"), [(1.0, "bf16-mixed"), (3.0, "32-true")])
def test_a_training_takes_what_is_faster(bf16: float, wanted: str, clock: Callable[[float, float], Clock]) -> None:
    timer = clock(2.0, bf16)
    cfg = compose_run(*TINY, "trainer.precision=auto", "trainer.accelerator=cpu")
    _prepare(cfg)
    assert cfg.trainer.precision == wanted  # which is what the run folder's config.yaml says
    assert timer.asked


def test_it_is_measured_once(clock: Callable[[float, float], Clock], cache: Path) -> None:
    timer = clock(2.0, 1.0)
    assert fastest(BACKBONE, CPU) == fastest(BACKBONE, CPU) == "bf16"
    assert timer.asked == 2 * (precision.ROUNDS + 1)
    (file,) = cache.iterdir()
    assert read(file)["seconds"] == {"fp32": 2.0, "bf16": 1.0}


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.setattr(precision, "processor", lambda: "another"),
        lambda m: m.setattr(precision, "_abilities", lambda: "others"),
        lambda m: m.setattr(torch, "__version__", "9.9"),
        lambda m: m.setattr(torch, "get_num_threads", lambda: 17),
        lambda m: m.setattr(BACKBONE, "extra_repr", lambda: "another network"),
    ],
    ids=["processor", "instructions", "torch", "threads", "network"],
)
def test_what_was_measured_of_another_is_not_taken(
    change: Callable[[pytest.MonkeyPatch], None],
    clock: Callable[[float, float], Clock],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock(2.0, 1.0)
    assert fastest(BACKBONE, CPU) == "bf16"
    timer = clock(1.0, 2.0)
    change(monkeypatch)
    assert fastest(BACKBONE, CPU) == "fp32"
    assert timer.asked


def _changed(**values: Any) -> Callable[[bytes], bytes]:
    return lambda whole: json.dumps(json.loads(whole) | values).encode()


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:0],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: b"\xff\xfe\x00" + whole,
        lambda whole: b"[" * 10 * len(whole),
        lambda whole: b"[" + whole + b"]",
        _changed(seconds=None),
        _changed(seconds={"fp32": 1.0}),
        _changed(seconds={"fp32": "1", "bf16": "2"}),
        _changed(seconds={"fp32": float("nan"), "bf16": 1.0}),
        _changed(seconds={"fp32": -1.0, "bf16": 1.0}),
        _changed(seconds={"fp32": True, "bf16": False}),
        _changed(of={}),
        _changed(of=None),
    ],
)
def test_a_damaged_file_is_measured_again_and_replaced(
    damage: Callable[[bytes], bytes], clock: Callable[[float, float], Clock], cache: Path
) -> None:
    clock(1.0, 2.0)
    fastest(BACKBONE, CPU)
    (file,) = cache.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    timer = clock(2.0, 1.0)
    assert fastest(BACKBONE, CPU) == "bf16"
    assert timer.asked
    assert read(file)["seconds"] == {"fp32": 2.0, "bf16": 1.0}


def test_where_nothing_can_be_kept_it_is_measured_each_time(
    clock: Callable[[float, float], Clock], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(precision, "user_cache", lambda: tmp_path / "file" / "below")
    timer = clock(2.0, 1.0)
    assert fastest(BACKBONE, CPU) == fastest(BACKBONE, CPU) == "bf16"
    assert timer.asked == 4 * (precision.ROUNDS + 1)


def test_a_folder_in_the_place_of_the_file_is_passed_over(clock: Callable[[float, float], Clock], cache: Path) -> None:
    clock(2.0, 1.0)
    fastest(BACKBONE, CPU)
    (file,) = cache.iterdir()
    file.unlink()
    (file / "inside").mkdir(parents=True)
    assert fastest(BACKBONE, CPU) == "bf16"
    assert [path.name for path in cache.iterdir()] == [file.name]


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_measuring_changes_nothing(training: bool) -> None:
    backbone = network("late_global").backbone
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    with torch.inference_mode():  # as in an answer
        found = measured(backbone, training)
    assert torch.equal(torch.rand(4), wanted)
    assert all(0 < seconds < 60 for seconds in found.values())
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert all(weight.grad is None for weight in backbone.parameters())
    assert not backbone.training


def test_a_frozen_backbone_is_measured_for_training() -> None:
    assert set(measured(deepcopy(BACKBONE).requires_grad_(False), True)) == {"fp32", "bf16"}


@pytest.mark.parametrize(("there", "wanted"), [(True, "bf16"), (False, "fp32")])
def test_a_gpu_says_what_it_has(
    there: bool, wanted: str, clock: Callable[[float, float], Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    timer = clock(1.0, 1.0)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: there)
    assert fastest(BACKBONE, torch.device("cuda")) == wanted
    assert fastest(BACKBONE, torch.device("mps")) == "fp32"
    assert timer.asked == 0


@pytest.mark.parametrize("name", ["fp16", "32", "", "bf16-mixed", "16-true"])
def test_another_precision_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=rf"^precision={name}: expected auto, fp32 or bf16\.$"):
        chosen(name, BACKBONE, CPU)


def test_accelerators_are_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert {device_of(name).type for name in ("auto", "cpu", "gpu", "tpv")} == {"cpu"}
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert [device_of(name).type for name in ("auto", "mps", "cpu")] == ["mps", "mps", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [device_of(name).type for name in ("auto", "gpu", "cuda", "cpu")] == ["cuda", "cuda", "cuda", "cpu"]


def test_the_user_s_cache_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "guided_seg"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache() == tmp_path / ".cache" / "guided_seg"


def test_a_user_without_a_home_has_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", none)
    assert user_cache().name == "guided_seg"


def test_a_network_in_bf16_gives_features_in_fp32() -> None:
    net, image = network("skips"), torch.rand(1, 3, 40, 40)
    sizes = torch.tensor([[40, 40]])
    with torch.no_grad():
        exact = net.encode(image, sizes)
        net.precision = "bf16"
        try:
            rounded = net.encode(image, sizes)
        finally:
            del net.precision
    for one, other in zip((exact, *exact.skips), (rounded, *rounded.skips), strict=True):
        assert other.maps.dtype == torch.float32
        assert 0 < float((one.maps - other.maps).abs().max()) < 0.1 * float(one.maps.abs().max())


def test_the_settings_are_exact_by_default() -> None:
    assert compose_evaluation("some.ckpt").precision == "fp32"
    assert compose_run().trainer.precision == "32-true"


@pytest.mark.parametrize("name", ["gpu", "cuda", "mps"])
@pytest.mark.parametrize(
    ("module", "overrides", "key"),
    [
        ("evaluate", ["checkpoint=x", "accelerator={}"], "accelerator"),
        ("evaluate", ["checkpoint=x", "protocol=[hsnet]", "accelerator={}"], "accelerator"),
        ("run", ["trainer.accelerator={}"], "trainer.accelerator"),
        ("run", ["trainer.accelerator={}", "trainer.devices=8"], "trainer.accelerator"),
    ],
)
def test_a_gpu_that_is_not_there_is_refused_with_the_cure(
    module: str, overrides: list[str], key: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    done = call(module, *(word.format(name) for word in overrides), folder=tmp_path)
    assert done.returncode == 2
    assert f"error: {key}={name}: PyTorch" in done.stderr
    assert f"take {key}=cpu, or {key}=auto" in done.stderr
    assert done.stderr.count("\n") == 1


def test_lightning_says_what_there_is_after_what_was_asked_for() -> None:
    sentence = r"^trainer: You requested gpu: \[0, 1\] But your machine only has: \[0\]$"
    with pytest.raises(UserError, match=sentence), lightning_refusals("trainer"):
        raise MisconfigurationException("You requested gpu: [0, 1]\n But your machine only has: [0]")

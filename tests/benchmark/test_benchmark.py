"""The benchmark measures what it says, at a size at which it takes seconds; its figures mean nothing there."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import cv2
import psutil
import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import DictConfig
from support.commands import CONF, call, last_line, read
from support.commands import TINY as SMALL
from support.networks import network
from support.processes import python

from guided_seg.benchmark import measure, timing
from guided_seg.benchmark.measure import SUITES, chosen, run
from guided_seg.benchmark.suites import (
    accuracy,
    data,
    encode,
    memory,
    neighbour,
    released,
    startup,
    training,
    update,
    video,
)
from guided_seg.benchmark.timing import Row, by_turns, row
from guided_seg.cli.run_folders import register_resolvers
from guided_seg.errors import UserError
from guided_seg.model.precision import fastest
from guided_seg.predict.encoder import folded

ENCODE = ("encode_vgg16_ms", "encode_vs_fp32", "encode_other_precision_ms", "encode_peak_share")
TINY = ("height=48", "width=64", "points=2", "rounds=2", "edits=40", "frames=6")


@pytest.fixture
def config() -> DictConfig:
    register_resolvers()
    with initialize_config_module("guided_seg.conf", version_base="1.3"):
        return compose("benchmark", [*TINY])


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small network for each, since VGG takes seconds to build."""
    for module in (update, memory, encode, training, video):
        monkeypatch.setattr(module, "build", lambda *_: deepcopy(network("late_global")))


def wait_until(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.01)


def by_name(rows: Any) -> dict[str, Row]:
    return {entry["name"]: entry for entry in rows}


@pytest.mark.usefixtures("light")
def test_an_edit_is_what_computing_from_scratch_gives(config: DictConfig) -> None:
    found = by_name(update.rows(config))
    assert list(found) == ["edit_ms", "edit_vs_full", "edit_vs_full_without_border", "edit_k8_s20_ms", "edit_max_error"]
    assert found["edit_max_error"]["value"] <= 1e-4
    assert "; 0 labels differ" in found["edit_max_error"]["of"]
    assert found["edit_ms"]["ratio"] == pytest.approx(found["edit_vs_full"]["value"])


@pytest.mark.usefixtures("light")
def test_memory_is_measured_over_images_that_come_back(config: DictConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "IMAGES", 3)
    monkeypatch.setattr(memory, "CACHE_MB", 0.15)
    monkeypatch.setattr(memory, "STAY", 4)
    found = by_name(memory.rows(config))
    assert list(found) == ["memory_growth", "memory_encodes_per_visit"]
    assert found["memory_growth"]["value"] > -1
    # ten visits to three images, of which not all have room
    assert 0.2 < found["memory_encodes_per_visit"]["value"] <= 1


@pytest.mark.usefixtures("light")
def test_a_video_is_encoded_once_a_frame(config: DictConfig) -> None:
    found = by_name(video.rows(config))
    assert found["video_encodes_per_frame"]["value"] == 1
    assert found["video_ms_per_frame"]["value"] > 0


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("frames", [1, 3])
def test_a_video_may_be_short(frames: int, config: DictConfig) -> None:
    config.frames = frames
    assert by_name(video.rows(config))["video_ms_per_frame"]["value"] > 0


def test_the_released_network_is_timed(config: DictConfig) -> None:
    found = by_name(released.rows(config))
    assert list(found) == ["released_edit_ms", "released_frame_ms"]
    assert all(entry["value"] > 0 and "guided-lite0, 48 x 64" in entry["of"] for entry in found.values())


def test_what_a_neighbour_costs_is_measured_beside_one(config: DictConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    beside: list[str | None] = []

    @contextmanager
    def recorded(program: str | None) -> Iterator[None]:
        beside.append(program)
        yield

    monkeypatch.setattr(neighbour, "load_network", lambda _: (network("late_global"), None))
    monkeypatch.setattr(neighbour, "neighbour", recorded)
    monkeypatch.setattr(neighbour, "PHASES", 1)
    found = by_name(neighbour.rows(config))
    assert list(found) == [f"{what}_beside_{which}_ms" for what in ("edit", "frame") for which in ("busy", "torch")]
    assert all(entry["value"] > 0 and (entry["reference"] or 0) > 0 for entry in found.values())
    assert beside == [None, *neighbour.NEIGHBOURS.values()]


def test_a_neighbour_is_busy_meanwhile_and_gone_afterwards() -> None:
    before = set(psutil.Process().children())

    def work() -> None:
        (process,) = {*psutil.Process().children()} - before
        begun = process.cpu_times().user
        wait_until(lambda: process.cpu_times().user > begun + 0.05)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), neighbour.neighbour(neighbour.NEIGHBOURS["busy"]):
        work()
    assert set(psutil.Process().children()) == before


def test_a_neighbour_ends_with_the_benchmark_however_that_ends() -> None:
    code = f"import os\nparent = {os.getpid() + 1}\n{neighbour.NEIGHBOURS['busy']}"
    assert python("-c", code, limit=60)


def test_a_neighbour_that_does_not_start_is_told() -> None:
    with pytest.raises(RuntimeError, match="The neighbour did not start"), neighbour.neighbour("raise SystemExit"):
        pass


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize("module", [encode, training], ids=["encode", "training"])
def test_bf16_beside_fp32(module: Any, config: DictConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "convolution_peak", lambda *_: 1e12)
    found = by_name(module.rows(config))
    assert all(entry["value"] > 0 for entry in found.values())
    if module is encode:
        auto = fastest(folded(network("late_global")).backbone, torch.device("cpu"))
        assert list(found) == [*ENCODE, *(["encode_fp32_peak_share"] if auto == "fp32" else [])]
        assert found["encode_vgg16_ms"]["ratio"] == pytest.approx(found["encode_vs_fp32"]["value"])
    else:
        ratios = [f"train_step_{name}" for name in ("ms", "ratio", "cached_ms", "cached_ratio")]
        assert list(found) == ratios


def test_sampling_is_compared_with_the_plain_way(config: DictConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "IMAGES", 3)
    monkeypatch.setattr(data, "EPISODES", 2)
    found = by_name(data.rows(config))
    assert {"episodes_per_second_decoded", "episodes_per_second_disk"} <= set(found)
    for entry in found.values():
        assert entry["ratio"] == pytest.approx(entry["value"] / (entry["reference"] or 0))


def test_start_up_is_that_of_fresh_processes(config: DictConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, ...]] = []
    monkeypatch.setattr(startup, "_process", lambda *words: lambda: called.append(words))
    assert list(by_name(startup.rows(config))) == ["import_session_s", "help_s", "config_s"]
    assert ("-m", "guided_seg.run", "--help") in called


def test_accuracy_is_drawn_against_time(config: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "load_network", lambda _: (network("late_global"), None))
    monkeypatch.setattr(accuracy, "LIMIT", 3)
    config.checkpoint, config.objects, config.output_dir = "some.ckpt", 2, str(tmp_path)
    found = by_name(accuracy.rows(config))
    assert all(0 <= found[f"accuracy_iou_{clicks}"]["value"] <= 1 for clicks in (1, 3))
    times = list(csv.DictReader((tmp_path / "accuracy.csv").read_text().splitlines()))
    assert [row["clicks"] for row in times] == ["1", "2", "3"]
    for name in ("session_ms", "scratch_ms"):
        column = [float(row[name]) for row in times]
        assert 0 < column[0] <= column[1] <= column[2]
    assert cv2.imread(str(tmp_path / "accuracy.png")) is not None


def test_accuracy_trains_a_network_where_none_is_given(
    config: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accuracy, "TRAINING", (*accuracy.TRAINING, *SMALL, "trainer.max_steps=2"))
    monkeypatch.setattr(accuracy, "LIMIT", 1)
    config.objects, config.output_dir = 1, str(tmp_path)
    assert list(accuracy.rows(config))
    assert (tmp_path / "accuracy" / "checkpoints" / "best.ckpt").is_file()


def test_operations_are_those_of_the_convolutions() -> None:
    model = network("late_global")
    found: list[int] = []
    for layer in model.backbone.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(
                lambda own, _, out: found.append(2 * out.numel() * own.weight[0].numel())  # type: ignore[arg-type]
            )
    assert encode.operations(model, torch.rand(3, 33, 41)) == sum(found) > 0


def test_ways_take_turns() -> None:
    order: list[str] = []
    times = by_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert order == ["a", "b"] * 3  # one to warm up
    assert set(times) == {"a", "b"}


def test_a_ratio_is_how_many_times_better() -> None:
    assert row("x", 2.0, "ms", "of", 10.0)["ratio"] == 5
    assert row("x", 2.0, "ms", "of")["ratio"] is None


def test_suites_leave_their_figures_one_after_the_other(
    config: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "machine", lambda: {"processor": "this", "cores": 2})
    monkeypatch.setattr(startup, "rows", lambda _: [row("help_s", 0.4, "s", "help", 2.0)])

    def broken(_: DictConfig) -> list[Row]:
        raise KeyboardInterrupt

    monkeypatch.setattr(video, "rows", broken)
    config.suite = ["startup", "video"]
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path)
    assert read(tmp_path / "benchmark.json") == [
        {"name": "help_s", "value": 0.4, "unit": "s", "reference": 2.0, "ratio": 5.0, "of": "help"}
    ]
    page = (tmp_path / "benchmark.md").read_text()
    assert "| help_s | 0.4 | s | 2 | 5 | help |" in page
    assert page.endswith("Machine: processor this, cores 2.\n")


def test_suites_are_chosen_one_several_or_all() -> None:
    assert chosen("all") == chosen(["all", "data"]) == list(SUITES)
    assert chosen(["data", "video"]) == ["data", "video"]
    with pytest.raises(UserError, match="no suite 'vido'; did you mean 'video'"):
        chosen("vido")
    comment = (CONF / "benchmark.yaml").read_text()
    assert all(name in comment for name in SUITES)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "IMAGES", 3)
    monkeypatch.setattr(data, "EPISODES", 2)
    monkeypatch.setattr(timing, "by_turns", lambda ways, _: by_turns(ways, 1))
    # without instructions for bf16 the real sizes take two minutes
    monkeypatch.setattr(timing, "CONVOLUTIONS", ((64, 30, 54),))
    monkeypatch.setattr(timing, "PRODUCT", 256)
    done = call("benchmark.__main__", "suite=data", "rounds=1", "output_dir=out", folder=tmp_path)
    assert last_line(done) == str(tmp_path / "out")
    assert "episodes_per_second_disk" in done.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"benchmark.json", "benchmark.md", "machine.json"}
    assert read(tmp_path / "out" / "machine.json")["convolution_bf16_gflops"] > 0

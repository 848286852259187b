"""The three files of a network answer as a session does, on questions unlike those that they were made with."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import onnxruntime
import pytest
from jaxtyping import config
from omegaconf import OmegaConf
from support.commands import CONF, VGG, call, shallow_lite, thin_vgg
from support.compositions import GROUPS, LEGAL
from support.evaluations import write_checkpoint
from torch.onnx._internal.exporter._registration import ONNXRegistry

from guided_seg.errors import UserError
from guided_seg.export import graphs
from guided_seg.export.check import Example, by_parts, by_session, difference
from guided_seg.export.export_parts import export
from guided_seg.files.writing import sha256
from guided_seg.release.load import load_network

SCRIPT = CONF.parent / "examples" / "onnx_session.py"
PARTS = ("encoder", "guide", "segmentor")
CROSSED = ("conditioning", "decoder", "merge", "annotation")
PRETRAINED = {"vgg16_lite": 32, "efficientnet_lite0": 8}
"""Their strides."""
NOT_TRACED = {"conditioning=fused", "decoder=carried"}


def _covering() -> list[tuple[str, ...]]:
    """As few compositions as show each option of `CROSSED` that late fusion can have, and each kind of backbone.

    Exporting takes seconds, so each composition shows several at once. The pretrained backbones get decoder=skips, so
    that their earlier maps are exported too.
    """
    late = [set(overrides) for overrides in LEGAL if "fusion=late" in overrides and not NOT_TRACED & {*overrides}]
    late = [c for c in late if "locality=global" in c or "conditioning=nearest_neighbors" in c]
    wanted = {f"{group}={name}" for group in CROSSED for name in GROUPS[group]} & set(chain(*late))
    found = []
    while wanted:
        found.append(min(late, key=lambda c: (-len(c & wanted), sorted(c))))
        wanted -= found[-1]
    decoders = [f"decoder={name}" for name in GROUPS["decoder"] if f"decoder={name}" not in NOT_TRACED]
    plain = [decoder for decoder in decoders if decoder != "decoder=skips"]
    heads = [(decoder,) for decoder in plain] + [("decoder=skips", f"backbone={name}", *VGG) for name in PRETRAINED]
    rows = zip_longest(found, heads, fillvalue=None)
    return [(*sorted(c or found[0]), *(head or heads[0])) for c, head in rows]


def _elsewhere() -> list[tuple[str, ...]]:
    """The first composition of each conditioning that only goes with what cannot be exported."""
    shown = set(chain(*_covering()))
    lacking = {f"conditioning={name}" for name in GROUPS["conditioning"]} - shown - NOT_TRACED
    return [next(overrides for overrides in LEGAL if word in overrides) for word in sorted(lacking)]


@pytest.fixture(autouse=True, scope="module")
def _symbols() -> Iterator[None]:
    """While a graph is traced lengths are symbols, which are no numbers to the checker of types and shapes."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    # a fifth of the time of an export, and the same each time
    with patch.object(ONNXRegistry, "from_torchlib", staticmethod(cache(ONNXRegistry.from_torchlib))):
        yield
    config.update("jaxtyping_disable", before)


def composed(checkpoint: Path, form: str) -> Any:
    return OmegaConf.create({"checkpoint": str(checkpoint), "format": form})


def exported(folder: Path, form: str, *overrides: str) -> tuple[Path, Path]:
    """A checkpoint of random weights, and the folder of its export."""
    out = folder / form
    out.mkdir(parents=True)
    checkpoint = write_checkpoint(folder / "best.ckpt", *overrides)
    export(composed(checkpoint, form), out)
    return checkpoint, out


def asked(sizes: Sequence[tuple[int, int]], dots: int, num_labels: int) -> Example:
    """Random dots on random images; every label but the last has some, where there are enough."""
    rng = np.random.default_rng(dots)
    images = [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    once = {}
    for number in range(dots):
        image = number % len(sizes)
        row, column = (int(rng.integers(bound)) for bound in sizes[image])
        once[image, row, column] = number % max(num_labels - 1, 2)
    return Example(images, np.array([(*at, k) for at, k in once.items()], np.int64).reshape(-1, 4), num_labels)


QUESTIONS = [
    asked([(40, 53)], 1, 2),
    asked([(64, 64), (37, 81)], 7, 3),
    asked([(31, 90), (97, 22), (50, 50)], 2, 2),
    asked([(45, 33), (20, 20)], 0, 3),
    asked([(33, 47), (52, 40)], 60, 4),
]


def by_script(folder: Path, question: Example) -> list[np.ndarray]:
    session = runpy.run_path(str(SCRIPT))["OnnxSession"](folder)
    for image in question.images:
        session.add_image(image)
    for dot in question.points.tolist():
        session.dot(*dot)
    return [session.scores(number, question.num_labels) for number in range(len(question.images))]


def check_same(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-3)  # also where both are -inf
        best = np.sort(other, axis=0)
        sure = best[-1] - best[-2] > 2e-3
        assert (one.argmax(0) == other.argmax(0))[sure].all()


def test_the_compositions_show_every_option_that_can_be_exported() -> None:
    shown = set(chain(*_covering()))
    lacking = {f"conditioning={name}" for name in GROUPS["conditioning"]} - shown
    assert lacking == {"conditioning=direct", "conditioning=fused"}
    assert {f"{group}={name}" for group in CROSSED[1:] for name in GROUPS[group]} - NOT_TRACED <= shown
    assert {f"backbone={name}" for name in PRETRAINED} <= shown


@pytest.fixture(scope="module", params=_covering(), ids="-".join)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The checkpoint of one composition, and its ONNX files."""
    with thin_vgg(), shallow_lite():
        yield exported(tmp_path_factory.mktemp("made"), "onnx", *request.param)


def test_the_script_answers_as_a_session(made: tuple[Path, Path]) -> None:
    network = load_network(made[0])[0]
    for question in QUESTIONS:
        wanted = by_session(network, question)
        check_same(by_script(made[1], question), wanted)
    assert max(scores[np.isfinite(scores)].std() for scores in wanted) > 1e-3, "they say something"


def test_the_card_names_what_the_files_take_and_give(made: tuple[Path, Path], request: pytest.FixtureRequest) -> None:
    card = json.loads((made[1] / "model.json").read_text())
    assert card["stride"] == next((s for name, s in PRETRAINED.items() if f"backbone={name}-" in request.node.name), 4)
    assert card["opset"] >= 18
    assert card["checkpoint"] == {"file": "best.ckpt", "sha256": sha256(made[0])}
    assert set(card["versions"]) == {"guided_seg", "torch", "onnx", "onnxscript", "onnxruntime"}
    for name, part in card["parts"].items():
        session = onnxruntime.InferenceSession(made[1] / part["file"])
        assert [each.name for each in session.get_inputs()] == list(part["inputs"]), name
        assert [each.name for each in session.get_outputs()] == list(part["outputs"]), name


def test_the_script_on_a_folder(made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    for folder in (images, out):
        folder.mkdir()
    picture = np.random.default_rng(0).integers(0, 256, (40, 53, 3), np.uint8)
    for name, pixels in (("a", picture), ("b", picture[:31])):
        cv2.imwrite(str(images / f"{name}.png"), pixels[..., ::-1])
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, (made[1], images, out)), "0,20,30,1", "1,2,2,0"])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    question = Example([picture, picture[:31]], np.array([[0, 20, 30, 1], [1, 2, 2, 0]]), 2)
    for name, scores in zip("ab", by_session(load_network(made[0])[0], question), strict=True):
        found, sure = cv2.imread(str(out / f"{name}.png"), cv2.IMREAD_UNCHANGED), abs(scores[1] - scores[0]) > 2e-3
        assert (found == scores.argmax(0))[sure].all()


JOINT = ("conditioning.scorer=joint", "conditioning.matching=false", "annotation=learned", "merge=attention")
SETS = ("+experiment=nearest_neighbors", "decoder=skips")


@pytest.mark.parametrize(
    ("overrides", "labels"), [(JOINT, 2), pytest.param(SETS, "any", marks=pytest.mark.slow)], ids=["joint", "sets"]
)
def test_torch_graphs_answer_as_a_session(tmp_path: Path, overrides: tuple[str, ...], labels: int | str) -> None:
    checkpoint, folder = exported(tmp_path, "torch_export", *overrides)
    assert json.loads((folder / "model.json").read_text())["num_labels"] == labels
    parts = {name: graphs.read_torch(folder / f"{name}.pt2") for name in PARTS}
    for question in QUESTIONS:
        if labels in ("any", question.num_labels):
            check_same(by_parts(parts, question), by_session(load_network(checkpoint)[0], question))


def test_the_script_is_short_and_needs_little() -> None:
    text = SCRIPT.read_text()
    assert len(text.splitlines()) <= 60
    assert not any(words in text for words in ("import torch", "import guided_seg", "from guided_seg"))


REFUSED = [
    *((overrides, "train with fusion=late") for overrides in _elsewhere()),
    (("+experiment=early_mask_regression",), "train with fusion=late"),
    (("+experiment=fused",), "ONNX has no operator"),
    (("+experiment=late_local",), "locality=local keeps positions"),
    (("resolution=interpolated_support",), "train with resolution=native"),
    (("resolution.longest=64",), "resolution.longest resizes only large images; train with resolution=native"),
    (("backbone=vgg16_lite", *VGG, "backbone.border=true"), "train with backbone.border=false"),
    (("baseline=foreground_background",), "baseline=foreground_background has no guide"),
    (("baseline=fine_tune",), "choose a checkpoint that was trained with baseline=none"),
]


@pytest.mark.parametrize(
    ("overrides", "sentence"), REFUSED, ids=lambda value: None if isinstance(value, str) else "-".join(value)
)
def test_what_cannot_be_exported_is_refused(tmp_path: Path, overrides: tuple[str, ...], sentence: str) -> None:
    with thin_vgg():
        checkpoint = write_checkpoint(tmp_path / "best.ckpt", *overrides)
        (tmp_path / "out").mkdir()
        with pytest.raises(UserError, match="cannot be exported") as caught:
            export(composed(checkpoint, "onnx"), tmp_path / "out")
    assert sentence in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["best.ckpt"]


def test_the_command_writes_and_tells(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "best.ckpt")
    done = call("export.__main__", "checkpoint=best.ckpt", "format=torch_export", "output_dir=out", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Largest difference from the scores of a session: " in done.stdout
    assert "segmentor.pt2" in done.stdout
    assert len(list((tmp_path / "out").iterdir())) == 4


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("checkpoint=nowhere.ckpt", "There is no checkpoint nowhere.ckpt"),
        ("checkpoint=text.ckpt", "text.ckpt cannot be read as a checkpoint"),
        ("checkpoint=best.ckpt format=onxx", "There is no format 'onxx'; did you mean 'onnx'?"),
        (
            "checkpoint=best.ckpt format=safetensors",
            "was removed; python -m guided_seg.release checkpoint=RUN name=NAME",
        ),
        ("checkpoint=best.ckpt output_dir=full", "is not empty; choose a new or an empty one with output_dir=..."),
        ("checkpoint=best.ckpt output_dir=text.ckpt", "text.ckpt is not a folder"),
        ("", "checkpoint has no default"),
    ],
)
def test_bad_input_leaves_nothing(tmp_path: Path, words: str, sentence: str) -> None:
    write_checkpoint(tmp_path / "best.ckpt")
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    line = words.split()
    if not any(word.startswith("output_dir") for word in line):
        line.append("output_dir=out")
    done = call("export.__main__", *line, folder=tmp_path)
    assert done.returncode == 2, done.stdout
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.rglob("*")} == {"best.ckpt", "text.ckpt", "full", "mine.txt"}


def test_a_missing_package_is_named_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    there = patch("guided_seg.export.export_parts.find_spec", lambda name: name != "onnxruntime" or None)
    with there, pytest.raises(UserError, match=r"onnxruntime: pip install 'guided_seg\[export\]'"):
        export(composed(tmp_path / "nowhere.ckpt", "onnx"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_that_answer_otherwise_are_not_kept(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "best.ckpt")
    other = load_network(write_checkpoint(tmp_path / "other.ckpt", seed=1))[0]
    (tmp_path / "out").mkdir()
    with (
        patch("guided_seg.export.export_parts.by_session", lambda _, asked: by_session(other, asked)),
        pytest.raises(UserError, match="scores that differ"),
    ):
        export(composed(checkpoint, "torch_export"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_scores_that_are_no_numbers_are_a_difference() -> None:
    with pytest.raises(UserError, match="differ by nan"):
        difference([np.full((2, 3, 3), np.nan, np.float32)], [np.zeros((2, 3, 3), np.float32)])

"""The commands on tiny data: composed and called in this process, or as a person types them."""

from __future__ import annotations

import csv
import json
import logging
import os
import pickle
import sys
from collections.abc import Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    chdir,
    contextmanager,
    nullcontext,
    redirect_stderr,
    redirect_stdout,
)
from functools import lru_cache
from importlib import import_module
from io import StringIO
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, cast
from unittest.mock import patch

import torch
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from timm.models import efficientnet

from guided_seg.cli.run_folders import register_resolvers
from guided_seg.protocols.evaluation import score
from guided_seg.training.train import train
from support.processes import PLAIN, ended

CONF = Path(__file__).parents[2] / "conf"
TINY = (
    *("trainer=smoke", "logger=csv", "num_workers=0", "data.size=48", "backbone.width=16", "backbone.blocks=1"),
    *("data.training.batch_size=4", "data.training.val_episodes=4", "trainer.enable_progress_bar=false"),
    *("evaluation.episodes=4", "evaluation.shots=[1]", "evaluation.points=[5]"),
)
"""Seconds, not minutes; trains all that the main job trains."""

VGG = ("backbone.weights=random", "backbone.width=16")
"""What makes the original's backbone as small; no weights are downloaded."""

THIN_VGG = (2, 2, "pool", 2, 2, "pool", 2, 2, 256, "pool", 2, 2, 512, "pool", 2, 2, 512, "pool")
"""VGG-16 layer by layer, with as few channels as it can have: its skips and fc6 expect 256, 512 and 512."""


def compose_run(*overrides: str) -> DictConfig:
    """The config of the main command."""
    # folders differ from test to test, and must not keep what is composed from being kept
    folders = [word for word in overrides if word.startswith("output_dir=") and "," not in word]
    cfg = _compose("config", tuple(word for word in overrides if word not in folders))
    for word in folders:
        cfg.output_dir = word.partition("=")[2]
    return cfg


def compose_evaluation(checkpoint: Path | str, *overrides: str) -> DictConfig:
    """The config of the second command, on few episodes."""
    quick = ("num_workers=0", "evaluation.episodes=4", "evaluation.shots=[1]", "evaluation.points=[5]")
    return _compose("evaluate", (f"checkpoint={checkpoint}", *quick, *overrides))


def run(folder: Path, *overrides: str, figures: bool = False) -> Path:
    """Train and test on tiny data in ``folder``, which it returns; figures would take most of the time."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny = TINY
    if any(word.startswith("+experiment=revolver") for word in overrides):
        tiny = (*(word for word in TINY if not word.startswith("backbone.")), *VGG)
    with nullcontext() if figures else no_figures():
        train(compose_run(*tiny, f"output_dir={folder}", *overrides), folder)
    return folder


def thin_vgg() -> AbstractContextManager[Any]:
    """What is built meanwhile with a VGG-16 has a thin one, which is forty times as fast."""
    return patch("guided_seg.model.backbones.vgg._LAYERS", THIN_VGG)


def shallow_lite() -> AbstractContextManager[Any]:
    """What is built meanwhile with an EfficientNet-Lite has each kind of block once, and one that adds its input."""
    whole = efficientnet._gen_efficientnet_lite
    return patch.object(
        efficientnet, "_gen_efficientnet_lite", lambda *a, **o: whole(*a, **o | {"depth_multiplier": 0.33})
    )


def no_figures() -> AbstractContextManager[Any]:
    """Runs of this process draw none."""
    stack = ExitStack()
    stack.enter_context(patch("guided_seg.protocols.default_test.draw", return_value={}))
    stack.enter_context(patch("guided_seg.training.train._draw_learning"))
    stack.enter_context(patch("guided_seg.training.callbacks.EpisodePictures.on_validation_epoch_end"))
    return stack


def composed_once() -> AbstractContextManager[Any]:
    """Sweeps compose their jobs once; Hydra does it twice, which is half of the time that tiny jobs take."""
    return patch("hydra.plugins.sweeper.Sweeper.validate_batch_is_legal")


def evaluate(checkpoint: Path, folder: Path, *overrides: str) -> dict[str, Any]:
    """Score a checkpoint into ``folder``, without figures; the content of its evaluation.json."""
    folder.mkdir(parents=True, exist_ok=True)
    with patch("guided_seg.protocols.default_test.draw"):
        score(compose_evaluation(checkpoint, *overrides), folder)
    return read(folder / "evaluation.json")


def read(path: Path) -> dict[str, Any]:
    """A JSON file."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def scores(folder: Path) -> dict[str, Any]:
    """metrics.json without what the clock says."""
    return {name: entry for name, entry in read(folder / "metrics.json").items() if name != "run"}


def assert_same_run(resumed: Path, straight: Path) -> None:
    """To the bit: the weights, the scores, and the rows of metrics.csv but for its times."""
    for name in ("best.ckpt", "last.ckpt"):
        found, expected = (
            torch.load(folder / "checkpoints" / name, weights_only=True)["state_dict"] for folder in (resumed, straight)
        )
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], tensor) for key, tensor in expected.items()), name
    assert scores(resumed) == scores(straight)
    assert untimed(resumed) == untimed(straight)


def untimed(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv without what the clock says."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: cell for name, cell in row.items() if not name.startswith("run/")} for row in rows]


def command(module: str, *argv: str, folder: Path) -> CompletedProcess[str]:
    """``python -m guided_seg.<module>`` in ``folder``, on one core."""
    return ended(sys.executable, "-m", f"guided_seg.{module}", *argv, limit=300, folder=folder)


def call(module: str, *argv: str, folder: Path) -> CompletedProcess[str]:
    """What `command` gives, in this process, which has imported already what takes a new one seven seconds."""
    main, out, err = import_module(f"guided_seg.{module}").main, StringIO(), StringIO()
    with _as_a_program(module, *argv), chdir(folder), redirect_stdout(out), redirect_stderr(err):
        try:
            code = main()
        except SystemExit as end:
            code = end.code
    return CompletedProcess(argv, code or 0, out.getvalue(), err.getvalue())


@contextmanager
def _as_a_program(module: str, *argv: str) -> Iterator[None]:
    """Hydra, logging and the environment are afterwards as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with patch.object(sys, "argv", [module, *argv]), patch.dict(os.environ, PLAIN):
        try:
            yield
        finally:
            for handler in set(root.handlers) - set(handlers):
                handler.close()
            root.handlers, root.level = handlers, level
            GlobalHydra.instance().clear()
            HydraConfig.instance().cfg = None


def last_line(done: CompletedProcess[str]) -> str:
    """The last line that a command printed; shows its errors where it failed."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip().splitlines()[-1]


def _compose(name: str, overrides: tuple[str, ...]) -> DictConfig:
    return cast("DictConfig", pickle.loads(_composed(name, overrides)))


@lru_cache(maxsize=256)
def _composed(name: str, overrides: tuple[str, ...]) -> bytes:
    """Composing takes 0.15 s, two hundred times as long as reading what it gave; copying that takes 3 ms."""
    register_resolvers()
    with initialize_config_module("guided_seg.conf", version_base="1.3"):
        return pickle.dumps(compose(name, list(overrides)))

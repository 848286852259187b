"""The release command: write a released model, read it back and check the effect of rounding to fp16."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig
from rich.console import Console
from rich.filesize import decimal

from guided_seg.composition.build import choices
from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisodes
from guided_seg.data.frozen.freeze import Plan, select
from guided_seg.data.shapes.shapes import Shapes
from guided_seg.episode import collate
from guided_seg.errors import UserError
from guided_seg.files.writing import filled_or_gone, sha256
from guided_seg.model.network import Network
from guided_seg.release import CARD, CHECKSUMS, MODEL
from guided_seg.release.card import Origin, card, read_template
from guided_seg.release.load import checkpoint_file, load_network, read_checkpoint
from guided_seg.release.weights import write_weights

LIMIT = 15_000_000
"""Largest model file, in bytes."""
CHANGED = 0.01
"""Largest share of pixels whose label may change by rounding."""
EPISODES = 16


class Rounding(NamedTuple):
    """The effect of rounding to fp16 on the built-in episodes.

    Args:
        scores: largest absolute difference of scores.
        pixels: share of pixels whose label changes.
    """

    scores: float
    pixels: float

    def __str__(self) -> str:
        return (
            f"scores differ by at most {self.scores:.1e}, and {self.pixels:.3%} of the pixels of {EPISODES} built-in "
            "images get another label"
        )


def release(cfg: DictConfig, out: Path) -> Rounding:
    """Write the model, its checksum and its card.

    Args:
        cfg: the composed config of ``guided_seg.release``.
        out: an empty folder.

    Raises:
        UserError: the name, the checkpoint or the template cannot be used, the model is too large, or rounding changes
            its predictions. No files are left behind.
    """
    with filled_or_gone(out) as partial:
        _check_name(cfg.name)
        template, file = read_template(cfg.card), checkpoint_file(cfg.checkpoint)
        content = _of_training(file)
        network, trained = load_network(file)
        if cfg.get("longest") is not None:
            _limit(network, trained, cfg.longest)
            content["config"]["resolution"]["longest"] = cfg.longest
        if cfg.get("enlarge") is not None:
            _enlarge(network, trained, cfg.enlarge)
            content["config"]["resolution"]["enlarge"] = cfg.enlarge
        model = partial / MODEL
        write_weights(network, cfg.name, trained, model)
        parameters = sum(tensor.numel() for tensor in network.parameters())
        _check_size(model, parameters)
        (partial / CHECKSUMS).write_text(f"{sha256(model)}  {MODEL}\n", encoding="utf-8")
        found = rounding(network, load_network(partial)[0])
        text = card(template, cfg.name, model, Origin(file, content, parameters, str(found)))
        (partial / CARD).write_text(text, encoding="utf-8")
    console = Console(markup=False, highlight=False)
    size = decimal((out / MODEL).stat().st_size)
    console.print(f"{cfg.name}: {parameters:,} parameters, {size}; {found}.", soft_wrap=True)
    console.print(str(out), soft_wrap=True)
    return found


def _of_training(file: Path) -> dict[str, Any]:
    """The content of a checkpoint. Its config must hold the training facts that the card needs."""
    if file.suffix == ".safetensors":
        raise UserError(f"{file} is a released model already; give the run that it was made from.")
    content = read_checkpoint(file)
    steps = content["config"].get("length")
    if not {"name", "seed", "data"} <= content["config"].keys() or "trainer.max_steps" not in (steps or {}):
        raise UserError(
            f"{file} does not say how it was trained, which a card needs; give one that guided_seg.run wrote."
        )
    return content


def _limit(network: Network, trained: DictConfig, longest: int) -> None:
    """Make the model downscale larger images. Maps span the image either way, so no weight depends on it."""
    if type(longest) is not int or longest < 32:
        raise UserError(f"longest={longest}: expected a whole number of pixels from 32, or null.")
    trained.resolution.longest = longest
    choices(trained).check()
    network.backbone.longest = longest


def _enlarge(network: Network, trained: DictConfig, enlarge: Any) -> None:
    """Set whether the model upscales smaller images."""
    if not isinstance(enlarge, bool) or (enlarge and network.backbone.longest is None):
        raise UserError(f"enlarge={enlarge}: expected true, with a number as longest, or false, or null.")
    trained.resolution.enlarge = network.backbone.enlarge = enlarge


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", str(name)):
        raise UserError(f"name={name}: expected lowercase letters, digits, dots and dashes, as in guided-lite0.")


def _check_size(model: Path, parameters: int) -> None:
    if (size := model.stat().st_size) > LIMIT:
        raise UserError(
            f"The model takes {decimal(size)} for {parameters:,} parameters, and a released model may take "
            f"{decimal(LIMIT)}; choose a lighter backbone or a smaller width, and train again."
        )


def rounding(network: Network, stored: Network) -> Rounding:
    """Compare the predictions of two networks on built-in images with 5 dots per label.

    Raises:
        UserError: the label of more than `CHANGED` of the pixels differs, or scores are not finite.
    """
    source = Shapes("test")
    data = EvaluationEpisodes(source, select(source, "test", Plan(["interactive"], EPISODES, points=5)))
    episodes = (data[number].with_setting(1, 5) for number in range(len(data)))
    batch = collate([episode for episode in episodes if episode is not None])
    with torch.no_grad():
        wanted, found = network(batch), stored(batch)
    changed = (wanted.argmax(1) != found.argmax(1)).float().mean()
    result = Rounding(float((wanted - found).abs().max()), float(changed))
    if not (result.scores < float("inf") and result.pixels <= CHANGED):
        raise UserError(
            f"Rounding to fp16 changes the predictions: {result}; {CHANGED:.0%} is allowed. Its weights span "
            "more than fp16 can hold: train with a larger optimizer.optimizer.weight_decay."
        )
    return result

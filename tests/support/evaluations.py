"""A tiny world and untrained networks that find something in it, for protocols to score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig

from guided_seg.composition.build import build_network, network_config
from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisode
from guided_seg.data.shapes.shapes import Shapes
from guided_seg.episode import Episode
from guided_seg.model.network import Network
from guided_seg.protocols.answers import Answers
from guided_seg.protocols.evaluation import score_protocols
from guided_seg.protocols.scores import Scored
from support.commands import CONF, TINY, VGG, compose_evaluation, compose_run

NAMES = sorted(path.stem for path in (CONF / "protocol").glob("*.yaml"))
SHAPES = Shapes("test", size=48, tasks=16, frames=5)
WORLD = ("data.size=48", "data.tasks=16", "data.frames=5")
FINDS = ("conditioning=prototypes", "conditioning.floor=false")
"""Without the floor, an untrained network calls about half of the pixels positive, and not the same for any two."""


def network_of(*overrides: str) -> Network:
    """An untrained network, always the same."""
    torch.manual_seed(0)
    return build_network(_config(*overrides)).eval()


def write_checkpoint(path: Path, *overrides: str, seed: int = 0) -> Path:
    """What the main command would write without training."""
    cfg = _config(*overrides)
    torch.manual_seed(seed)
    state = {f"network.{name}": value for name, value in build_network(cfg).state_dict().items()}
    torch.save({"config": network_config(cfg), "state_dict": state}, path)
    return path


def _config(*overrides: str) -> DictConfig:
    tiny = [word for word in TINY if not (VGG[0] in overrides and word.startswith("backbone."))]
    return compose_run(*tiny, *WORLD, *overrides)


def score(checkpoint: Path, out: Path, names: Sequence[str], *overrides: str) -> dict[str, Scored]:
    """Score a checkpoint under these protocols, on two episodes each."""
    out.mkdir(parents=True, exist_ok=True)
    few = (f"protocol.{name}.episodes=2" for name in names)
    asked = (f"protocol=[{','.join(names)}]", "accelerator=cpu", *few, *overrides)
    return score_protocols(compose_evaluation(checkpoint, *asked), out)


def files(folder: Path) -> dict[str, bytes]:
    """The content of each file but the config, which names the folder."""
    return {path.name: path.read_bytes() for path in folder.glob("*.*") if path.name != "config.yaml"}


class Stub(Answers):
    """Answers without a network, and what they were asked."""

    def __init__(self) -> None:
        self.asked: list[Episode] = []

    def encode(self, item: EvaluationEpisode, shots: int) -> None:
        """Nothing to encode."""

    def segment(self, item: EvaluationEpisode, episode: Episode) -> np.ndarray:
        self.asked.append(episode)
        return self.answer(item, episode)

    def answer(self, item: EvaluationEpisode, episode: Episode) -> np.ndarray:
        """The target itself."""
        return item.dense.target.numpy()

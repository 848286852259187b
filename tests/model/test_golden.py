"""Scores that were once right stay as they are.

A change that is meant to change them is followed by `make golden`, and the difference in golden.json is reviewed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from guided_seg.composition.build import build_network
from guided_seg.data.sampling.points import PointRange
from guided_seg.data.shapes.shapes import Shapes
from guided_seg.data.training_episodes import TrainEpisodes
from guided_seg.episode import Batch, collate
from guided_seg.settings.episode_options import EpisodeOptions

GOLDEN = Path(__file__).with_name("golden.json")
REFRESH = "REFRESH_GOLDEN" in os.environ
TINY = ("backbone.width=8", "backbone.blocks=2")
NETWORKS = {
    "late_global": ("locality=global",),
    "late_local": ("locality=local", "conditioning.context=1"),
    "joint": ("conditioning.scorer=joint", "conditioning.matching=false", "conditioning.floor=false"),
    "foreground_background": ("baseline=foreground_background",),
}


def episodes(mode: str, dense: float) -> Batch:
    """Two tasks on the built-in scenes, with five dots per label or with masks."""
    source, points = Shapes(split="train", size=48), PointRange(low=5, high=5, dense=dense, missing=0.0)
    stream = TrainEpisodes(source, {mode: 1.0}, points, EpisodeOptions(), None, seed=0)  # type: ignore[dict-item]
    return collate([stream[(0, index)] for index in range(2)])


def _facts(batch: Batch) -> dict[str, Any]:
    """What tells that the episodes are still the same ones."""
    return {
        "points": batch.points.tolist(),
        "positives": (batch.target == 1).flatten(1).sum(1).tolist(),
        "brightness": [round(value, 3) for value in batch.images.mean((1, 2, 3)).tolist()],
    }


def _scores(config: DictConfig, batch: Batch) -> list[Any]:
    torch.manual_seed(0)
    network = build_network(config).eval()
    with torch.no_grad():
        return network(batch)[:, :, 4::13, 4::13].tolist()  # a few pixels say it for all


def _lines(content: dict[str, dict[str, Any]]) -> str:
    """JSON with one line a network, so that a difference shows which of them changed."""
    parts = []
    for part, entries in content.items():
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in entries.items())
        parts.append(f'"{part}": {{\n{lines}\n}}')
    return "{" + ",\n".join(parts) + "}\n"


@pytest.fixture(scope="module")
def found(composed: Callable[..., DictConfig]) -> dict[str, Any]:
    content: dict[str, Any] = {"episodes": {}, "scores": {}}
    for form, dense in (("points", 0.0), ("mask", 1.0)):
        batch = episodes("interactive", dense)
        content["episodes"][form] = _facts(batch)
        for name, overrides in NETWORKS.items():
            content["scores"][f"{name}/{form}"] = _scores(composed(*TINY, *overrides), batch)
    return content


@pytest.fixture(scope="module")
def golden(found: dict[str, Any]) -> dict[str, Any]:
    if REFRESH:
        GOLDEN.write_text(_lines(json.loads(json.dumps(found), parse_float=lambda text: round(float(text), 6))))
    return json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("form", ["points", "mask"])
def test_the_episodes_are_the_golden_ones(form: str, found: dict[str, Any], golden: dict[str, Any]) -> None:
    """Where this fails, the scenes or their sampling changed, and nothing can be said of the networks."""
    expected, actual = golden["episodes"][form], found["episodes"][form]
    assert actual["points"] == expected["points"]
    assert actual["positives"] == expected["positives"]
    assert actual["brightness"] == pytest.approx(expected["brightness"], abs=2e-3)


@pytest.mark.parametrize("form", ["points", "mask"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_scores_are_the_golden_ones(name: str, form: str, found: dict[str, Any], golden: dict[str, Any]) -> None:
    expected, actual = (torch.tensor(content["scores"][f"{name}/{form}"]) for content in (golden, found))
    assert torch.allclose(actual, expected, atol=1e-4, rtol=1e-4)
    assert actual.std() > 1e-3  # and they say something

"""Time of a training step, with and without bf16 and a feature cache."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from omegaconf import DictConfig

from guided_seg.benchmark.models import REVOLVER_LITE, build
from guided_seg.benchmark.timing import Row, by_turns, row
from guided_seg.episode import Batch, Episode, Shot, collate
from guided_seg.model.network import Network
from guided_seg.training.feature_cache import FeatureCache

HEIGHT, WIDTH = 375, 500
OWN = (*REVOLVER_LITE, "backbone.border=false")


def rows(cfg: DictConfig) -> Iterator[Row]:
    """Measure training."""
    batch, rounds = _batch(cfg), max(2, cfg.rounds // 5)
    trained = build(*OWN)
    times = by_turns({"fp32": _step(trained, batch, False), "bf16": _step(trained, batch, True)}, rounds)
    of = f"a step of VGG-16 lite at {HEIGHT} x {WIDTH}, trainer.precision=bf16-mixed; reference: in fp32"
    yield row("train_step_ms", 1e3 * times["bf16"], "ms", of, 1e3 * times["fp32"])
    yield row("train_step_ratio", times["fp32"] / times["bf16"], "times", "speed-up of the row above")
    frozen = build(*OWN, "backbone.frozen=true")
    with tempfile.TemporaryDirectory() as folder:
        cache = FeatureCache(frozen.backbone, Path(folder), frozen.decoder.uses_skips)
        ways = {"plain": _step(frozen, batch, False), "cached": _step(frozen, batch, False, cache)}
        times = by_turns(ways, rounds)
    of = "the same in fp32, backbone.frozen=true feature_cache=FOLDER, filled; reference: without the cache"
    yield row("train_step_cached_ms", 1e3 * times["cached"], "ms", of, 1e3 * times["plain"])
    yield row("train_step_cached_ratio", times["plain"] / times["cached"], "times", "speed-up of the row above")


def _batch(cfg: DictConfig) -> Batch:
    generator = torch.Generator().manual_seed(cfg.seed)
    image = torch.rand(3, HEIGHT, WIDTH, generator=generator)
    target = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    target[100:200, 150:300] = 1
    dots = torch.tensor([[120, 200, 1], [180, 250, 1], [20, 20, 0], [300, 400, 0]])
    return collate([Episode(image, target, [Shot(image, points=dots, is_query=True)])])


def _step(network: Network, batch: Batch, bf16: bool, cache: FeatureCache | None = None) -> Callable[[], None]:
    weights = [weight for weight in network.train().parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=1e-5, momentum=0.99)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            scores = network(batch, cache.encode(batch.images, batch.sizes) if cache else None)
            loss = torch.nn.functional.cross_entropy(scores.float(), batch.target.long(), ignore_index=255)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step

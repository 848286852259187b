"""What a training step costs in bf16 against fp32, as one override chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from omegaconf import DictConfig

from guided_seg.benchmark.models import REVOLVER_LITE, build
from guided_seg.benchmark.timing import Row, by_turns, row
from guided_seg.episode import Batch, Episode, Shot, collate

HEIGHT, WIDTH = 375, 500


def rows(cfg: DictConfig) -> Iterator[Row]:
    """The figure of training."""
    batch = _batch(cfg)
    times = by_turns({"fp32": _step(batch, False), "bf16": _step(batch, True)}, max(2, cfg.rounds // 5))
    of = f"a step of VGG-16 lite at {HEIGHT} x {WIDTH}, trainer.precision=bf16-mixed; reference: in fp32"
    yield row("train_step_ms", 1e3 * times["bf16"], "ms", of, 1e3 * times["fp32"])
    yield row("train_step_ratio", times["fp32"] / times["bf16"], "times", "how many times faster that is")


def _batch(cfg: DictConfig) -> Batch:
    generator = torch.Generator().manual_seed(cfg.seed)
    image = torch.rand(3, HEIGHT, WIDTH, generator=generator)
    target = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    target[100:200, 150:300] = 1
    dots = torch.tensor([[120, 200, 1], [180, 250, 1], [20, 20, 0], [300, 400, 0]])
    return collate([Episode(image, target, [Shot(image, points=dots, is_query=True)])])


def _step(batch: Batch, bf16: bool) -> Callable[[], None]:
    network = build(*REVOLVER_LITE, "backbone.border=false").train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-5, momentum=0.99)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            scores = network(batch)
            loss = torch.nn.functional.cross_entropy(scores.float(), batch.target.long(), ignore_index=255)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step

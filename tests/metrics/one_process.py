"""One of several processes that score their shares of some sets together: RANK WORLD STORE JSON, the cases."""

from __future__ import annotations

import json
import sys

import torch
import torch.distributed as dist

from guided_seg.episode import Episode, Shot, collate
from guided_seg.metrics.iou import EpisodeIoU
from guided_seg.model.backbone import Small
from guided_seg.model.baselines.baseline import ForegroundBackground
from guided_seg.training.module import EpisodicSegmentation

Row = list[int]  # index, group, intersection, union


def score(rows: list[Row]) -> tuple[object, ...]:
    """The scores of all processes, their IoU by group, and how many episodes are this one's own afterwards."""
    metric = EpisodeIoU(within="mean", resample="groups")
    pixels = torch.arange(12)[None, None]
    for index, group, intersection, union in rows:
        prediction, target = (pixels < intersection).long(), (pixels < union).to(torch.uint8)
        metric.update(prediction, target, torch.tensor([index]), torch.tensor([group]))
    groups = {str(group): value for group, value in metric.per_group().items()}
    return metric.compute(), groups, sum(len(part) for part in metric.rows)


Asked = list[list[str | int]]  # the mode and index of each episode


def validate(asked: Asked) -> dict[str, float]:
    """What the module logs after validation, given this process's share."""
    torch.manual_seed(0)
    module = EpisodicSegmentation(ForegroundBackground(Small(width=4, blocks=0), 4).eval())
    logged: dict[str, float] = {}
    module.log = lambda name, value, **_: logged.update({name: value})  # type: ignore[method-assign]
    module.log_dict = lambda values, **_: logged.update(values)  # type: ignore[method-assign]
    with torch.no_grad():
        for number, (mode, index) in enumerate(asked):
            module.validation_step(collate([_episode(str(mode), int(index))]), number)
    module.on_validation_epoch_end()
    return logged


def _episode(mode: str, index: int) -> Episode:
    rng = torch.Generator().manual_seed(index)
    image, target = torch.rand(3, 12, 12, generator=rng), torch.zeros(12, 12, dtype=torch.uint8)
    target[: 2 + index] = 1
    shots = [Shot(image, mask=target) for _ in range(1 if mode == "interactive" else 2)]
    meta = {"mode": mode, "groups": (f"{mode} {index % 2}",), "index": index, "broken": []}
    return Episode(image, target, shots, meta)


def main(rank: int, world: int, store: str, cases: list[list[list[Row]]], shares: list[list[Asked]]) -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    answers = [score(parts[rank]) for parts in cases]
    modules = [validate(parts[rank]) for parts in shares]
    dist.destroy_process_group()
    sys.stdout.write(json.dumps([answers, modules]))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], *json.loads(sys.argv[4]))

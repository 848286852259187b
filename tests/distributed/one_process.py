"""One of several processes that score and train on their shares of some sets together: RANK WORLD STORE JSON."""

from __future__ import annotations

import json
import sys
from copy import deepcopy
from unittest.mock import patch

import torch
import torch.distributed as dist
from support.networks import network

from guided_seg.distributed.agreement import agreed
from guided_seg.distributed.collectives import rank_and_world, share, summed
from guided_seg.distributed.norms import SharedNorms
from guided_seg.episode import Episode, Shot, collate
from guided_seg.errors import UserError
from guided_seg.metrics.iou import EpisodeIoU
from guided_seg.model.backbone import Small
from guided_seg.model.baselines.baseline import ForegroundBackground
from guided_seg.settings.episode_options import EpisodeOptions
from guided_seg.training.losses import CrossEntropy
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


Trained = dict[str, list[float]]  # what is logged, and of each weight the sum of its gradient and of its magnitude


def train_step(turns: int) -> Trained:
    """A step on the episodes of all processes, which differ in labels, void pixels, shots and earlier predictions."""
    world = rank_and_world()[1]
    net = deepcopy(network("fused")).train()
    SharedNorms().apply(net)
    options = EpisodeOptions(corrections=1.0, rounds=(1, 3), recalled=1.0, turns=turns)
    module = EpisodicSegmentation(net, loss=CrossEntropy(iou=0.5), options=options)
    logged: dict[str, float] = {}
    module.log_dict = lambda values, **_: logged.update(values)  # type: ignore[method-assign]
    with patch.object(EpisodicSegmentation, "global_step", 9):  # the tenth is logged
        module.training_step(collate([_lesson(number) for number in share(8, turns)]), 0).backward()
    found = {name: [float(value)] for name, value in logged.items()}
    for name, weight in net.named_parameters():
        gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
        whole = summed(gradient) / world
        found[name] = [whole.sum().item(), whole.abs().sum().item()]
    net.zero_grad()
    found |= {name: [value.double().sum().item()] for name, value in net.named_buffers()}
    return found


def _lesson(number: int) -> Episode:
    rng = torch.Generator().manual_seed(number)
    image, target = torch.rand(3, 32, 32, generator=rng), torch.zeros(32, 32, dtype=torch.uint8)
    labels = 3 if number == 5 else 2
    for label in range(1, labels):
        target[8 * label : 8 * label + 6, 4 : 10 + number] = label
    target[:number] = 255
    dots = torch.tensor([[20, 2 + number, 0], [9, 5, 1]])
    shot = Shot(image, points=dots, is_query=True) if number % 3 else Shot(image.flip(2), mask=target.flip(1))
    meta = {"mode": "video", "group": "a", "broken": []}
    return Episode(image, target, [shot], meta, labels, target.roll(2, 0) if number == 2 else None)


def refused_sizes(rank: int) -> str:
    """Why images of several sizes are refused."""
    net = deepcopy(network("fused")).train()
    SharedNorms().apply(net)
    image, target = torch.rand(3, 32, 32 + rank), torch.zeros(32, 32 + rank, dtype=torch.uint8)
    batch = collate([Episode(image, target, [Shot(image, mask=target, is_query=True)])])
    try:
        agreed(batch, net)
    except UserError as error:
        return str(error)
    return ""


def main(rank: int, world: int, store: str, cases: list[list[list[Row]]], shares: list[list[Asked]]) -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    answers = [score(parts[rank]) for parts in cases]
    modules = [validate(parts[rank]) for parts in shares]
    trained = [train_step(turns) for turns in (1, 2)]
    refused = refused_sizes(rank)
    dist.destroy_process_group()
    sys.stdout.write(json.dumps([answers, modules, trained, refused]))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], *json.loads(sys.argv[4]))

"""One of several processes that score their shares of some sets together: RANK WORLD STORE CASES, the last as JSON."""

from __future__ import annotations

import json
import sys

import torch
import torch.distributed as dist

from guided_seg.metrics import EpisodeIoU

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


def main(rank: int, world: int, store: str, cases: list[list[list[Row]]]) -> None:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    answers = [score(shares[rank]) for shares in cases]
    dist.destroy_process_group()
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]))

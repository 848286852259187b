"""What all processes must know of each other's batches before a step: together they are one batch."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import nn

from guided_seg.distributed.collectives import rank_and_world
from guided_seg.distributed.norms import shares_statistics
from guided_seg.episode import IGNORE, Batch
from guided_seg.errors import UserError


class Agreed(NamedTuple):
    """A process's batch as a part of the batch of all.

    Attributes:
        batch: the batch, with as many labels as the whole one, and with previous predictions if the whole one has any.
        pixels: the mean number of scored pixels per process; None in a single process, which counts its own.
    """

    batch: Batch
    pixels: float | None


def agreed(batch: Batch, network: nn.Module) -> Agreed:
    """Make a batch a part of the one that it and those of all other processes are. Every process must call this.

    Raises:
        UserError: the images differ in size, and the network computes statistics of the whole batch.
    """
    _, world = rank_and_world()
    if world == 1:
        return Agreed(batch, None)
    scored = int((batch.target != IGNORE).sum())
    one_size = bool((batch.sizes == batch.sizes[0]).all())
    mine = [scored, batch.num_labels, int(batch.previous is not None), *batch.sizes[0].tolist(), int(one_size)]
    all_of = torch.empty(world, len(mine), dtype=torch.int64, device=batch.target.device)
    dist.all_gather_into_tensor(all_of, torch.tensor([mine], device=all_of.device))
    scored_by, labels, earlier, heights, widths, sizes = (column.tolist() for column in all_of.T)
    if len({*zip(heights, widths, strict=True)}) > 1 or not all(sizes):
        _check_sizes(network, heights, widths)
    previous = batch.previous
    if previous is None and any(earlier):
        previous = torch.full_like(batch.target, IGNORE)
    return Agreed(replace(batch, num_labels=max(labels), previous=previous), sum(scored_by) / world)


def _check_sizes(network: nn.Module, heights: list[int], widths: list[int]) -> None:
    """Each size is normalised on its own, so processes would wait for sizes that others do not have."""
    if shares_statistics(network):
        found = ", ".join(sorted({f"{height} x {width}" for height, width in zip(heights, widths, strict=True)}))
        raise UserError(
            f"The images of a step differ in size (the first of each process: {found}), and several processes cannot "
            "share the batch statistics of several sizes; crop images to one size, as by data.augment.size=256, or "
            "train in one process, with trainer.devices=1."
        )

"""Which process this is, its share of the episodes, and sums over all processes."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def rank_and_world() -> tuple[int, int]:
    """The number of this process, from 0, and the number of processes of a distributed run."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def share(length: int, together: int = 1) -> list[int]:
    """The numbers below ``length`` that are this process's: every N-th of N processes.

    Args:
        length: how many there are for all processes.
        together: how many consecutive numbers stay in one process.

    Example:
        >>> share(4)
        [0, 1, 2, 3]
    """
    rank, world = rank_and_world()
    return [number for number in range(length) if number // together % world == rank]


def summed(tensor: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """The sum over all processes, the same bits in each. Its gradient is summed, too.

    Every process must call this, with a tensor of one shape.
    """
    if rank_and_world()[1] == 1:
        return tensor
    found: Tensor = _Sum.apply(tensor, group)
    return found


def gathered(value: T) -> list[T]:
    """The plain values of all processes, by rank. Every process must call this."""
    world = rank_and_world()[1]
    if world == 1:
        return [value]
    found: list[Any] = [None] * world
    dist.all_gather_object(found, value)
    return found


class _Sum(torch.autograd.Function):
    """As in torch.distributed.nn.functional, which torch has deprecated without another that has a gradient."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group
        total = tensor.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Sum.apply(gradient, ctx.group), None

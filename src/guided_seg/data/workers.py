"""Options of data-loading workers, and the sampler of episodes for each process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import torch
import torch.distributed as dist
from torch.utils.data import Sampler

from guided_seg.machine.allocation import keep_freed_memory


def workers(number: int) -> dict[str, Any]:
    """Options of a `torch.utils.data.DataLoader` with this number of workers; 0 loads in the main process."""
    if number:
        # threads of OpenCV do not survive a fork, and a worker would wait for them forever
        cv2.setNumThreads(1)
    return {"num_workers": number, "worker_init_fn": _one_thread if number else None}


def _one_thread(_: int) -> None:
    # each worker is one of several processes, so its libraries must not start threads
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_freed_memory()


class EpisodeSampler(Sampler[tuple[int, int]]):
    """Sampler of ``(epoch, index)`` keys, so that workers, ranks and resumes get the same episodes.

    Args:
        length: total number of episodes; each rank gets its share.
        each: ``length`` is the number per rank, in consecutive ranges, so that an epoch has the same number of steps
            for any number of processes.
        begun: returns how many episodes of its share a rank has had when the sampler is iterated, as after a resume in
            the middle of an epoch.

    Example:
        >>> sampler = EpisodeSampler(3)
        >>> sampler.set_epoch(2)
        >>> list(sampler)
        [(2, 0), (2, 1), (2, 2)]
    """

    def __init__(self, length: int, each: bool = False, begun: Callable[[], int] = int) -> None:
        self.length, self.each, self.begun, self.epoch = length, each, begun, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch, also after a resume."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter([(self.epoch, index) for index in self._share()[self.begun() :]])

    def __len__(self) -> int:
        return len(self._share())

    def _share(self) -> range:
        rank, world = rank_and_world()
        if self.each:
            return range(rank * self.length, (rank + 1) * self.length)
        return range(rank, self.length, world)


def rank_and_world() -> tuple[int, int]:
    """The number of this process, from 0, and the number of processes of a distributed run."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1

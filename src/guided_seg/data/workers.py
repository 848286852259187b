"""Options of data-loading workers, and the sampler of episodes for each process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import torch
from torch.utils.data import Sampler

from guided_seg.distributed.collectives import share
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
        length: number of episodes of all processes; each gets its share.
        together: consecutive episodes that stay in one process, as they share images.
        begun: returns how many episodes of its share a process has had when the sampler is iterated, as after a resume
            in the middle of an epoch.

    Example:
        >>> sampler = EpisodeSampler(3)
        >>> sampler.set_epoch(2)
        >>> list(sampler)
        [(2, 0), (2, 1), (2, 2)]
    """

    def __init__(self, length: int, together: int = 1, begun: Callable[[], int] = int) -> None:
        self.length, self.together, self.begun, self.epoch = length, together, begun, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch, also after a resume."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter([(self.epoch, index) for index in share(self.length, self.together)[self.begun() :]])

    def __len__(self) -> int:
        return len(share(self.length, self.together))


def limited(episodes: int, batch_size: int, limit: float) -> int:
    """The number of episodes in the first ``limit`` batches; or, if it is a fraction, in this share of the batches.

    Example:
        >>> limited(100, 8, 2), limited(100, 8, 0.5), limited(5, 8, 1)
        (16, 48, 5)
    """
    batches = -(-episodes // batch_size)
    kept = limit if isinstance(limit, int) else max(int(batches * limit), 1)
    return min(episodes, kept * batch_size)

"""Asking a network all questions of a protocol, on any number of workers and processes, from where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
from rich.progress import track
from torch.multiprocessing.spawn import spawn
from torch.utils.data import DataLoader, Subset

from guided_seg.data.frozen import FrozenEpisodes
from guided_seg.data.questions import Question, Questions
from guided_seg.data.source import Source
from guided_seg.errors import UserError
from guided_seg.model.network import Network
from guided_seg.protocols.answers import Answers
from guided_seg.protocols.protocol import Keep, Protocol, Row
from guided_seg.protocols.records import Records


@dataclass(frozen=True)
class Job:
    """A protocol, its episodes, and who answers.

    Attributes:
        protocol: the rule.
        frozen: the episodes.
        source: their data.
        network: in evaluation mode.
        device: where it runs; each process takes the next of its kind.
        workers: processes that load images, for each of those that answer.
        keep: makes what takes every predicted label map, or None.
    """

    protocol: Protocol
    frozen: FrozenEpisodes
    source: Source
    network: Network
    device: str = "cpu"
    workers: int = 0
    keep: Callable[[], Keep] | None = None


def run(job: Job, path: Path, of: dict[str, Any], processes: int = 1, title: str = "Episodes") -> list[Row]:
    """The rows of all episodes, in order.

    Args:
        job: what to do.
        path: of the records; an earlier, interrupted run of the same is finished.
        of: what the records are of: checksums of the network and of the episodes, and the rule.
        processes: that answer, each its share of the episodes; the rows do not depend on it.
        title: beside the progress bar.

    Raises:
        UserError: the network cannot do the episodes' modes, or an image is not the one that was frozen.
    """
    _check_modes(job)
    records = Records(path, of)
    done = records.read()
    left = [number for number in range(len(job.frozen.episodes)) if number not in done]
    if processes > 1 and len(left) > 1:
        spawn(  # type: ignore[no-untyped-call]
            _share, (job, records, left, processes, title), nprocs=processes
        )
    else:
        _share(0, job, records, left, 1, title)
    return records.finish(len(job.frozen.episodes))


def _share(rank: int, job: Job, records: Records, left: Sequence[int], processes: int, title: str) -> None:
    """What one process does: neighbours stay together, since they share images."""
    size = -(-len(left) // processes)
    mine = left[rank * size : (rank + 1) * size]
    answers, keep = Answers(job.network, _device(job.device, rank)), job.keep() if job.keep else None
    with records.part(rank) as part:
        for question in track(_questions(job, mine), title, len(mine), transient=True, disable=rank > 0):
            part.add(question.number, job.protocol.measure(question, answers, keep))


def _questions(job: Job, numbers: Sequence[int]) -> Iterator[Question]:
    data = Subset(Questions(job.source, job.frozen, job.protocol.size), list(numbers))
    yield from DataLoader(
        data, batch_size=None, num_workers=job.workers, worker_init_fn=_one_thread if job.workers else None
    )


def _one_thread(_: int) -> None:
    # a worker is one process of several; its libraries must not start threads of their own
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _device(name: str, rank: int) -> str:
    return f"{name}:{rank % torch.cuda.device_count()}" if name == "cuda" else name


def _check_modes(job: Job) -> None:
    modes = {episode.mode for episode in job.frozen.episodes}
    if job.network.needs_same_image and modes != {"interactive"}:
        raise UserError(
            f"The episodes are {' and '.join(sorted(modes))} tasks, and local guidance knows the query's own image "
            "alone; choose a protocol of interactive tasks, or a network with locality=global."
        )

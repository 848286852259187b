"""Asking a network all questions of a protocol, on any number of workers and processes, from where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_all_start_methods, get_context, set_start_method
from multiprocessing.queues import SimpleQueue

import torch
from rich.console import Console
from rich.progress import track
from torch.multiprocessing.spawn import ProcessException, spawn
from torch.utils.data import DataLoader, Subset

from guided_seg.cli.command import user_sentence
from guided_seg.data.frozen.episode_file import FrozenEpisodes
from guided_seg.data.frozen.questions import Question, Questions
from guided_seg.data.source import Source
from guided_seg.data.workers import workers
from guided_seg.errors import UserError
from guided_seg.model.network import Network
from guided_seg.protocols.answers import Answers
from guided_seg.protocols.protocol import Keep, Protocol, Row
from guided_seg.protocols.records import Records


@dataclass(frozen=True)
class Job:
    """A protocol, its episodes, and where their records go.

    Attributes:
        name: of the protocol.
        protocol: the rule.
        frozen: the episodes.
        records: an earlier, interrupted run of the same is finished.
    """

    name: str
    protocol: Protocol
    frozen: FrozenEpisodes
    records: Records


@dataclass(frozen=True)
class Asked:
    """Who answers, and about which data.

    Attributes:
        network: in evaluation mode.
        source: the data of all episodes.
        device: where the network runs; each process takes the next of its kind.
        workers: processes that load images, for each of those that answer.
        keep: makes what takes every predicted label map of a protocol, or None.
    """

    network: Network
    source: Source
    device: str = "cpu"
    workers: int = 0
    keep: Callable[[str], Keep] | None = None


def run(jobs: Sequence[Job], asked: Asked, processes: int = 1) -> Iterator[tuple[Job, list[Row]]]:
    """Each protocol with the rows of all its episodes, in order.

    Args:
        jobs: what to do.
        asked: who does it.
        processes: that answer, each its share of the episodes; the rows do not depend on it.

    Raises:
        UserError: the network cannot do the episodes' modes, or an image is not the one that was frozen.
    """
    for job in jobs:
        _check_modes(job, asked.network)
    return _run(jobs, asked, processes)


def _run(jobs: Sequence[Job], asked: Asked, processes: int) -> Iterator[tuple[Job, list[Row]]]:
    if processes > 1:
        _spawn(jobs, asked, processes)  # once for all, as a process takes seconds to start
    for job in jobs:
        if processes == 1:
            _share(0, job, asked, 1)
        yield job, job.records.finish(len(job.frozen.episodes))


def _spawn(jobs: Sequence[Job], asked: Asked, processes: int) -> None:
    refusals: SimpleQueue[str] = get_context("spawn").SimpleQueue()
    try:
        spawn(_shares, (list(jobs), asked, processes, refusals), nprocs=processes)  # type: ignore[no-untyped-call]
    except ProcessException:
        if refusals.empty():
            raise
        raise UserError(refusals.get()) from None


def _shares(rank: int, jobs: Sequence[Job], asked: Asked, processes: int, refusals: SimpleQueue[str]) -> None:
    """What one process does."""
    # the first is the platform's own; without it, workers of a spawned process are spawned, seconds for each
    set_start_method(get_all_start_methods()[0], force=True)
    # with all cores for each, threads wait for each other: two processes on two cores took ten times as long
    torch.set_num_threads(max(torch.get_num_threads() // processes, 1))
    try:
        for job in jobs:
            _share(rank, job, asked, processes)
    except UserError as error:
        # all that the parent would hear is a traceback
        refusals.put(user_sentence(error) or str(error))
        raise


def _share(rank: int, job: Job, asked: Asked, processes: int) -> None:
    """Its share of one protocol: neighbours stay together, since they share images."""
    tied = job.protocol.tied(job.frozen.episodes)
    size = -(-len(tied) // processes)
    done = job.records.read()
    mine = [n for numbers in tied[rank * size : (rank + 1) * size] if not done.keys() >= {*numbers} for n in numbers]
    answers = Answers(asked.network, _device(asked.device, rank))
    keep = asked.keep(job.name) if asked.keep else None
    silent = rank > 0 or not Console().is_terminal
    with job.records.part(rank) as part:
        for question in track(_questions(job, asked, mine), job.name, len(mine), transient=True, disable=silent):
            part.add(question.number, job.protocol.measure(question, answers, keep))


def _questions(job: Job, asked: Asked, numbers: Sequence[int]) -> Iterator[Question]:
    data = Subset(Questions(asked.source, job.frozen, job.protocol.size), list(numbers))
    yield from DataLoader(data, batch_size=None, **workers(asked.workers))


def _device(name: str, rank: int) -> str:
    return f"{name}:{rank % torch.cuda.device_count()}" if name == "cuda" else name


def _check_modes(job: Job, network: Network) -> None:
    modes = {episode.mode for episode in job.frozen.episodes}
    if network.needs_same_image and modes != {"interactive"}:
        raise UserError(
            f"The episodes are {' and '.join(sorted(modes))} tasks, and local guidance knows the query's own image "
            "alone; choose a protocol of interactive tasks, or a network with locality=global."
        )

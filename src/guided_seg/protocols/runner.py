"""Run protocols on any number of processes and data-loading workers, and resume interrupted evaluations."""

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
    """A protocol, its episodes and its records.

    Attributes:
        name: the name of the protocol.
        protocol: the rule.
        frozen: the episodes.
        records: the file to write to. An interrupted evaluation in it is resumed.
    """

    name: str
    protocol: Protocol
    frozen: FrozenEpisodes
    records: Records


@dataclass(frozen=True)
class Asked:
    """The network and the data.

    Attributes:
        network: a network in evaluation mode.
        source: the data of all episodes.
        device: the device of the network; with ``cuda``, each process uses the next GPU.
        workers: data-loading workers per process.
        keep: maps the name of a protocol to a receiver of its predicted label maps; or None.
    """

    network: Network
    source: Source
    device: str = "cpu"
    workers: int = 0
    keep: Callable[[str], Keep] | None = None


def run(jobs: Sequence[Job], asked: Asked, processes: int = 1) -> Iterator[tuple[Job, list[Row]]]:
    """Yield each protocol with the rows of all its episodes, in order.

    Args:
        jobs: the protocols to run.
        asked: the network and the data.
        processes: number of processes that share the episodes; the rows do not depend on it.

    Raises:
        UserError: the network does not support a mode of the episodes, or an image has changed since freezing.
    """
    for job in jobs:
        _check_modes(job, asked.network)
    return _run(jobs, asked, processes)


def _run(jobs: Sequence[Job], asked: Asked, processes: int) -> Iterator[tuple[Job, list[Row]]]:
    if processes > 1:
        _spawn(jobs, asked, processes)  # once for all jobs, as a process takes seconds to start
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
    """Run the share of one process in every job."""
    # the first is the platform's default; otherwise the workers of a spawned process take seconds to spawn
    set_start_method(get_all_start_methods()[0], force=True)
    # with all cores for each process, threads wait for each other: two processes on two cores took ten times as long
    torch.set_num_threads(max(torch.get_num_threads() // processes, 1))
    try:
        for job in jobs:
            _share(rank, job, asked, processes)
    except UserError as error:
        # otherwise the parent process receives only a traceback
        refusals.put(user_sentence(error) or str(error))
        raise


def _share(rank: int, job: Job, asked: Asked, processes: int) -> None:
    """Run the share of one process in a job: consecutive episodes, since they share images."""
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

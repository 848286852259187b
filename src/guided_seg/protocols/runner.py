"""Run protocols on any number of processes and data-loading workers, and resume interrupted evaluations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_all_start_methods, get_context, set_start_method
from multiprocessing.queues import SimpleQueue

import torch
from rich.console import Console
from rich.progress import track
from torch.multiprocessing.spawn import ProcessException, spawn
from torch.utils.data import DataLoader, Dataset

from guided_seg.cli.command import user_sentence
from guided_seg.data.files.skipped import SkippedFiles
from guided_seg.data.frozen.episode_file import FrozenEpisodes
from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisode, EvaluationEpisodes
from guided_seg.data.source import Source
from guided_seg.data.workers import workers
from guided_seg.errors import BrokenFile, DataError, UserError
from guided_seg.model.network import Network
from guided_seg.protocols.answers import Answers, Encode
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

    def left_out(self) -> Counter[str]:
        """The number of episodes of each mode with an unreadable file."""
        later = (self.frozen.episodes[number].mode for number in self.records.broken())
        return Counter(self.frozen.left_out) + Counter(later)


@dataclass(frozen=True)
class Setup:
    """The network and the data.

    Attributes:
        network: a network in evaluation mode.
        source: the data of all episodes.
        device: the device of the network; with ``cuda``, each process uses the next GPU.
        workers: data-loading workers per process.
        keep: maps the name of a protocol to a receiver of its predicted label maps; or None.
        max_broken: largest share of episodes with an unreadable file.
        encode: encodes images; `Network.encode` by default.
        progress: show a progress bar on a terminal.
    """

    network: Network
    source: Source
    device: str = "cpu"
    workers: int = 0
    keep: Callable[[str], Keep] | None = None
    max_broken: float = 0.01
    encode: Encode | None = None
    progress: bool = True


def run(jobs: Sequence[Job], setup: Setup, processes: int = 1) -> Iterator[tuple[Job, list[Row]]]:
    """Yield each protocol with the rows of all its episodes, in order.

    Args:
        jobs: the protocols to run.
        setup: the network and the data.
        processes: number of processes that share the episodes; the rows do not depend on it.

    Raises:
        UserError: the network does not support a mode of the episodes, an image has changed since freezing, or too
            many files cannot be read.
    """
    for job in jobs:
        check(job, setup.network)
    return _run(jobs, setup, processes)


def _run(jobs: Sequence[Job], setup: Setup, processes: int) -> Iterator[tuple[Job, list[Row]]]:
    if processes > 1:
        _spawn(jobs, setup, processes)  # once for all jobs, as a process takes seconds to start
    for job in jobs:
        if processes == 1:
            run_share(0, job, setup, 1)
        yield job, job.records.finish(len(job.frozen.episodes))


def _spawn(jobs: Sequence[Job], setup: Setup, processes: int) -> None:
    refusals: SimpleQueue[str] = get_context("spawn").SimpleQueue()
    try:
        spawn(_shares, (list(jobs), setup, processes, refusals), nprocs=processes)  # type: ignore[no-untyped-call]
    except ProcessException:
        if refusals.empty():
            raise
        raise UserError(refusals.get()) from None


def _shares(rank: int, jobs: Sequence[Job], setup: Setup, processes: int, refusals: SimpleQueue[str]) -> None:
    """Run the share of one process in every job."""
    # the first is the platform's default; otherwise the workers of a spawned process take seconds to spawn
    set_start_method(get_all_start_methods()[0], force=True)
    # with all cores for each process, threads wait for each other: two processes on two cores took ten times as long
    torch.set_num_threads(max(torch.get_num_threads() // processes, 1))
    try:
        for job in jobs:
            run_share(rank, job, setup, processes)
    except UserError as error:
        # otherwise the parent process receives only a traceback
        refusals.put(user_sentence(error) or str(error))
        raise


def run_share(rank: int, job: Job, setup: Setup, processes: int) -> None:
    """Run the share of one process in a job: consecutive episodes, since they share images.

    Raises:
        DataError: too many files cannot be read.
    """
    tied = job.protocol.tied(job.frozen.episodes)
    size = -(-len(tied) // processes)
    done = job.records.read()
    share = tied[rank * size : (rank + 1) * size]
    mine = [n for numbers in share if not done.keys() >= {*numbers} for n in numbers]
    predictions = Answers(setup.network, _device(setup.device, rank), encode=setup.encode)
    keep = setup.keep(job.name) if setup.keep else None
    if rank == 0:
        _say_before(job.name, processes, [n in done for numbers in share for n in numbers])
    silent = rank > 0 or not setup.progress or not Console().is_terminal
    skipped = SkippedFiles(setup.max_broken)
    with job.records.part(rank) as part:
        for number, found in track(_load(job, setup, mine), job.name, len(mine), transient=True, disable=silent):
            if isinstance(found, str):
                part.leave_out(number, found)
            else:
                part.add(number, job.protocol.measure(found, predictions, keep))
            skipped.count([[found] if isinstance(found, str) else []])


def _say_before(name: str, processes: int, done: Sequence[bool]) -> None:
    """Say what the first process has of its share. Others may be at work, so theirs tell nothing of before."""
    if any(done):
        of = "episodes" if processes == 1 else f"episodes of the first of {processes} processes"
        said = f"{name} goes on: {sum(done)} of {len(done)} {of} were measured before."
        Console(stderr=True).print(said, soft_wrap=True, markup=False, highlight=False)


class _Readable(Dataset[tuple[int, EvaluationEpisode | str]]):
    """Numbers of episodes with the episodes, or with a sentence about an unreadable file."""

    def __init__(self, episodes: EvaluationEpisodes, numbers: Sequence[int]) -> None:
        self.episodes, self.numbers = episodes, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> tuple[int, EvaluationEpisode | str]:
        number = self.numbers[index]
        try:
            return number, self.episodes[number]
        except BrokenFile as error:
            return number, str(error)


def _load(job: Job, setup: Setup, numbers: Sequence[int]) -> Iterator[tuple[int, EvaluationEpisode | str]]:
    data = _Readable(EvaluationEpisodes(setup.source, job.frozen, job.protocol.size), numbers)
    yield from DataLoader(data, batch_size=None, **workers(setup.workers))


def _device(name: str, rank: int) -> str:
    return f"{name}:{rank % torch.cuda.device_count()}" if name == "cuda" else name


def check(job: Job, network: Network) -> None:
    """Raise `UserError` if no episode of a job is left, or the network does not support their modes."""
    if not job.frozen.episodes:
        raise DataError(
            f"No episode of {job.name} is left, as all met a broken file; repair the files named above, or choose "
            "other data."
        )
    modes = {episode.mode for episode in job.frozen.episodes}
    if network.needs_same_image and modes != {"interactive"}:
        raise UserError(
            f"The episodes are {' and '.join(sorted(modes))} tasks, and local guidance knows the query's own image "
            "alone; choose a protocol of interactive tasks, or a network with locality=global."
        )

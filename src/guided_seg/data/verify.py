"""The check of all files before training: each fault is one clear `DataError`; labels are counted as well.

Within `leaving_out_broken` faults are listed instead, so that an archive can be described as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8
from rich.console import Console
from rich.progress import Progress

from guided_seg.data.files import Pair
from guided_seg.data.images import check_whole, image_size
from guided_seg.data.source import DataError
from guided_seg.data.tables import Counts
from guided_seg.episode import IGNORE
from guided_seg.waiting import SHOW_AFTER

T = TypeVar("T")


@dataclass(frozen=True)
class Survey:
    """How files are surveyed.

    Attributes:
        workers: threads that read files.
        lenient: list faults instead of ending with the first.
        broken: the faults, by the key of what has them.
    """

    workers: int = 2
    lenient: bool = False
    broken: dict[str, str] = field(default_factory=dict)


_SURVEY: ContextVar[Survey] = ContextVar("survey", default=Survey())  # noqa: B039 (a strict one lists nothing)


@contextmanager
def leaving_out_broken(workers: int = 2) -> Iterator[dict[str, str]]:
    """Sources opened within leave out what they cannot read and list it, key -> sentence, in what this yields.

    Args:
        workers: threads that read files.
    """
    survey = Survey(workers, lenient=True)
    token = _SURVEY.set(survey)
    try:
        yield survey.broken
    finally:
        _SURVEY.reset(token)


def open_root(root: str | Path, layout: str, folders: Sequence[str], option: str = "data.root") -> Path:
    """The absolute root that ``option`` gave. Raises `DataError` where it or one of its ``folders`` is missing."""
    path = Path(root).expanduser().absolute()
    if not path.is_dir():
        raise DataError(f"The data root {path} does not exist; set {option} to a folder that holds {layout}.")
    for folder in folders:
        if not (path / folder).is_dir():
            raise DataError(f"The data root {path} has no folder {folder}; expected {layout}.")
    return path


def read_list(path: Path) -> list[str]:
    """The lines of a list file, once each and without blank ones. Raises `DataError`: missing or empty."""
    if not path.is_file():
        raise DataError(f"The list {path} is missing; expected a text file with one name a line.")
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    names = list(dict.fromkeys(line for line in lines if line))
    if not names:
        raise DataError(f"The list {path} is empty; expected one name a line.")
    return names


def check_apart(train: Iterable[str], tested: Iterable[str]) -> None:
    """Raise `DataError` where the lists of train and of what selects or tests a model share a name."""
    both = sorted(set(train) & set(tested))
    if both:
        raise DataError(
            f"'{both[0]}' is on the list of train and on that of val or test, {len(both)} in all; what is tested must "
            "not be trained on, so take them off one of the lists."
        )


def check_pair(pair: Pair) -> UInt8[np.ndarray, "H W"]:
    """The label map of a pair that can be used.

    Raises:
        DataError: a file is missing or broken, or the sizes differ; the image is not decoded for this.
    """
    pair.check_both_exist()
    labels = pair.read(pair.mask)
    pair.check_sizes(image_size(pair.image), labels.shape)
    check_whole(pair.image)
    return labels


def count_labels(pair: Pair) -> Counts:
    """Pixels of each label value of the mask, void left out. Raises `DataError` as `check_pair` does."""
    return count_values(check_pair(pair))


def count_values(labels: UInt8[np.ndarray, "H W"]) -> Counts:
    """Pixels of each label value, void left out."""
    counts = np.bincount(labels.ravel(), minlength=IGNORE + 1)[:IGNORE]
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def survey(keys: Iterable[str], inspect: Callable[[str], T], what: str) -> dict[str, T]:
    """``inspect`` every key on threads, with a progress bar on stderr if it takes more than a second.

    Args:
        keys: what to inspect.
        inspect: its first error, in the order of ``keys``, ends the survey, unless this is `leaving_out_broken`.
        what: the text beside the bar.

    Returns:
        what was found for each key; keys that are left out as broken are not in it.
    """
    keys, found, began, how = list(keys), {}, time.monotonic(), _SURVEY.get()
    console = Console(stderr=True)
    progress = Progress(console=console, transient=True, disable=not console.is_terminal)
    bar = progress.add_task(what, total=len(keys))
    with ThreadPoolExecutor(how.workers) as pool:
        try:
            for key, result in zip(keys, pool.map(_or_fault(inspect, how.lenient), keys), strict=True):
                if isinstance(result, DataError):
                    how.broken[key] = str(result)
                else:
                    found[key] = result
                progress.advance(bar)
                if not progress.live.is_started and time.monotonic() - began > SHOW_AFTER:
                    progress.start()
        finally:
            progress.stop()
    return found


def check_named(values: Iterable[int], known: Iterable[int], path: Path) -> None:
    """Raise `DataError` where a mask holds a class value that has no name."""
    stray = set(values) - set(known) - {0}
    if stray:
        _refuse(
            path,
            f"The mask {path} holds the value {min(stray)}, but the values are 0 (background), 1 to "
            f"{max(known)} (classes) and {IGNORE} (void); correct the mask or the class names.",
        )


def check_labelled(counts: Iterable[Counts], where: Path) -> None:
    """Raise `DataError` where one label is all that there is in a mask, or in the masks of a video."""
    all_counts = list(counts)
    values = sorted({value for count in all_counts for value in count})
    if all_counts and len(values) < 2:  # without any, all of them were left out as broken
        found = f"only the label {values[0]}" if values else f"nothing but void ({IGNORE})"
        _refuse(
            where,
            f"{where} holds {found}; a task needs something to segment and something around it, so draw it, "
            "or remove the mask with its image.",
        )


def _refuse(where: Path, fault: str) -> None:
    how = _SURVEY.get()
    if not how.lenient:
        raise DataError(fault)
    how.broken[str(where)] = fault


def _or_fault(inspect: Callable[[str], T], lenient: bool) -> Callable[[str], T | DataError]:
    """``inspect``, but a fault of the file is its result and not its end."""

    def inspected(key: str) -> T | DataError:
        try:
            return inspect(key)
        except DataError as error:
            return error
        except OSError as error:
            return DataError(f"{key} cannot be read: {error}.")

    return inspected if lenient else inspect

"""Handling of faulty files in a survey: stop at the first fault, or list all."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from guided_seg.errors import DataError


@dataclass(frozen=True)
class Survey:
    """Options and results of a survey of files.

    Attributes:
        workers: threads that read files.
        lenient: list faults instead of stopping at the first.
        broken: the faults, by key.
    """

    workers: int = 2
    lenient: bool = False
    broken: dict[str, str] = field(default_factory=dict)


_SURVEY: ContextVar[Survey] = ContextVar("survey", default=Survey())  # noqa: B039 (a strict one lists nothing)


def current() -> Survey:
    """The current survey; strict by default."""
    return _SURVEY.get()


@contextmanager
def leaving_out_broken(workers: int = 2) -> Iterator[dict[str, str]]:
    """Open sources without unreadable files. Yields the list of faults, key -> sentence.

    Args:
        workers: threads that read files.
    """
    survey = Survey(workers, lenient=True)
    token = _SURVEY.set(survey)
    try:
        yield survey.broken
    finally:
        _SURVEY.reset(token)


def refuse(where: Path, fault: str) -> None:
    """Add the fault of a file or folder to the list, or raise `DataError` in a strict survey."""
    survey = current()
    if not survey.lenient:
        raise DataError(fault)
    survey.broken.setdefault(str(where), fault)


def nothing_to_segment(name: str, keys: Collection[str], files: Collection[Path]) -> DataError:
    """The error for a source without tasks: the faults of its files, if any, or else its settings.

    Args:
        name: name of the source.
        keys: keys of its pairs.
        files: its masks, and their folders.
    """
    # in COCO, the key is that of the image, without the kind of its map
    own = {*keys, *(key.split("/", 1)[-1] for key in keys), *map(str, files)}
    faults = list(dict.fromkeys(fault for key, fault in current().broken.items() if key in own))
    if not faults:
        return DataError(
            f"The source '{name}' finds nothing to segment in this split; check its list, and settings such as "
            "data.held_out and data.min_pixels."
        )
    more = f" {len(faults) - 1} more of the {len(keys)} have faults as well." if faults[1:] else ""
    return DataError(
        f"The source '{name}' finds nothing to segment in this split, as files cannot be used. The first: "
        f"{faults[0]}{more}"
    )

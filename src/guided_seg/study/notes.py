"""What stands under a table: the protocol that made its numbers, and the runs that are not in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from guided_seg.report.results import Points
from guided_seg.study.cells import cell, modes
from guided_seg.study.compositions import Composition, seeds
from guided_seg.study.runs import Missing, Run
from guided_seg.study.table import LEVEL, shown_at


def protocol(
    compositions: Sequence[Composition], shots: int, points: Points, reference: Composition | None
) -> list[str]:
    """Sentences: what the numbers and marks mean, and on which data, episodes, S, P and seeds they were measured."""
    dots = "full masks" if points == "dense" else f"P = {points} dots per label"
    runs = [run for composition in compositions for run in composition.runs.values()]
    episodes = f"{_episodes(compositions, shots, points)}, drawn with seed {_values(runs, 'evaluation.seed')}"
    data = f"{_values(runs, 'data.name')}, image size {_values(runs, 'data.size')}"
    training = f"{_values(runs, 'trainer.max_steps')}; seeds: {_listed(seeds(compositions))}"
    return [
        _METRIC,
        _INTERVAL,
        *_significance(reference),
        f"Support: {dots}, S = {shots}; in interactive tasks the query is the only shot.",
        f"Test episodes: {episodes}; data: {data}; training steps: {training}.",
    ]


_METRIC = (
    "Positive IoU in percent: intersections and unions summed over the test set; in video the mean over frames, and "
    "of that the mean over objects."
)
_INTERVAL = (
    "Mean over seeds and its 95 % interval (Student's t). † one seed: the interval of that run over its episodes. "
    "Bold: the best of its column."
)


def _significance(reference: Composition | None) -> Iterator[str]:
    if reference is not None:
        yield (
            f"An asterisk marks what differs from the reference ({reference.label}) by the two-sided paired t-test "
            f"over the seeds of both, p < {LEVEL}, not corrected for the number of comparisons."
        )


def unfinished(missing: Sequence[Missing], repeated: Sequence[tuple[Run, Run]], folders: bool) -> list[str]:
    """Sentences on the runs that are not in the table, those with one reason together.

    Args:
        missing: runs without scores.
        repeated: (left out, kept) runs of one composition and seed.
        folders: whether to name every folder.
    """
    together: dict[tuple[str, str], list[str]] = {}
    for run in missing:
        together.setdefault((run.status, run.reason), []).append(run.folder)
    lines = [_line(status, reason, found, folders) for (status, reason), found in sorted(together.items())]
    same = [left_out.folder for left_out, _ in repeated]
    return lines + ([_line("left out", "another run has its composition and seed", same, folders)] if same else [])


def _line(status: str, reason: str, found: Sequence[str], folders: bool) -> str:
    where = f" ({'; '.join(sorted(found))})" if folders else ""
    return f"{len(found)} {status}: {reason.rstrip('.')}{where}."


def _episodes(compositions: Sequence[Composition], shots: int, points: Points) -> str:
    parts = []
    for mode in modes(compositions):
        cells = [cell(composition, mode, shown_at(mode, shots), points) for composition in compositions]
        if numbers := sorted({number for found in cells if found for number in found.episodes}):
            parts.append(f"{mode} {_listed(numbers)}")
    return ", ".join(parts) or "none"


def _values(runs: Sequence[Run], key: str) -> str:
    found = {str(run.config[key]) for run in runs if run.config.get(key) is not None}
    return _listed(sorted(found)) or "as in the files"


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))

"""The default test: every mode at every (S, P) of ``evaluation``, each mode by a protocol of its own.

`guided_seg.run` ends with it, and `guided_seg.evaluate` runs it without a named protocol.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any
from zlib import crc32

import numpy as np
from omegaconf import DictConfig, OmegaConf

from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisodes
from guided_seg.data.frozen.freeze import select
from guided_seg.data.sampling.points import Setting
from guided_seg.data.source import Mode, Source
from guided_seg.data.workers import limited
from guided_seg.errors import BrokenFile
from guided_seg.protocols.answers import Answers
from guided_seg.protocols.protocol import Masks, Row
from guided_seg.protocols.records import FORMAT, Records
from guided_seg.protocols.runner import Job, Setup
from guided_seg.protocols.scores import by_setting, lacking_of
from guided_seg.protocols.statistics import Columns, figure, measure
from guided_seg.report.drawing import iou_curve
from guided_seg.report.panels import Panel, panels
from guided_seg.report.results import Results, Score, setting_key

PANELS = 3
"""Episodes of each mode in the figures."""
WORST = 2
"""Episodes of each mode in the figure of the worst."""

Answered = Sequence[tuple[Job, Sequence[Row]]]
"""The rows of each mode."""


def jobs(
    evaluation: DictConfig,
    source: Source,
    split: str,
    modes: Sequence[Mode],
    out: Path,
    of: Mapping[str, Any],
    limit: float = 1.0,
) -> list[Job]:
    """The jobs of the modes; their names are the modes.

    Args:
        evaluation: the config group.
        source: the data.
        split: name of its split.
        modes: of `guided_seg.composition.build.modes_to_test`.
        out: the folder of records.
        of: everything else that the measurements depend on, such as the checksum of the checkpoint.
        limit: test only this number of batches of ``evaluation.batch_size`` episodes of each mode; or, as a fraction,
            this share of them.
    """
    found = []
    for mode in modes:
        protocol = _protocol(evaluation, mode)
        frozen = select(source, split, protocol.plan)
        frozen = replace(
            frozen, episodes=frozen.episodes[: limited(len(frozen.episodes), evaluation.batch_size, limit)]
        )
        rule = OmegaConf.to_container(evaluation, resolve=True)
        header = {"format": FORMAT, "rule": rule, "episodes_sha256": frozen.checksum, **of}
        found.append(Job(mode, protocol, frozen, Records(out / f"records_{mode}.jsonl", header)))
    return found


def _protocol(evaluation: DictConfig, mode: Mode) -> Masks:
    wanted = evaluation.episodes
    return Masks(
        about="Every (S, P) on the same queries.",
        modes=[mode],
        shots=[1] if mode == "interactive" else list(evaluation.shots),
        points=list(evaluation.points),
        figures=["positive_iou"],
        episodes=wanted.get(mode) if OmegaConf.is_dict(wanted) else wanted,
        seeds=[evaluation.seed],
        objects=evaluation.objects,
        # the frames of a video are not independent
        unit="groups" if mode == "video" else "episodes",
    )


def results(answered: Answered) -> Results:
    """The scores of each mode at each (S, P)."""
    return {job.name: _scores(job, rows) for job, rows in answered if rows}


def _scores(job: Job, rows: Sequence[Row]) -> dict[str, Score]:
    found: dict[str, Score] = {}
    for (mode, shots, points), table in by_setting(rows):
        # groups in the order of their numbers, as in validation and in earlier versions, for the same interval
        numbers = np.array([crc32(str(group).encode()) for group in table["group"]])
        pooled = measure({**table, "group": numbers}, "positive_iou", job.protocol.unit)
        found[setting_key(shots, int(points) if points.isdigit() else "dense")] = Score(
            positive_iou=pooled["value"],
            mean_iou=fmean(_by_group(mode, table).values()),
            ci95=pooled["ci95"],
            episodes=len(np.unique(table["episode"])),
            **lacking_of(table, job.left_out()[mode]),
        )
    return found


def _by_group(mode: str, table: Columns) -> dict[str, float]:
    """IoU of each class or object: pooled, or, for the objects of a video, the mean over frames, as DAVIS's J."""
    name = "mean_iou" if mode == "video" else "positive_iou"
    names, own = np.unique(table["group"], return_inverse=True)
    rows = (np.flatnonzero(own == group) for group in range(len(names)))
    return {
        str(group): figure({key: column[kept] for key, column in table.items()}, name)
        for group, kept in zip(names, rows, strict=True)
    }


def write_groups(answered: Answered, path: Path) -> None:
    """Write the IoU of every class or object at every (S, P) to a CSV file."""
    lines = [
        (mode, shots, points, group, f"{iou:.4f}")
        for _, rows in answered
        for (mode, shots, points), table in by_setting(rows)
        for group, iou in _by_group(mode, table).items()
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("mode", "shots", "points", "group", "iou"), *lines])


def draw(answered: Answered, setup: Setup, scored: Results, folder: Path) -> dict[str, Path]:
    """Draw the first and the worst episodes of each mode, and IoU against P. Returns the files by name."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = {job.name: list(_panels(job, setup, range(len(job.frozen.episodes)))) for job, rows in answered if rows}
    pictures = {f"episodes_{mode}": panels(rows, folder / f"episodes_{mode}.png") for mode, rows in shown.items()}
    first = [panel for rows in shown.values() for panel in rows[:2]]
    pictures["episodes"] = panels(first, folder / "episodes.png")
    worst = [panel for job, rows in answered if rows for panel in _panels(job, setup, _worst(job, rows), WORST)]
    if worst:
        pictures["worst_episodes"] = panels(worst, folder / "worst_episodes.png")
    pictures["iou_against_points"] = iou_curve(scored, folder / "iou_against_points.png")
    return pictures


def _panels(job: Job, setup: Setup, numbers: Iterable[int], most: int = PANELS) -> Iterator[Panel]:
    """The first of these episodes of a mode, one per class or object, without any selection by hand."""
    assert isinstance(job.protocol, Masks)
    shots, points = _shown(job.protocol)
    data = EvaluationEpisodes(setup.source, job.frozen)
    answers = Answers(setup.network, setup.device, encode=setup.encode)
    seen: set[tuple[str, ...]] = set()
    for number in numbers:
        frozen = job.frozen.episodes[number]
        if len(seen) == most:
            break
        if frozen.groups in seen or frozen.shows_query(shots):
            continue
        with suppress(BrokenFile):
            item = data[number]
            episode = item.with_setting(shots, points)
            assert episode is not None
            seen.add(frozen.groups)
            yield Panel.of(episode, answers.segment(item, episode), f"{frozen.mode} · {episode.meta['group']}")


def _worst(job: Job, rows: Sequence[Row]) -> list[int]:
    """The numbers of the episodes, by their positive IoU at the (S, P) of the figures; the lowest first."""
    assert isinstance(job.protocol, Masks)
    shots, points = _shown(job.protocol)
    counts: dict[int, tuple[int, int]] = {}
    for row in rows:
        if (row["shots"], row["points"]) == (shots, "dense" if points is None else str(points)):
            inside, union = counts.get(row["episode"], (0, 0))
            counts[row["episode"]] = inside + row["fg_i"], union + row["fg_u"]
    # as everywhere, an empty answer to an empty target is right
    return sorted(
        counts, key=lambda number: (counts[number][0] / counts[number][1] if counts[number][1] else 1.0, number)
    )


def _shown(protocol: Masks) -> Setting:
    """The (S, P) of the figures: the fewest shots, and about five dots."""
    dots = [points for points in protocol.points if not isinstance(points, str)]
    return min(protocol.shots), min(dots, key=lambda number: abs(number - 5)) if dots else None

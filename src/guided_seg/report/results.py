"""The scores of a model for each mode and (S, P), as a file and as a table.

The file is ``{mode: {"s<S>_p<P>": {"positive_iou", "mean_iou", "ci95", "episodes"}}}``. P is the number of dots *per
label*, or ``dense`` for a full mask. The file may have other entries beside the modes, such as ``run``.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from guided_seg.errors import UserError
from guided_seg.files.text import read_json
from guided_seg.files.writing import whole_file
from guided_seg.report.table import Column, Table, bullets, columns

Points = int | Literal["dense"]
"""The number of dots per label, or a full mask."""


class Score(TypedDict):
    """The scores of one mode at one (S, P).

    Keys:
        positive_iou: IoU of the positive pixels, with intersections and unions summed over the test set, in [0, 1].
        mean_iou: the mean of the IoU over classes or objects, in [0, 1].
        ci95: the 95 % interval of ``positive_iou``, [low, high].
        episodes: the number of episodes.
        fewer_shots: the number of episodes with fewer shots than S, because there were no more images; absent if 0.
        fewer_dots: the number of episodes in which a label had fewer dots than P, because it had no more pixels;
            absent if 0.
        left_out: the number of episodes of the mode that were left out, because a file could not be read; absent if 0.
    """

    positive_iou: float
    mean_iou: float
    ci95: list[float]
    episodes: int
    fewer_shots: NotRequired[int]
    fewer_dots: NotRequired[int]
    left_out: NotRequired[int]


class Lacking(TypedDict, total=False):
    """The entries of a `Score` for episodes that lacked shots or dots, or were left out."""

    fewer_shots: int
    fewer_dots: int
    left_out: int


_CAPTION = "dots: per label, positive and negative; IoU: of the positive pixels; mean: over classes or objects"

Results = dict[str, dict[str, Score]]
"""Mode -> setting key -> score."""


def setting_key(shots: int, points: Points) -> str:
    """The key of a setting.

    Example:
        >>> setting_key(1, 5), setting_key(2, "dense")
        ('s1_p5', 's2_pdense')
    """
    return f"s{shots}_p{points}"


def parse_setting(key: str) -> tuple[int, Points]:
    """The inverse of `setting_key`. Raises `UserError` for any other text.

    Example:
        >>> parse_setting("s1_pdense")
        (1, 'dense')
    """
    found = re.fullmatch(r"s(\d+)_p(\d+|dense)", key)
    if found is None:
        raise UserError(f"'{key}' names no setting; expected s<shots>_p<points>, such as s1_p5 or s1_pdense.")
    shots, points = found.groups()
    return int(shots), "dense" if points == "dense" else int(points)


def sorted_settings(scores: Mapping[str, Score]) -> list[tuple[int, Points, Score]]:
    """The settings of one mode as (S, P, score), sorted by S and then by P, dense last."""
    rows = [(*parse_setting(key), score) for key, score in scores.items()]
    return sorted(rows, key=lambda row: (row[0], math.inf if row[1] == "dense" else row[1]))


def write_json(path: str | os.PathLike[str], data: Mapping[str, Any] | Sequence[Any]) -> Path:
    """Write ``data``, whole or not at all. NaN becomes null, as JSON has no NaN."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(_without_nan(data), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return Path(path)


def read_results(path: str | os.PathLike[str]) -> Results:
    """The modes in a file of `write_json`, without other entries such as ``run``. Null becomes NaN.

    Raises:
        UserError: the file does not hold scores, for example because it was edited or cut off.
    """
    modes = {name: entry for name, entry in _load(path).items() if isinstance(entry, dict) and _is_mode(entry)}
    for scores in modes.values():
        sorted_settings(scores)  # refuses a key that is no setting
    return {mode: {key: _score(path, score) for key, score in entry.items()} for mode, entry in modes.items()}


def read_facts(path: str | os.PathLike[str]) -> dict[str, float]:
    """The entries of ``run`` in a file of `write_json`. Null becomes NaN.

    Raises:
        UserError: see `read_results`.
    """
    facts = _load(path).get("run", {})
    if not isinstance(facts, dict):
        raise UserError(f"{path} has run={facts!r}; expected names and numbers, as guided_seg.run writes them.")
    return {name: _number(path, value) for name, value in facts.items()}


def _load(path: str | os.PathLike[str]) -> dict[str, Any]:
    data = read_json(Path(path), "the scores of a run")
    if not isinstance(data, dict):
        raise UserError(f"{path} holds {str(data)[:20]!r}; expected the scores that guided_seg.run writes.")
    return data


def lacking(shots: int = 0, dots: int = 0, left_out: int = 0) -> Lacking:
    """The entries of a `Score` for numbers of episodes that lacked shots or dots, or were left out."""
    found: Lacking = {}
    if shots:
        found["fewer_shots"] = shots
    if dots:
        found["fewer_dots"] = dots
    if left_out:
        found["left_out"] = left_out
    return found


def lacks(setting: str, found: Mapping[str, Any]) -> Iterator[str]:
    """Sentences about the episodes of a setting that had fewer shots or dots than the setting, or were left out."""
    of = f"of {found['episodes']} episodes of {setting}"
    if shots := found.get("fewer_shots"):
        yield f"{shots} {of} had fewer shots, as their class has no more images"
    if dots := found.get("fewer_dots"):
        yield f"{dots} {of} had fewer dots, as a label has no more pixels"
    if number := found.get("left_out"):
        yield f"{number} more episodes of {setting} were left out, as a file could not be read"


def notes(results: Results) -> list[str]:
    """Notes for a table: the settings in which some episodes had fewer shots or dots."""
    return [
        note
        for mode, scores in results.items()
        for shots, points, score in sorted_settings(scores)
        for note in lacks(f"{mode} {setting_key(shots, points)}", score)
    ]


def table(results: Results, title: str = "", thousands: str = ",") -> Table:
    """The table: a row for each mode and setting, with IoU in percent and its 95 % interval.

    Args:
        results: the scores.
        title: above the table.
        thousands: the separator of thousands in the numbers of episodes.
    """
    names = ("IoU %", "95 % interval", "mean %")
    head = [
        Column("mode", style="bold"),
        *columns(("shots", "dots"), left=0),
        *(Column(name, "right", ".1f", "bold" if name == "IoU %" else "") for name in names),
        Column("episodes", "right", f"{thousands}d"),
    ]
    rows = [
        (
            mode,
            shots,
            points,
            100 * score["positive_iou"],
            _span(*score["ci95"]),
            100 * score["mean_iou"],
            score["episodes"],
        )
        for mode, scores in results.items()
        for shots, points, score in sorted_settings(scores)
    ]
    return Table(head, rows, title, [_CAPTION, *notes(results)], grouped=True)


def markdown(results: Results) -> str:
    """The table as Markdown, for a file.

    Example:
        >>> score = Score(positive_iou=0.5, mean_iou=0.4, ci95=[0.45, 0.55], episodes=8)
        >>> print(markdown({"video": {"s1_p5": score}}).splitlines()[-1])
        | video | 1 | 5 | 50.0 | 45.0 to 55.0 | 40.0 | 8 |
    """
    below = bullets(f"{note}." for note in notes(results))
    return replace(table(results, thousands=""), notes=below).markdown("bare")


def _span(low: float, high: float) -> str:
    return f"{_percent(low)} to {_percent(high)}"


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def _is_mode(entry: Mapping[str, Any]) -> bool:
    return all(isinstance(score, dict) and "positive_iou" in score for score in entry.values())


def _score(path: str | os.PathLike[str], raw: Mapping[str, Any]) -> Score:
    interval, episodes = raw.get("ci95"), raw.get("episodes")
    if not isinstance(interval, list) or len(interval) != 2:
        raise UserError(f"{path} has ci95={interval!r}; expected [low, high], as guided_seg.run writes it.")
    if type(episodes) is not int or episodes < 0:
        raise UserError(f"{path} has episodes={episodes!r}; expected how many there were.")
    low, high = (_number(path, value) for value in interval)
    numbers = (raw.get(key, 0) for key in ("fewer_shots", "fewer_dots", "left_out"))
    shots, dots, left_out = (number if type(number) is int and number > 0 else 0 for number in numbers)
    return Score(
        positive_iou=_share(path, raw.get("positive_iou")),
        mean_iou=_share(path, raw.get("mean_iou")),
        ci95=[low, high],
        episodes=episodes,
        **lacking(shots, dots, left_out),
    )


def _share(path: str | os.PathLike[str], value: Any) -> float:
    number = _number(path, value)
    if number < 0 or number > 1:
        raise UserError(f"{path} has the IoU {value!r}; expected a share from 0 to 1, not percent.")
    return number


def _number(path: str | os.PathLike[str], value: Any) -> float:
    if value is None:
        return math.nan
    if type(value) not in (int, float) or abs(value) > sys.float_info.max:
        raise UserError(f"{path} has {str(value)[:20]!r} where a number was expected.")
    return float(value)


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

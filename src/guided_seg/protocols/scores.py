"""Scores of protocols, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np

from guided_seg.data.frozen.episode_file import FrozenEpisodes
from guided_seg.data.source import MODES
from guided_seg.files.text import read_json
from guided_seg.protocols.protocol import Protocol, Row
from guided_seg.protocols.statistics import Columns, Interval, measure, table_of
from guided_seg.report.results import Lacking, lacking, lacks
from guided_seg.report.table import Table, bullets, columns


class Setting(TypedDict):
    """A setting of a protocol and its figures.

    Keys are those of `guided_seg.report.results.Score`, and ``figures``: name -> value and intervals.
    """

    mode: str
    shots: int
    points: str
    episodes: int
    figures: dict[str, Interval]
    fewer_shots: NotRequired[int]
    fewer_dots: NotRequired[int]
    left_out: NotRequired[int]


class Scored(TypedDict):
    """The scores of a protocol.

    Keys:
        about: the rule in one line.
        source: name and split of the data.
        episodes_sha256: the checksum of the frozen episodes.
        unit: the resampling unit of the bootstrap, ``episodes`` or ``groups``.
        settings: one entry per mode, S and P.
    """

    about: str
    source: str
    episodes_sha256: str
    unit: str
    settings: list[Setting]


HEADER = ("protocol", "mode", "S", "P", "figure", "value", "95 % interval", "over seeds", "episodes")


def scores(
    protocol: Protocol, frozen: FrozenEpisodes, rows: Sequence[Row], left_out: Mapping[str, int] | None = None
) -> Scored:
    """Compute the figures of all settings.

    Args:
        protocol: the rule.
        frozen: the episodes.
        rows: their measurements.
        left_out: the number of episodes of each mode with an unreadable file.
    """
    settings = [
        Setting(
            mode=mode,
            shots=shots,
            points=points,
            episodes=len(np.unique(table["episode"])),
            figures={name: measure(table, name, protocol.unit) for name in protocol.figures},
            **lacking_of(table, (left_out or {}).get(mode, 0)),
        )
        for (mode, shots, points), table in by_setting(rows)
    ]
    return Scored(
        about=protocol.about,
        source=f"{frozen.source} {frozen.split}",
        episodes_sha256=frozen.checksum,
        unit=protocol.unit,
        settings=settings,
    )


def lacking_of(table: Columns, left_out: int) -> Lacking:
    """Count the episodes of a setting that have fewer shots, or fewer dots of a label, than the setting.

    Args:
        table: the rows of the setting.
        left_out: the number of episodes that were left out.
    """
    _, first = np.unique(table["episode"], return_index=True)
    shots, dots = (int(table[name][first].sum()) if name in table else 0 for name in ("fewer_shots", "fewer_dots"))
    return lacking(shots, dots, left_out)


def notes(scored: Mapping[str, Scored]) -> list[str]:
    """Notes on settings in which some episodes have fewer shots or dots; see `guided_seg.report.results.notes`."""
    return [
        note
        for name, found in scored.items()
        for setting in found["settings"]
        for note in lacks(f"{name} {setting['mode']} s{setting['shots']}_p{setting['points']}", setting)
    ]


def by_setting(rows: Sequence[Row]) -> Iterator[tuple[tuple[str, int, str], Columns]]:
    """Yield the rows of each (mode, S, P), as columns."""
    found: dict[tuple[str, int, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["mode"], row["shots"], row["points"]), []).append(row)
    for key in sorted(found, key=lambda k: (MODES.index(k[0]), k[1], not k[2].isdigit(), k[2].zfill(9))):
        yield key, table_of(found[key])


def terminal(scored: Mapping[str, Scored], title: str = "") -> Table:
    """The table for the terminal, with a row per figure."""
    rows = [
        (
            *(name, setting["mode"], setting["shots"], setting["points"], figure),
            *(number(figure, interval["value"]), span(figure, interval["ci95"])),
            span(figure, interval["ci95_seeds"]) if interval["ci95_seeds"] else None,
            setting["episodes"],
        )
        for name, found in scored.items()
        for setting in found["settings"]
        for figure, interval in setting["figures"].items()
    ]
    return Table(columns(HEADER, left=5, number=",d"), rows, title, notes(scored))


def markdown(scored: Mapping[str, Scored]) -> str:
    """The table as Markdown, with the rule of each protocol below it."""
    rules = [f"`{name}`: {found['about']} Episodes {found['episodes_sha256'][:12]}." for name, found in scored.items()]
    below = bullets([*rules, *(f"{note}." for note in notes(scored))])
    return replace(terminal(scored), notes=below).markdown("bare")


def number(figure: str, value: float, sign: bool = False) -> str:
    """Format a figure: a number of clicks unchanged, all others in percent."""
    plus = "+" if sign else ""
    return f"{value:{plus}.2f}" if figure.startswith("NoC") else f"{100 * value:{plus}.1f}"


def span(figure: str, ends: Sequence[float], sign: bool = False) -> str:
    """Format an interval; see `number`."""
    return " to ".join(number(figure, end, sign) for end in ends)


def read_figure(path: Path, protocol: str, figure: str, setting: Mapping[str, Any]) -> Interval:
    """A figure of a ``protocols.json``.

    Args:
        path: the file.
        protocol: the name of the protocol.
        figure: the name of the figure.
        setting: values of the setting, such as its ``points``; the first setting that has them.

    Raises:
        LookupError: the file has no such figure.
        UserError: the file is missing or damaged.
    """
    found = read_json(path, "the results of protocols").get(protocol, {"settings": []})
    for each in found["settings"]:
        if all(each[key] == value for key, value in setting.items()) and figure in each["figures"]:
            interval: Interval = each["figures"][figure]
            return interval
    raise LookupError(f"{path} has no {figure} of {protocol} at {dict(setting)}; evaluate again with this protocol.")


def plain(scored: Mapping[str, Scored]) -> dict[str, Any]:
    """Convert to plain dictionaries for `guided_seg.report.results.write_json`."""
    return {name: dict(found) for name, found in scored.items()}

"""Compare two evaluations on the same frozen episodes, episode by episode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from guided_seg.errors import UserError
from guided_seg.files.text import read_json
from guided_seg.protocols.protocol import Row
from guided_seg.protocols.records import read_records, without_about
from guided_seg.protocols.scores import by_setting, number, span
from guided_seg.protocols.statistics import Interval, paired
from guided_seg.report.table import Cell, Cells, Table, columns

_AGAIN = "remove the folder's records_*.jsonl and evaluate again"


class Difference(NamedTuple):
    """The difference of one figure at one setting, ours minus theirs."""

    protocol: str
    mode: str
    shots: int
    points: str
    figure: str
    interval: Interval


def compare(ours: Path, theirs: Path) -> list[Difference]:
    """Compare two output folders of `guided_seg.evaluate` under every protocol that both contain.

    Raises:
        UserError: a folder has no finished protocol, the folders share none, their episodes or rules differ, or a
            file is damaged.
    """
    mine, others = _protocols(ours), _protocols(theirs)
    shared = [name for name in mine if name in others]
    if not shared:
        raise UserError(
            f"{ours} has the protocols {', '.join(mine)} and {theirs} has {', '.join(others)}; evaluate both "
            "checkpoints under the same."
        )
    return [difference for name in shared for difference in _differences(name, mine[name], ours, theirs)]


def _differences(name: str, scored: Mapping[str, Any], ours: Path, theirs: Path) -> Iterator[Difference]:
    (of, mine), (of_theirs, others) = (_rows(folder, name) for folder in (ours, theirs))
    of, of_theirs = without_about(of), without_about(of_theirs)
    for key, what in (("rule", "another rule"), ("episodes_sha256", "other episodes")):
        if of.get(key) != of_theirs.get(key):
            raise UserError(
                f"{theirs} was evaluated under {name} with {what} than {ours}; freeze the episodes once and give "
                "the file to both, as in episodes=FILE."
            )
    try:
        if list(map(_asked, mine)) != list(map(_asked, others)):
            raise UserError(f"The records of {name} in {ours} and {theirs} are not of the same answers; {_AGAIN}.")
        pairs = zip(by_setting(mine), by_setting(others), strict=True)
        figures = list(scored["settings"][0]["figures"])
        for ((mode, shots, points), one), (_, other) in pairs:
            for figure in figures:
                yield Difference(name, mode, shots, points, figure, paired(one, other, figure, scored["unit"]))
    except UserError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"The results of {name} in {ours} and {theirs} are not as they were written ({type(error).__name__}: "
            f"{error}); {_AGAIN}."
        ) from error


def _asked(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("episode", "label", "mode", "shots", "points"))


def _protocols(folder: Path) -> dict[str, Any]:
    path = folder / "protocols.json"
    if not path.is_file():
        raise UserError(_without_protocols(folder))
    found = read_json(path, "the results of protocols")
    if not isinstance(found, dict) or not all(isinstance(scored, dict) for scored in found.values()):
        raise UserError(f"{path} holds no results of protocols; {_AGAIN}.")
    return found


def _without_protocols(folder: Path) -> str:
    """The error message for a folder without results of protocols."""
    give = "give a folder of `guided_seg.evaluate protocol=...`"
    if not folder.exists():
        return f"There is no folder {folder}; {give}."
    if not folder.is_dir():
        return f"{folder} is a file; {give}."
    if below := sorted(folder.glob("*/protocols.json")):
        return f"{folder} has no protocols.json; {give}, such as {below[-1].parent}."
    if (folder / "evaluation.json").is_file():
        return (
            f"{folder} has no protocols.json: its checkpoint was evaluated without a protocol, which keeps no "
            "records of single episodes; evaluate it again with protocol=..."
        )
    if any(folder.glob("records_*.jsonl")):
        return (
            f"{folder} has no protocols.json: its evaluation was stopped before a protocol was finished; repeat its "
            f"command with output_dir={folder}, and it goes on."
        )
    return f"{folder} has no protocols.json; {give}."


def _rows(folder: Path, name: str) -> tuple[dict[str, Any], list[Row]]:
    path = folder / f"records_{name}.jsonl"
    if not path.is_file():
        raise UserError(f"{path} is missing; evaluate again with output_dir={folder}.")
    return read_records(path)


HEADER = ("protocol", "mode", "S", "P", "figure", "difference", "95 % interval", "over seeds")


def table(differences: Sequence[Difference]) -> Table:
    """A table with a row per difference, bold if its interval excludes 0."""
    rows: list[Cells] = []
    for protocol, mode, shots, points, figure, interval in differences:
        (low, high), seeds = interval["ci95"], interval["ci95_seeds"]
        value = Cell(number(figure, interval["value"], sign=True), bold=low > 0 or high < 0)
        over_seeds = span(figure, seeds, sign=True) if seeds else None
        rows.append((protocol, mode, shots, points, figure, value, span(figure, (low, high), sign=True), over_seeds))
    return Table(columns(HEADER, left=5), rows)


def markdown(differences: Sequence[Difference]) -> str:
    """The table as Markdown."""
    return table(differences).markdown("bare")

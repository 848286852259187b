"""The table of a study: a row per composition, a column per mode; as Markdown and as LaTeX."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from guided_seg.report.results import Points
from guided_seg.study.cells import Cell, cell, modes, p_value, update_ms
from guided_seg.study.compositions import Composition

LEVEL = 0.05
"""Differences with a smaller p are marked."""


@dataclass(frozen=True)
class Entry:
    """One cell as it is shown.

    Attributes:
        text: the mean and the interval in percent; a dash where nothing was measured.
        best: no other of its column is higher.
        differs: from the reference.
        one_seed: the interval is that of one run.
    """

    text: str
    best: bool = False
    differs: bool = False
    one_seed: bool = False


@dataclass(frozen=True)
class Table:
    """What both forms show: names of the columns, and per row its label, how many seeds, the entries, and more."""

    columns: list[str]
    rows: list[tuple[str, list[Entry]]]


def build(
    compositions: Sequence[Composition], shots: int, points: Points, reference: Composition | None, timing: bool
) -> Table:
    """The table at one (S, P).

    Args:
        compositions: the rows.
        shots: S; interactive tasks always have one.
        points: P.
        reference: the row to which the others are compared, by the paired t-test over seeds.
        timing: whether to add what a new dot costs.
    """
    names = modes(compositions)
    by_mode = {mode: _column(compositions, mode, shots, points, reference) for mode in names}
    rows = []
    for number, composition in enumerate(compositions):
        entries = [Entry(str(len(composition.runs))), *(by_mode[mode][number] for mode in names)]
        label = composition.label + (" (reference)" if composition is reference else "")
        rows.append((label, [*entries, Entry(_milliseconds(composition))] if timing else entries))
    return Table(["composition", "seeds", *names, *(["update ms"] if timing else [])], rows)


def shown_at(mode: str, shots: int) -> int:
    """S in ``mode``: the query itself is the only shot of an interactive task."""
    return 1 if mode == "interactive" else shots


def markdown(table: Table) -> str:
    """The table with the best in bold and marks behind the numbers."""
    rows = [[label, *map(_in_markdown, entries)] for label, entries in table.rows]
    lines = [table.columns, ["---", *("---:" for _ in table.columns[1:])], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def tex(table: Table, caption: str, notes: Iterable[str]) -> str:
    """A ``table`` environment for the package booktabs, with the notes below the table."""
    rows = [[escape(label), *map(_in_tex, entries)] for label, entries in table.rows]
    head = " & ".join(escape(column) for column in table.columns)
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
        *[r"\toprule", rf"{head} \\", r"\midrule"],
        *(rf"{' & '.join(cells)} \\" for cells in rows),
        *[r"\bottomrule", r"\end{tabular}"],
        *[r"", r"\smallskip\footnotesize", r"\raggedright"],
        *(rf"{escape(note)}\par" for note in notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    r"""Text with what LaTeX would read as a command made plain.

    Example:
        >>> print(escape("early_stack: 50 % † ~"))
        early\_stack: 50 \% $^\dagger$ \textasciitilde{}
    """
    return re.sub(r"[\\{}$&#_%~^†±×]", lambda found: _TEX[found.group()], text)


_TEX = {sign: rf"\{sign}" for sign in "{}$&#_%"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "†": r"$^\dagger$",
    "±": r"$\pm$",
    "×": r"$\times$",
}


def _column(
    compositions: Sequence[Composition], mode: str, shots: int, points: Points, reference: Composition | None
) -> list[Entry]:
    at = (mode, shown_at(mode, shots), points)
    cells = [cell(composition, *at) for composition in compositions]
    best = max((_percent(found.mean) for found in cells if found), default=math.nan)
    basis = cell(reference, *at) if reference else None
    return [_entry(found, best, basis) for found in cells]


def _entry(found: Cell | None, best: float, basis: Cell | None) -> Entry:
    if found is None:
        return Entry("–")
    mean, low, high = (_percent(value) for value in (found.mean, found.low, found.high))
    differs = basis is not None and p_value(found, basis) < LEVEL
    # what looks equal is equally good
    return Entry(f"{mean:.1f} [{low:.1f}, {high:.1f}]", mean == best, differs, found.one_seed)


def _percent(share: float) -> float:
    return round(100 * share, 1)


def _milliseconds(composition: Composition) -> str:
    found = update_ms(composition)
    return "–" if math.isnan(found) else f"{found:.2f}"


def _in_markdown(entry: Entry) -> str:
    text = f"**{entry.text}**" if entry.best else entry.text
    return text + (r"\*" if entry.differs else "") + ("†" if entry.one_seed else "")


def _in_tex(entry: Entry) -> str:
    text = rf"\textbf{{{escape(entry.text)}}}" if entry.best else escape(entry.text)
    return text + ("$^*$" if entry.differs else "") + (r"$^\dagger$" if entry.one_seed else "")

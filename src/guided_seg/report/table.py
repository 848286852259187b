"""One table for every result: on the terminal, in Markdown, in HTML and in LaTeX.

A module that has a table to show makes a `Table`; only this module knows how each form is written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape as html_escape
from typing import Literal, TypeVar

from rich.box import SIMPLE
from rich.table import Table as RichTable
from rich.text import Text

Value = str | int | float | None
"""What a cell holds; None and NaN are shown as a dash."""

Align = Literal["left", "right"]
Rule = Literal["aligned", "spaced", "bare"]
"""The line below a Markdown header: ``|---|---:|``, ``| --- | ---: |``, or ``|---|---|`` without alignment."""

DASH = "–"
Written = TypeVar("Written")


@dataclass(frozen=True)
class Cell:
    """A value with emphasis.

    Attributes:
        value: what stands in the cell.
        bold: whether it is emphasised, such as the best of its column.
        marks: what follows the value and is never bold, such as ``*`` or ``†``.
    """

    value: Value
    bold: bool = False
    marks: str = ""


Cells = Sequence[Value | Cell]
"""A row."""


@dataclass(frozen=True)
class Column:
    """The header of a column and how its values are shown.

    Attributes:
        name: the header.
        align: the side to which the column is flush.
        number: the format of its numbers, such as ``.1f``; text is shown as it is.
        style: a rich style on the terminal, such as ``bold``.
    """

    name: str
    align: Align = "left"
    number: str = ""
    style: str = ""


def columns(names: Sequence[str], left: int = 1, number: str = "") -> list[Column]:
    """Columns: the first ``left`` hold text, the others numbers, flush right.

    Example:
        >>> [column.align for column in columns(("split", "tasks", "classes"))]
        ['left', 'right', 'right']
    """
    return [Column(name) if place < left else Column(name, "right", number) for place, name in enumerate(names)]


@dataclass(frozen=True)
class Table:
    """Rows under named columns.

    Attributes:
        columns: the header; see `columns`.
        rows: a value or `Cell` for each column. Text may contain Markdown where only Markdown is written.
        title: above the table on the terminal, the caption in LaTeX; Markdown leaves the heading to the page.
        notes: what stands below the table, a paragraph each.
        grouped: on the terminal, show a first cell that repeats the one above only once, and leave a line before the
            next.

    Raises:
        ValueError: a row has more or fewer cells than there are columns.

    Example:
        >>> found = Table(columns(("model", "IoU %"), number=".1f"), [("small", 70), ("large", Cell(81.25, bold=True))])
        >>> print(found.markdown(), end="")
        | model | IoU % |
        |---|---:|
        | small | 70.0 |
        | large | **81.2** |
    """

    columns: Sequence[Column]
    rows: Sequence[Cells]
    title: str = ""
    notes: Sequence[str] = ()
    grouped: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"The row {tuple(row)} has {len(row)} cells; expected one for each of the columns "
                    f"{', '.join(column.name for column in self.columns)}."
                )

    def __rich__(self) -> RichTable:
        return self.terminal()

    def terminal(self) -> RichTable:
        """The table for a rich console; ``console.print(table)`` calls this. Long cells are wrapped, never cut."""
        table = RichTable(
            title=Text(self.title, "table.title") if self.title else None,
            caption=Text("\n".join(self.notes), "table.caption") if self.notes else None,
            title_justify="left",
            caption_justify="left",
            header_style="bold",
            box=SIMPLE,
            pad_edge=False,
        )
        table.min_width = len(self.title)  # rich wraps a title to the width of its table
        for column in self.columns:
            table.add_column(Text(column.name), justify=column.align, overflow="fold", style=column.style)
        above: Text | None = None
        for first, *others in self._cells(_terminal):
            if self.grouped and above not in (None, first):
                table.add_section()
            table.add_row(Text() if self.grouped and first == above else first, *others)
            above = first
        return table

    def markdown(self, rule: Rule = "aligned") -> str:
        """The table and its notes, without the title.

        Args:
            rule: how the line below the header is written. Files that are older than this module keep their form.
        """
        head = _pipes([_markdown(column.name) for column in self.columns])
        lines = [head, self._rule(rule), *map(_pipes, self._cells(_markdown)), *(f"\n{note}" for note in self.notes)]
        return "\n".join(lines) + "\n"

    def html(self) -> str:
        """A ``table`` element with a class for cells that are flush right; without title and notes."""
        sides = [' class="right"' if column.align == "right" else "" for column in self.columns]
        head = [f"<th{side}>{html_escape(column.name)}</th>" for side, column in zip(sides, self.columns, strict=True)]
        rows = [
            [f"<td{side}>{cell}</td>" for side, cell in zip(sides, cells, strict=True)] for cells in self._cells(_html)
        ]
        lines = [f"<tr>{''.join(cells)}</tr>" for cells in rows]
        return "\n".join(
            ["<table>", f"<thead><tr>{''.join(head)}</tr></thead>", "<tbody>", *lines, "</tbody>", "</table>"]
        )

    def latex(self) -> str:
        """A ``table`` environment for the package booktabs; the title is its caption."""
        head = [escape(column.name) for column in self.columns]
        lines = [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape(self.title)}}}",
            rf"\begin{{tabular}}{{{''.join(column.align[0] for column in self.columns)}}}",
            *[r"\toprule", _ampersands(head), r"\midrule"],
            *map(_ampersands, self._cells(_latex)),
            *[r"\bottomrule", r"\end{tabular}"],
            *[r"", r"\smallskip\footnotesize", r"\raggedright"],
            *(rf"{escape(note)}\par" for note in self.notes),
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"

    def _cells(self, written: Callable[[str, bool, str], Written]) -> list[list[Written]]:
        """The rows, each cell as ``written`` makes it of the text, whether it is bold, and the marks."""
        return [
            [written(*_shown(entry, column)) for entry, column in zip(row, self.columns, strict=True)]
            for row in self.rows
        ]

    def _rule(self, rule: Rule) -> str:
        aligned = ["---:" if column.align == "right" and rule != "bare" else "---" for column in self.columns]
        return _pipes(aligned) if rule == "spaced" else f"|{'|'.join(aligned)}|"


def bullets(sentences: Iterable[str]) -> list[str]:
    """The sentences as one note, a Markdown list; no note where there are none."""
    listed = "\n".join(f"- {sentence}" for sentence in sentences)
    return [listed] if listed else []


def escape(text: str) -> str:
    r"""Text in which LaTeX finds no commands.

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


def _shown(entry: Value | Cell, column: Column) -> tuple[str, bool, str]:
    cell = entry if isinstance(entry, Cell) else Cell(entry)
    if cell.value is None or (isinstance(cell.value, float) and math.isnan(cell.value)):
        text = DASH
    else:
        text = cell.value if isinstance(cell.value, str) else format(cell.value, column.number)
    return " ".join(text.splitlines()), cell.bold, cell.marks


def _terminal(text: str, bold: bool, marks: str) -> Text:
    return Text.assemble((text, "bold" if bold else ""), marks)


def _markdown(text: str, bold: bool = False, marks: str = "") -> str:
    text = text.replace("|", r"\|")
    return (f"**{text}**" if bold else text) + marks.replace("*", r"\*")


def _html(text: str, bold: bool, marks: str) -> str:
    text = html_escape(text)
    return (f"<b>{text}</b>" if bold else text) + html_escape(marks)


def _latex(text: str, bold: bool, marks: str) -> str:
    shown = rf"\textbf{{{escape(text)}}}" if bold else escape(text)
    return shown + "".join("$^*$" if mark == "*" else escape(mark) for mark in marks)


def _pipes(cells: Sequence[str]) -> str:
    return f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|"


def _ampersands(cells: Sequence[str]) -> str:
    return rf"{' & '.join(cells)} \\"

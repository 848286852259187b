"""A table of words, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE
from rich.table import Table


@dataclass(frozen=True)
class Grid:
    """A title, the names of the columns, and rows; all columns but the first ``left`` are flush right.

    Example:
        >>> print(Grid("Images", ("split", "number"), [("train", "1,464")]).markdown(), end="")
        ## Images
        <BLANKLINE>
        | split | number |
        |---|---:|
        | train | 1,464 |
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1

    def rich(self) -> Table:
        """The table for the terminal."""
        table = Table(title=self.title, title_justify="left", header_style="bold", box=SIMPLE, pad_edge=False)
        table.min_width = len(self.title)  # a title is wrapped to the width of its table
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="left" if number < self.left else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """A heading and the table."""
        rule = "|".join("---" if number < self.left else "---:" for number in range(len(self.columns)))
        lines = [f"| {' | '.join(row)} |" for row in (self.columns, *self.rows)]
        return "\n".join([f"## {self.title}", "", lines[0], f"|{rule}|", *lines[1:]]) + "\n"

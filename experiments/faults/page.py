"""Tables of README.md, each in a block between two comments."""

from __future__ import annotations

import re
from pathlib import Path

from guided_seg.report.table import Table

PAGE = Path(__file__).with_name("README.md")


def fill(block: str, table: Table) -> None:
    """Put a table in the place of the one of that name.

    Raises:
        ValueError: the page has no such block.
    """
    place = re.compile(rf"(<!-- {block} -->\n)(.*?)(<!-- end -->)", re.DOTALL)
    text, number = place.subn(lambda found: f"{found[1]}{table.markdown()}{found[3]}", PAGE.read_text(encoding="utf-8"))
    if number != 1:
        raise ValueError(f"{PAGE} has {number} blocks <!-- {block} --> up to <!-- end -->; expected one.")
    PAGE.write_text(text, encoding="utf-8")

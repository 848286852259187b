"""The command ``guided-seg-study``: from many runs to one table and its figures.

python -m guided_seg.study outputs/sweeps/late_global
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from guided_seg.cli.command import path_argument, points_argument, refuse, started_as, without_comment
from guided_seg.cli.program import program
from guided_seg.errors import UserError


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Entry point; exits with code 2 and one sentence if the study cannot be made."""
    try:
        arguments = _parser().parse_args(without_comment(sys.argv[1:] if argv is None else argv))
        from guided_seg.study.study import study  # after --help, which comes at once

        out = study(**vars(arguments))
    except UserError as error:
        refuse(str(error))
    console = Console(markup=False, highlight=False)
    console.print((out / "study.md").read_text(encoding="utf-8"), soft_wrap=True, markup=False)
    console.print(str(out / "study.html" if arguments.html else out), soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    line = started_as("python -m guided_seg.study")
    parser = argparse.ArgumentParser(
        prog=line,
        description="Gather runs into one table (study.csv, study.md, study.tex) and figures, from local files alone.",
        epilog=f"example: {line} outputs/sweeps/late_global --reference fusion=late,locality=global",
    )
    parser.add_argument(
        "folders", nargs="+", type=path_argument, metavar="DIR", help="folders of runs, searched recursively"
    )
    parser.add_argument("--out", type=path_argument, help="output folder (default: study in the first DIR)")
    parser.add_argument("--shots", type=int, default=1, help="S of the table (default: 1)")
    parser.add_argument("--points", type=points_argument, default=5, help="P of the table, or dense (default: 5)")
    parser.add_argument("--reference", help="settings of the row to compare with")
    parser.add_argument("--timing", action="store_true", help="add the time of a new dot, in milliseconds")
    parser.add_argument(
        "--html",
        action="store_true",
        help="write study.html too: one file with curves, episodes and tables of all runs",
    )
    return parser


if __name__ == "__main__":
    main()

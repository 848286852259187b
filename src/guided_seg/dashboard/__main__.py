"""The command ``guided-seg dashboard``: a workspace and a report of Weights & Biases.

python -m guided_seg.dashboard --entity my_team
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from guided_seg.cli.command import path_argument, points_argument, refuse, started_as, without_comment
from guided_seg.cli.program import program
from guided_seg.errors import UserError


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Entry point; exits with code 2 and one sentence if the dashboard cannot be made."""
    arguments = _parser().parse_args(without_comment(sys.argv[1:] if argv is None else argv))
    try:
        lines = _make(arguments)
    except UserError as error:
        refuse(str(error))
    for line in lines:
        Console(markup=False, highlight=False).print(line, soft_wrap=True)


def _make(arguments: argparse.Namespace) -> list[str]:
    """What to print: the file, or the addresses of the workspace and the report."""
    from guided_seg.dashboard.board import board
    from guided_seg.dashboard.wandb_views import Views, entity_of  # after --help, which comes at once

    out: Path | None = arguments.out
    sections = board(arguments.shots, arguments.points)
    if out is None:
        return Views(sections, arguments.project, entity_of(arguments.entity)).save()
    from guided_seg.files.writing import write_json
    from guided_seg.settings.preflight import check_can_be_made

    if out.is_dir():
        raise UserError(f"--out={out} is a folder; give a file in it, as in --out={out / 'dashboard.json'}.")
    check_can_be_made(out.absolute().parent, "folder", "--out")
    write_json(out, Views(sections, arguments.project, arguments.entity or "").specification())
    return [str(out)]


def _parser() -> argparse.ArgumentParser:
    line = started_as("python -m guided_seg.dashboard")
    parser = argparse.ArgumentParser(
        prog=line,
        description="Make a workspace and a report of Weights & Biases for the runs of a project. Without W&B, "
        "guided-seg study DIR --html writes a page with the same panels.",
        epilog=f"example: {line} --entity my_team",
    )
    parser.add_argument("--project", default="guided_seg", help="project of W&B (default: guided_seg)")
    parser.add_argument("--entity", help="its owner (default: WANDB_ENTITY, or that of the account)")
    parser.add_argument("--shots", type=int, default=1, help="S of the scores (default: 1)")
    parser.add_argument("--points", type=points_argument, default=5, help="P of the scores, or dense (default: 5)")
    parser.add_argument(
        "--out", type=path_argument, help="write both to this JSON file, without a network, and send nothing"
    )
    return parser


if __name__ == "__main__":
    main()

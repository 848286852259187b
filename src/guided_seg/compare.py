"""Compare two checkpoints on the same frozen episodes, episode by episode.

python -m guided_seg.compare OURS THEIRS
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from guided_seg.cli.command import path_argument, refuse, started_as, without_comment
from guided_seg.cli.program import program
from guided_seg.errors import UserError


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Entry point; exits with code 2 and one sentence if the two cannot be compared."""
    try:
        arguments = _parser().parse_args(without_comment(sys.argv[1:] if argv is None else argv))
        out: Path | None = arguments.out and arguments.out.absolute()
        if out:
            _check_out(out)
        if arguments.ours.resolve() == arguments.theirs.resolve() and arguments.ours.exists():
            raise UserError(
                f"OURS and THEIRS are the same folder, {arguments.ours}; give the folders of two evaluations."
            )
        from guided_seg.protocols.comparison import compare, markdown  # slow, so after --help

        text = markdown(compare(arguments.ours, arguments.theirs))
    except UserError as error:
        refuse(str(error))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    Console(highlight=False).print(text, soft_wrap=True, markup=False)


def _check_out(path: Path) -> None:
    from guided_seg.settings.preflight import check_can_be_made

    if path.is_dir():
        raise UserError(f"--out={path} is a folder; give a file in it, as in --out={path / 'comparison.md'}.")
    check_can_be_made(path.parent, "table's folder", "--out")


def _parser() -> argparse.ArgumentParser:
    line = started_as("python -m guided_seg.compare")
    parser = argparse.ArgumentParser(
        prog=line,
        description="The difference of two evaluations under the same protocols and frozen episodes, with 95 % "
        "intervals of a paired bootstrap, which are narrower than those of each alone.",
        epilog=f"example: {line} outputs/evaluate/A outputs/evaluate/B",
    )
    parser.add_argument("ours", type=path_argument, metavar="OURS", help="a folder of guided_seg.evaluate protocol=...")
    parser.add_argument("theirs", type=path_argument, metavar="THEIRS", help="another, on the same episodes")
    parser.add_argument("--out", type=path_argument, help="write the table there as well, as Markdown")
    return parser


if __name__ == "__main__":
    main()

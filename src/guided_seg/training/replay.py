"""Show the loss of each episode of the batch at which a training stopped, as its loss was not finite.

python -m guided_seg.training.replay RUN
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from guided_seg.cli.command import path_argument, refuse, started_as, without_comment
from guided_seg.cli.program import program
from guided_seg.errors import UserError


@program
def main(argv: Sequence[str] | None = None) -> None:
    """Entry point; exits with code 2 and one sentence if there is no such batch."""
    arguments = _parser().parse_args(without_comment(sys.argv[1:] if argv is None else argv))
    from guided_seg.training.bad_batch import read_bad_batch, replay  # slow, so after --help

    try:
        table, said = replay(read_bad_batch(arguments.run))
    except UserError as error:
        refuse(str(error))
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print(said, soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    line = started_as("python -m guided_seg.training.replay")
    parser = argparse.ArgumentParser(
        prog=line,
        description="The loss of each episode of the batch at which a training stopped, as its loss was not finite.",
        epilog=f"example: {line} outputs/late_global/RUN",
    )
    parser.add_argument("run", type=path_argument, metavar="RUN", help="the run folder, or its bad_batch.ckpt")
    return parser


if __name__ == "__main__":
    main()

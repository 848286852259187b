"""The kind side of the commands: help at once, and one sentence instead of a traceback.

A command is three lines around Hydra's own main:

    cli.help_if_asked(sys.argv[1:], "python -m guided_seg.run", EXAMPLES)
    cli.check_overrides("config", sys.argv[1:])
    hydra_main()  # its job is decorated with cli.kind_errors
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import TYPE_CHECKING, NoReturn, TypeVar

from rich.console import Console
from rich.text import Text

from guided_seg.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

T = TypeVar("T")

CONF = "guided_seg.conf"


def help_if_asked(argv: Sequence[str], command: str, examples: Sequence[str], config_name: str = "config") -> None:
    """Print the help and exit where ``argv`` asks for it; nothing heavy is imported, so it comes at once."""
    if "--help" not in argv and "-h" not in argv:
        return
    from guided_seg.help_page import print_help

    print_help(command, examples, config_name, CONF)
    raise SystemExit(0)


def check_overrides(config_name: str, argv: Sequence[str], module: str = CONF) -> None:
    """Compose once before Hydra does, and exit with code 2 and one sentence where that cannot work.

    Args:
        config_name: the primary config.
        argv: the command line without the program.
        module: the package that holds the configs.
    """
    from guided_seg.overrides import find_problem

    problem = find_problem(config_name, argv, module)
    if problem is not None:
        refuse(problem)


def kind_errors(job: Callable[[DictConfig], T]) -> Callable[[DictConfig], T]:
    """A job whose `UserError` ends it with one sentence and exit code 2, and Ctrl-C with a word and 130.

    ``debug=true`` or the variable ``HYDRA_FULL_ERROR=1`` shows the traceback.
    """

    @wraps(job)
    def kind(cfg: DictConfig) -> T:
        try:
            return job(cfg)
        except KeyboardInterrupt:
            Console(stderr=True).print("Interrupted.")
            raise SystemExit(130) from None
        except Exception as error:
            sentence = user_sentence(error)
            if sentence is None or cfg.get("debug") or os.environ.get("HYDRA_FULL_ERROR") == "1":
                raise
        refuse(sentence)

    return kind


def user_sentence(error: BaseException) -> str | None:
    """What the `UserError` behind ``error`` says, or None where there is none; Hydra and workers wrap it."""
    for cause in causes(error):
        if isinstance(cause, UserError):
            # a data worker sends its whole traceback as the message, whose last part is the sentence
            return re.split(r"\n(?:\w+\.)+\w+: ", str(cause))[-1].strip()
    return None


def refuse(sentence: str) -> NoReturn:
    """Print the sentence on stderr and exit with code 2."""
    message = Text.assemble(("error: ", "bold red"), sentence)
    Console(stderr=True).print(message, soft_wrap=True)
    raise SystemExit(2)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__

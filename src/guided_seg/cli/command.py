"""The kind side of the commands: help at once, and one sentence instead of a traceback.

A command is a function of its config, which imports what it needs when it is called:

    @cli.command("python -m guided_seg.export", "export", EXAMPLES)
    def main(cfg: DictConfig) -> None: ...
"""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from rich.console import Console
from rich.text import Text

from guided_seg.cli.program import program
from guided_seg.errors import UserError, full_disk

if TYPE_CHECKING:
    from omegaconf import DictConfig

T = TypeVar("T")
Main = Callable[[], None]

CONF = "guided_seg.conf"
"""The package that holds the configs."""


def command(line: str, config_name: str, examples: Sequence[str]) -> Callable[[Callable[[DictConfig], object]], Main]:
    """Make a job the entry point of a command, with its help, its checks and Hydra around it.

    Args:
        line: how the command is called.
        config_name: its primary config.
        examples: whole command lines without ``line``.
    """

    def entry(job: Callable[[DictConfig], object]) -> Main:
        @program
        @wraps(job)  # Hydra names the job after the file of the innermost function
        def main() -> None:
            argv = without_comment(sys.argv[1:])
            help_if_asked(argv, line, examples, config_name)
            # Hydra, and the processes that Lightning starts, read them from there
            sys.argv = [sys.argv[0], *paths_as_written(argv)]
            check_overrides(config_name, sys.argv[1:], CONF)
            quiet_libraries()
            import hydra  # takes longer than the help

            hydra.main(f"pkg://{CONF}", config_name, version_base="1.3")(kind_errors(job))()

        return main

    return entry


def quiet_libraries() -> None:
    """Keep other packages' remarks off the terminal; what they cannot do they raise as errors."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def output_dir() -> Path:
    """The folder that Hydra made for the job that is running."""
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir)


def help_if_asked(argv: Sequence[str], command: str, examples: Sequence[str], config_name: str = "config") -> None:
    """Print the help and exit where ``argv`` asks for it; nothing heavy is imported, so it comes at once."""
    if "--help" not in argv and "-h" not in argv:
        return
    from guided_seg.cli.help_page import print_help

    print_help(command, examples, config_name, CONF)
    raise SystemExit(0)


def without_comment(argv: Sequence[str]) -> list[str]:
    """The arguments before a ``#``: a comment, which an interactive zsh hands over as if it were arguments."""
    return list(argv[: argv.index("#")] if "#" in argv else argv)


def check_text(argv: Sequence[str]) -> None:
    """Raise `UserError` for an argument that is not text, such as a file name in an old encoding."""
    for word in argv:
        if any("\ud800" <= character <= "\udfff" for character in word):
            shown = word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            raise UserError(f"'{shown}' is not UTF-8 text; rename the file or folder, or give a link to it.")


def path_argument(text: str) -> Path:
    """A path as an argument of a command, with ``~`` expanded, which shells leave as it is in ``--out=~/x``."""
    try:
        check_text([text])
    except UserError as problem:  # whose own message argparse would not show, as it is a ValueError
        raise ArgumentTypeError(str(problem)) from problem
    if not text.strip():
        raise ArgumentTypeError("the path is empty; was a variable of the shell empty?")
    return Path(os.path.expanduser(text))  # noqa: PTH111  # pathlib raises where there is no such user


def paths_as_written(argv: Sequence[str]) -> list[str]:
    """The command line with paths as Hydra reads them, see `settings.paths`; exits with code 2 where one is none."""
    from guided_seg.settings.paths import take_paths_as_written

    try:
        check_text(argv)
        return take_paths_as_written(argv)
    except UserError as problem:
        refuse(str(problem))


def check_overrides(config_name: str, argv: Sequence[str], module: str = CONF) -> None:
    """Compose once before Hydra does, and exit with code 2 and one sentence where that cannot work.

    Args:
        config_name: the primary config.
        argv: the command line without the program.
        module: the package that holds the configs.
    """
    from guided_seg.settings.overrides import find_problem

    problem = find_problem(config_name, argv, module)
    if problem is not None:
        refuse(problem)


def kind_errors(job: Callable[[DictConfig], T]) -> Callable[[DictConfig], T]:
    """A job whose `UserError` ends it with one sentence and exit code 2.

    ``debug=true`` or the variable ``HYDRA_FULL_ERROR=1`` shows the traceback.
    """

    @wraps(job)
    def kind(cfg: DictConfig) -> T:
        try:
            return job(cfg)
        except Exception as error:
            sentence = user_sentence(error) or _taken_away(error, sys.argv[1:])
            if sentence is None or cfg.get("debug") or os.environ.get("HYDRA_FULL_ERROR") == "1":
                raise
        refuse(sentence)

    return kind


def user_sentence(error: BaseException) -> str | None:
    """What the `UserError` or full disk behind ``error`` says, or None where there is neither; Hydra wraps it."""
    for cause in causes(error):
        if isinstance(cause, UserError):
            # a data worker sends its whole traceback as the message, whose last part is the sentence
            return re.split(r"\n(?:\w+\.)+\w+: ", str(cause))[-1].strip()
        if sentence := full_disk(cause):
            return sentence
    return None


def _taken_away(error: BaseException, argv: Sequence[str]) -> str | None:
    """What to say where a setting is missing that ``~`` took away; None where the error is another."""
    from omegaconf.errors import OmegaConfBaseException

    for cause in causes(error):
        if not isinstance(cause, OmegaConfBaseException | TypeError):
            continue
        for word in argv:
            key = word.removeprefix("~").partition("=")[0].partition("@")[0]
            if word.startswith("~") and re.search(rf"\b{re.escape(key.rpartition('.')[2])}\b", str(cause)):
                return f"{word} takes away what the command needs; leave that word out, or set {key}=... instead."
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

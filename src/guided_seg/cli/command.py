"""Entry points of commands: fast help, and one sentence instead of a traceback for user errors.

A command is a function of its config that imports what it needs when called:

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn, TypeVar

from rich.console import Console
from rich.text import Text

from guided_seg.cli.program import program
from guided_seg.errors import UserError, full_disk

if TYPE_CHECKING:
    from omegaconf import DictConfig

T = TypeVar("T")
Main = Callable[[], None]

CONF = "guided_seg.conf"
"""The package of the configs."""

STARTED_AS: ContextVar[str | None] = ContextVar("STARTED_AS", default=None)
"""The command line of the program if ``guided-seg`` called it by its name; None if it is a module."""


def started_as(line: str) -> str:
    """The command line of the program as it was typed: ``line``, or that of ``guided-seg`` with its name."""
    return STARTED_AS.get() or line


def command(
    line: str, config_name: str, examples: Sequence[str], words: Mapping[str, str] | None = None
) -> Callable[[Callable[[DictConfig], object]], Main]:
    """Turn a job into the entry point of a command, with help, checks and Hydra.

    Args:
        line: the command line of the program.
        config_name: its primary config.
        examples: complete command lines without ``line``.
        words: what it takes, for the help: name -> what it may be. None for groups and settings.
    """

    def entry(job: Callable[[DictConfig], object]) -> Main:
        @program
        @wraps(job)  # Hydra names the job after the file of the innermost function
        def main() -> None:
            argv = without_comment(sys.argv[1:])
            help_if_asked(argv, line, examples, config_name, words)
            # read by Hydra, and by the processes that Lightning starts
            sys.argv = [sys.argv[0], *paths_as_written(argv)]
            check_overrides(config_name, sys.argv[1:], CONF)
            quiet_libraries()
            import hydra  # slower than the help

            hydra.main(f"pkg://{CONF}", config_name, version_base="1.3")(kind_errors(job))()

        return main

    return entry


def quiet_libraries() -> None:
    """Silence warnings and logs of other packages; their errors are still raised."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.environ.setdefault("SQLALCHEMY_SILENCE_UBER_WARNING", "1")  # of sweeper=optuna, see setup.cfg
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def output_dir() -> Path:
    """The folder that Hydra created for the current job."""
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir)


def help_if_asked(
    argv: Sequence[str],
    command: str,
    examples: Sequence[str],
    config_name: str = "config",
    words: Mapping[str, str] | None = None,
) -> None:
    """Print the help and exit if ``argv`` asks for it. Imports nothing slow."""
    if "--help" not in argv and "-h" not in argv:
        return
    from guided_seg.cli.help_page import print_help

    print_help(started_as(command), examples, config_name, CONF, words)
    raise SystemExit(0)


def without_comment(argv: Sequence[str]) -> list[str]:
    """The arguments before a ``#``, a comment that an interactive zsh passes on."""
    return list(argv[: argv.index("#")] if "#" in argv else argv)


def check_text(argv: Sequence[str]) -> None:
    """Raise `UserError` for an argument that is not valid text, such as a file name in an old encoding."""
    for word in argv:
        if any("\ud800" <= character <= "\udfff" for character in word):
            shown = word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            raise UserError(f"'{shown}' is not UTF-8 text; rename the file or folder, or give a link to it.")


def path_argument(text: str) -> Path:
    """Convert a command's argument to a path; expand ``~``, which shells do not do in ``--out=~/x``."""
    try:
        check_text([text])
    except UserError as problem:  # a ValueError, whose message argparse would not show
        raise ArgumentTypeError(str(problem)) from problem
    if not text.strip():
        raise ArgumentTypeError("the path is empty; is a shell variable empty?")
    return Path(os.path.expanduser(text))  # noqa: PTH111  # pathlib raises an error for unknown users


def points_argument(text: str) -> int | Literal["dense"]:
    """Convert a command's argument to P, the number of dots per label, or dense."""
    if text != "dense" and not text.isdecimal():
        raise ArgumentTypeError(f"'{text}' is neither a number of dots nor dense")
    return "dense" if text == "dense" else int(text)


def paths_as_written(argv: Sequence[str]) -> list[str]:
    """Quote the paths in a command line for Hydra, see `settings.paths`; exit with code 2 if one is invalid."""
    from guided_seg.settings.paths import take_paths_as_written

    try:
        check_text(argv)
        return take_paths_as_written(argv)
    except UserError as problem:
        refuse(str(problem))


def check_overrides(config_name: str, argv: Sequence[str], module: str = CONF) -> None:
    """Compose once before Hydra does; exit with code 2 and one sentence if that fails.

    Args:
        config_name: the primary config.
        argv: the command line without the program.
        module: the package of the configs.
    """
    from guided_seg.settings.overrides import find_problem

    problem = find_problem(config_name, argv, module)
    if problem is not None:
        refuse(problem)


def kind_errors(job: Callable[[DictConfig], T]) -> Callable[[DictConfig], T]:
    """Wrap a job so that a `UserError` ends it with one sentence and exit code 2.

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
    """The message of the `UserError` or full disk behind ``error``, which Hydra wraps; None if there is neither."""
    for cause in causes(error):
        if isinstance(cause, UserError):
            # a data worker sends its traceback as the message, with the sentence at the end
            return re.split(r"\n(?:\w+\.)+\w+: ", str(cause))[-1].strip()
        if sentence := full_disk(cause):
            return sentence
    return None


def _taken_away(error: BaseException, argv: Sequence[str]) -> str | None:
    """The message for a setting that was removed with ``~``; None for other errors."""
    from omegaconf.errors import OmegaConfBaseException

    for cause in causes(error):
        if not isinstance(cause, OmegaConfBaseException | TypeError):
            continue
        for word in argv:
            key = word.removeprefix("~").partition("=")[0].partition("@")[0]
            if word.startswith("~") and re.search(rf"\b{re.escape(key.rpartition('.')[2])}\b", str(cause)):
                return f"{word} removes a setting that the command needs; leave it out, or set {key}=... instead."
    return None


def refuse(sentence: str) -> NoReturn:
    """Print the sentence on stderr and exit with code 2."""
    message = Text.assemble(("error: ", "bold red"), sentence)
    Console(stderr=True).print(message, soft_wrap=True)
    raise SystemExit(2)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and its causes, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__

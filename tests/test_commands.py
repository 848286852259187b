"""The commands of README, the docs, the experiments and --help, as they stand, in bash, zsh and fish."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from support.commands import call

from guided_seg.__main__ import COMMANDS
from guided_seg.cli.run_folders import register_resolvers
from guided_seg.cli.words import split
from guided_seg.settings.overrides import find_problem
from guided_seg.settings.paths import take_paths_as_written

REPOSITORY = Path(__file__).parents[1]
PAGES = [
    *(REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))),
    *sorted((REPOSITORY / "experiments").glob("**/README.md")),
]
TEXTS = [page for page in PAGES if "experiments" not in page.parts]
CONFIGS = {
    "app": "app",
    "segment": "segment",
    "run": "config",
    "data.prepare": "prepare",
    "data.inspect": "inspect",
    **{name: name for name in ("evaluate", "episodes", "export", "release", "benchmark")},
}
"""Command -> its primary config."""

COMMENT = re.compile(r"\s+#\s.*$")
"""At the end of a command: an interactive zsh hands it over as arguments, which commands pass over."""

SPECIAL = re.compile(r"[*?\[\]{}()<>|;&!^`$]")
"""What zsh or fish, or both, would expand or refuse outside quotes."""


def _logical_lines(text: str) -> Iterator[str]:
    """The lines of a shell, those that end in a backslash joined with the next."""
    yield from re.sub(r"\\\n\s*", " ", text).splitlines()


def _commands(path: Path) -> Iterator[str]:
    """The commands of a page that call this package."""
    text = path.read_text(encoding="utf-8")
    fenced = re.findall(r"^```(?:bash|sh)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    rest = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    inline = re.findall(r"`((?:python -m guided_seg|guided-seg)[^`]*)`", rest)
    for line in [line for block in fenced for line in _logical_lines(block)] + inline:
        command = line.strip()
        if re.search(r"python -m guided_seg|^guided-seg ", command) and "..." not in command:
            yield command


def _examples() -> Iterator[str]:
    """The commands of --help."""
    for name in CONFIGS:
        of_a_package = name in ("app", "benchmark", "export", "release", "segment")
        module = import_module(f"guided_seg.{name}.__main__" if of_a_package else f"guided_seg.{name}")
        yield from (f"{module.COMMAND} {example}" for example in module.EXAMPLES)


ALL = sorted({command for page in PAGES for command in _commands(page)} | set(_examples()))


@cache
def _outside_quotes(command: str) -> str:
    return re.sub(r"'[^']*'|\"[^\"]*\"", "''", command)


def test_there_are_commands() -> None:
    assert len(ALL) > 60
    assert any("data.root=~/data/voc2012" in command for command in ALL)


@pytest.mark.parametrize("command", ALL)
def test_a_command_has_nothing_that_another_shell_reads_otherwise(command: str) -> None:
    bare = _outside_quotes(command)
    assert bare.count("'") % 2 == 0
    assert not SPECIAL.search(bare), "quote it: zsh and fish expand or refuse this"
    assert not re.search(r"(^|\s)~(?!/)", bare), "quote it: zsh takes ~name for a user"
    assert not re.search(r"(^|\s)=", bare), "zsh takes =name for a program"
    assert shlex.split(command)


@pytest.mark.parametrize("command", ALL)
def test_a_command_is_one_that_the_check_accepts(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(COMMENT.sub("", command))
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    if words[0] == "guided-seg":
        name, argv = (words[1], words[2:]) if words[1] in COMMANDS else ("run", words[1:])
    else:
        name, argv = words[2].partition("guided_seg.")[2], words[3:]
    if name in ("app", "segment"):
        argv = split(argv)[1]
    if name == "episodes":
        verb, *argv = argv
        assert verb in ("freeze", "show")
    if not argv or name not in CONFIGS or "--help" in argv or (name == "episodes" and verb == "show"):
        assert name in (*CONFIGS, "study", "dashboard", "compare", "training.replay", "distributed.slurm")
        return
    monkeypatch.chdir(tmp_path)
    for made in ("outputs/late_global/RUN/checkpoints/last.ckpt", "my/conf/conditioning/product.yaml"):
        (tmp_path / made).parent.mkdir(parents=True)
        (tmp_path / made).touch()
    register_resolvers()
    argv = [word.replace("EXPERIMENT", "late_global").replace("+experiment=NAME", "+experiment=fused") for word in argv]
    given = {word.partition("=")[0] for word in argv}
    needed = [f"{key}=x" for key in ("checkpoint", "name") if name == "release" and key not in given]
    assert find_problem(CONFIGS[name], take_paths_as_written([*argv, *needed]), "guided_seg.conf") is None


UNQUOTED = re.compile(r"(?<!['\w./+])(?:\+?[a-z_][\w.]*=\[[^\]`\s]*\]|~[a-z][\w.]+)(?!')")
"""An override, in a text, that cannot be copied into zsh."""


def _passages() -> Iterator[tuple[str, str]]:
    """What README and the docs have between backticks, and the comments of the configs."""
    for page in TEXTS:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        yield from ((page.name, span) for span in re.findall(r"`[^`\n]+`", text) if '"' not in span)
    for path in sorted((REPOSITORY / "conf").rglob("*.yaml")):
        lines = map(str.strip, path.read_text(encoding="utf-8").splitlines())
        yield from ((path.name, line) for line in lines if line.startswith("#"))


def test_an_override_in_a_text_can_be_copied_into_any_shell() -> None:
    passages = list(_passages())
    assert len(passages) > 300
    assert [(name, passage) for name, passage in passages if UNQUOTED.search(passage)] == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "experiments" not in page.parts], ids=lambda page: page.name
)
def test_only_our_own_commands_end_in_a_comment(page: Path) -> None:
    """Others, such as make and pip, would take it for arguments in zsh."""
    blocks = re.findall(r"^```(?:bash|sh)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in _logical_lines(block) if not line.startswith("#")]
    assert [
        line for line in lines if COMMENT.search(line) and "guided_seg" not in line and "guided-seg" not in line
    ] == []


def test_a_comment_that_zsh_hands_over_is_passed_over(tmp_path: Path) -> None:
    done = call("data.inspect", *["data=shapes", "data.size=8", "#", "counts,", "class", "balance"], folder=tmp_path)
    assert done.stderr == "error: data.size=8 leaves no room for objects; use at least 32 pixels.\n"
    done = call("episodes", *["show", "#", "nothing"], folder=tmp_path)
    assert "show needs a file" in done.stderr

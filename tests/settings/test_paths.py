"""A path on the command line is taken as the shell hands it over, whatever characters it has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from omegaconf import OmegaConf
from support.archives import noise_folder
from support.commands import CONF, call, last_line

from guided_seg.cli.command import check_text
from guided_seg.cli.run_folders import slug
from guided_seg.compare import main as compare
from guided_seg.errors import UserError
from guided_seg.settings.overrides import find_problem
from guided_seg.settings.paths import PATHS, is_path, suggestion, take_paths_as_written
from guided_seg.study.__main__ import main as study

NAMES = (
    *("größe", "größe 图", "photos (1)", "a=b", "x,y", "Andre's", "a#1", 'say "hi"', "[a,b]", "{a:b}", "a&b;c|d"),
    *("~tilde", "$HOME", "100%", "2012", "1e3", "true", "nan", " blank ", "back\\slash", "ends\\", "'", '"', "a:b"),
    *(
        "${HOME",
        "null.",
        "!x",
        "*",
        "?",
        "``",
        "tab\there",
        "choice(a,b)",
        "Ω≈ç√",
        "日本語",
        "é\u0301",
    ),
)
KEYS = (
    *("data.root", "data.sbd_root", "data.sources.voc.root", "checkpoint", "ckpt_path", "output_dir", "start_from"),
    *("feature_cache", "archives", "episodes", "folder", "backbone.weights", "hydra.run.dir", "card"),
)


SIGNS = st.sampled_from("\\'\"$[](),=# ~ab:/\n")


def value(word: str) -> object:
    """What a setting has in the end: Hydra reads the override, OmegaConf the value."""
    key, _, _ = word.partition("=")
    found = OverridesParser.create().parse_override(word).value()
    return OmegaConf.create({key: found})[key]


def taken(path: str, *before: str, key: str = "data.root") -> object:
    """The value of a path setting after ``key=path`` was typed."""
    return value(take_paths_as_written([*before, f"{key}={path}"])[-1])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home of ü"))
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("there", [True, False])
def test_a_path_is_taken_as_written(here: Path, name: str, there: bool) -> None:
    if there:
        (here / name).mkdir()
        assert taken(name) == ("./~tilde" if name == "~tilde" else name)
    assert taken(f"./{name}/x") == f"./{name}/x"
    assert taken(f"{here}/{name}") == f"{here}/{name}"


@pytest.mark.parametrize("name", ["${a}", "\\${a}", "x${oc.env:HOME}"])
def test_what_looks_like_an_interpolation_is_a_path_where_it_exists(here: Path, name: str) -> None:
    (here / name).mkdir(parents=True)
    assert taken(name) == name
    assert taken(f"{here}/{name}") == f"{here}/{name}"


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("prefix", ["", "+", "++"])
def test_every_path_setting_is_taken_as_written(key: str, prefix: str) -> None:
    [word] = take_paths_as_written([f"{prefix}{key}=~/größe (1), Andre's #2"])
    assert word.startswith(f"{prefix}{key}=")
    found = OverridesParser.create().parse_override(word)
    assert found.key_or_group == key
    assert str(found.value()).endswith("home of ü/größe (1), Andre's #2")


@examples(max_examples=300, deadline=None)
@given(st.text(SIGNS | st.characters(codec="utf-8", exclude_characters="{\0")))
def test_any_text_is_taken_as_written_and_taking_it_twice_changes_nothing(text: str) -> None:
    path = f"./x{text}"
    [word] = take_paths_as_written([f"data.root={path}"])
    assert value(word) == path
    assert take_paths_as_written([word]) == [word]
    # as a sweep hands it to its jobs
    override = OverridesParser.create().parse_override(word)
    assert value(f"data.root={override.get_value_element_as_str()}") == path


def test_a_plain_path_stays_without_quotes_so_that_run_folders_keep_their_names() -> None:
    line = ["+experiment=late_global", "data.root=../voc", "ckpt_path=last", "seed=1", "~mode", "output_dir=a b"]
    assert take_paths_as_written(line) == line


def test_home_is_expanded_with_and_without_quotes(here: Path) -> None:
    for written in ("~/data", "'~/data'", '"~/data"', "~/a,b", "~"):
        assert str(taken(written)).startswith(f"{here}/home of ü")
    assert taken("./~/data") == "./~/data"


def test_the_home_of_nobody_is_refused() -> None:
    with pytest.raises(UserError, match=r"no user ~nobody-here; for a folder of that name write \./~nobody-here"):
        take_paths_as_written(["data.root=~nobody-here/x"])


def test_null_interpolations_and_quotes_keep_their_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA", "/da ta")
    assert taken("null") is None
    assert taken("'null'") == "null"
    assert taken("${oc.env:DATA}/voc (1)") == "/da ta/voc (1)"
    assert taken("'a (b)'") == taken('"a (b)"') == "a (b)"
    assert taken(r"'a\'b'") == "a'b"


def test_what_exists_is_meant_whatever_its_name_looks_like(here: Path) -> None:
    for name in ("'q'", "${oc.env:HOME}", "choice(a,b)"):
        (here / name).mkdir()
        assert taken(name) == taken(name, "-m") == name


def test_in_a_sweep_a_comma_separates_runs_unless_the_path_exists(here: Path) -> None:
    (here / "x,y").mkdir()
    assert taken("x,y", "-m") == "x,y"
    [_, word] = take_paths_as_written(["-m", "data.root=~/a b,größe,'c,d'"])
    several = OverridesParser.create().parse_override(word)
    assert list(several.sweep_string_iterator()) == [f'"{here}/home of ü/a b"', '"größe"', '"c,d"']
    for sweep in ("choice(a,b)", "a,b"):
        [_, word] = take_paths_as_written(["--multirun", f"data.root={sweep}"])
        assert OverridesParser.create().parse_override(word).is_sweep_override()
    assert taken("a,b") == "a,b"


@pytest.mark.parametrize("word", ["data.root=", "checkpoint= ", "++output_dir="])
def test_an_empty_path_is_refused(word: str) -> None:
    with pytest.raises(UserError, match=r"is not a path; .* is a shell variable empty\?"):
        take_paths_as_written([word])


def test_a_name_in_another_encoding_is_refused_in_a_sentence(here: Path) -> None:
    done = call("data.inspect", "data=folder", "data.root=gr\udcf6\udcdfe", folder=here)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is not UTF-8 text; rename the file or folder" in done.stderr
    with pytest.raises(UserError, match="not UTF-8 text"):
        check_text(["--out=gr\udcf6"])


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("name=a (b)", 'name="a (b)"'),
        ("name=Andre's", 'name="Andre\'s"'),
        ("data.held_out=[a (b),cow]", 'data.held_out=["a (b)",cow]'),
        ("hydra.searchpath=[file:///a b(1)/c]", 'hydra.searchpath=["file:///a b(1)/c"]'),
        ("data.held_out=[cow", None),
        ("mode.weights={video:", None),
    ],
)
def test_a_message_shows_the_exact_quoting(line: str, word: str | None) -> None:
    problem = str(find_problem("config", [line], "guided_seg.conf"))
    assert "cannot be read" in problem
    assert "check its brackets" not in problem
    shown = suggestion(line)
    if word is None:
        assert shown is None
        assert problem.endswith("close the bracket or quote: a list is [a,b], and text is in quotes.")
    else:
        assert shown is not None
        assert problem.endswith(f"for that text type {shown}.")
        assert shlex.split(shown) == [word]
        assert OverridesParser.create().parse_override(word)


@pytest.mark.parametrize(
    ("line", "typed"),
    [("‘data.held_out=[cow]’", "type ' instead"), ("“seed=1”", 'type " instead'), ("–m", "type - (or --) instead")],
)
def test_quotation_marks_and_dashes_of_a_text_are_told(line: str, typed: str) -> None:
    assert typed in str(find_problem("config", [line], "guided_seg.conf"))


@pytest.mark.parametrize("line", ["name=größe", "data.held_out=[Kühe,cow]", "logger.wandb.project=été#1", "name=a~b"])
def test_text_with_accents_needs_no_quotes_anywhere(line: str) -> None:
    [word] = take_paths_as_written([line])
    found = OverridesParser.create().parse_override(word).value()
    assert (found if isinstance(found, str) else f"[{','.join(found)}]") == line.partition("=")[2]


NO_PATHS = {
    "data.resolution": "the name of a folder below data.root",
    "logger.tensorboard.name": "the name of a folder below its save_dir",
    "hydra.output_subdir": "the name of a folder below the run folder",
    "evaluation.episodes": "a number",
}
LIKE_A_PATH = re.compile(r"(root|dir|path|folder|file|archives|checkpoint|card|weights|episodes|cache|start_from)$")
IN_WORDS = re.compile(r" # (The|An?) ([\w-]+ )*(folder|file|checkpoint)\b|# Where .* go;")


def _texts() -> Iterator[tuple[str, str]]:
    """Every setting of the configs that may hold text, by its dotted key, and the comment above it."""
    for path in sorted(CONF.rglob("*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        package = path.parent.relative_to(CONF).as_posix().replace("/", ".").strip(".")
        stack: list[tuple[int, str]] = []
        comment = ""
        for line in lines:
            if line.strip().startswith("#"):
                comment += f" {line.strip()}"
                continue
            if match := re.fullmatch(r"(\s*)(\w+):\s*(.*)", line):
                indent = len(match[1])
                stack = [(depth, name) for depth, name in stack if depth < indent] + [(indent, match[2])]
                key = ".".join(name for _, name in stack)
                found = yaml.safe_load(match[3].split(" #")[0] or "{}")
                if found is None or (isinstance(found, str) and not found.startswith("${..")):
                    yield f"{package}.{key}".strip("."), comment
            comment = ""


def test_every_setting_that_is_a_path_is_known_as_one() -> None:
    found = [
        key
        for key, comment in _texts()
        if not key.startswith(("official", "protocol.")) and (LIKE_A_PATH.search(key) or IN_WORDS.match(comment))
    ]
    assert {"data.root", "data.sbd_root", "feature_cache", "card", "folder", "backbone.weights"} <= set(found)
    assert [key for key in found if not is_path(key) and key not in NO_PATHS] == []
    assert all(any(is_path(key) for key in (pattern.replace("*", "x"),)) for pattern in PATHS)


def test_a_run_folder_with_any_name_is_short_enough_and_its_own() -> None:
    for name in ("日本語" * 60, "ü" * 240, "a" * 300):
        assert len(slug(f"data.root={name}").encode()) < 255
    a, b = (take_paths_as_written([f"data.root={name}"])[0] for name in ("a (b", "a )b"))
    assert slug(a) != slug(b)
    assert slug("data.root=../voc,seed=1") == "data.root=.._voc,seed=1"


def test_a_command_finds_a_folder_of_any_name(here: Path) -> None:
    root = here / "home of ü" / "größe 图" / "photos (1), Andre's a=b #2"
    noise_folder(root, [f"{number:02d}" for number in range(6)])
    asked = ("data=folder", f"data.root=~/{root.relative_to(here / 'home of ü')}", "data.min_pixels=10")
    done = call("data.inspect", *asked, "output_dir=out (1), b=c", folder=here)
    assert last_line(done) == str(here / "out (1), b=c")
    assert (here / "out (1), b=c" / "inspect.md").is_file()


def test_the_folder_that_is_named_in_a_message_is_the_one_that_was_typed(here: Path) -> None:
    for name in ("größe", "photos (1)", "a=b", "x,y", "Andre's", "a#1"):
        done = call("data.inspect", "data=folder", f"data.root=./{name}", folder=here)
        assert done.returncode == 2
        assert f"{name} does not exist" in done.stderr


def test_a_file_in_place_of_a_folder_is_refused_before_episodes_are_frozen(here: Path) -> None:
    (here / "file.txt").touch()
    done = call("episodes", "freeze", "folder=file.txt/x", folder=here)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "file.txt is not a folder; choose another with folder=..." in done.stderr


def test_names_of_frozen_episodes_and_of_folders_may_have_blanks(here: Path) -> None:
    asked = ("protocol=clicks", "data=shapes", "data.size=48", "data.tasks=8", "protocol.clicks.episodes=2")
    done = call("episodes", "freeze", *asked, "folder=~/frözen (1)", folder=here)
    assert done.returncode == 0, done.stderr
    assert (here / "home of ü/frözen (1)/clicks.json.gz").is_file()
    shown = call("episodes", "show", "~/frözen (1)/clicks.json.gz", folder=here)
    assert shown.returncode == 0, shown.stderr


def test_compare_and_study_know_home(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = here / "home of ü"
    (home / "c").mkdir(parents=True)
    for argv, named in (
        (["~/a", "~/b"], home / "a"),
        (["~/a", "~/b", "--out=~/c"], home / "c"),
        (["a", "b", f"--out={here}"], "is a folder; give a file in it"),
        (["a", "b", "--out="], "the path is empty; is a shell variable empty?"),
        (["a", "gr\udcf6"], "is not UTF-8 text"),
    ):
        with pytest.raises(SystemExit) as end:
            compare(argv)
        assert end.value.code == 2
        assert str(named) in capsys.readouterr().err
    with pytest.raises(SystemExit):
        study(["~/a"])
    assert str(home / "a") in capsys.readouterr().err

"""The kind side of the command line, on a small set of configs of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from support.processes import ended, python

from guided_seg.cli import command as cli
from guided_seg.cli.help_page import print_help
from guided_seg.errors import DataError, UserError
from guided_seg.settings.overrides import find_problem

CONFIGS = {
    "__init__.py": "",
    "config.yaml": (
        "defaults:\n- backbone: small\n- mode: semantic\n- trainer: default\n- _self_\n\n"
        "seed: 0\noutput_dir: runs\ndebug: false\nsteps: [1, 2]\nckpt_path: null\nalias: ${trainer}\n"
        "sizes: {small: 1, parts: {first: 2}}\n"
        "hydra: {run: {dir: '${output_dir}/${hydra:runtime.choices.mode}'}}\n"
    ),
    "needs_root.yaml": "defaults:\n- config\n- _self_\n\nroot: ???\nsource: {root: '${root}'}\n",
    "needs_mode.yaml": "defaults:\n- mode: ???\n- _self_\n",
    "backbone/small.yaml": "# the small one\nname: small\n",
    "backbone/_shared.yaml": "weights: x\n",
    "backbone/vgg16.yaml": "name: vgg16\nweights: null\n",
    "mode/semantic.yaml": "shots: 1\n",
    "mode/video.yaml": "shots: 1\nframes: 2\n",
    "trainer/default.yaml": "max_steps: 100\nprecision: 32\n",
    "experiment/late_global.yaml": "# @package _global_\n# Late fusion, global guidance.\nseed: 1\n",
    "experiment/paper/figure_3.yaml": "# @package _global_\n# The third figure.\nseed: 2\n",
    "hydra/quiet.yaml": "{}\n",
}


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, text in CONFIGS.items():
        path = tmp_path / "tiny_conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tiny_conf", raising=False)
    monkeypatch.chdir(tmp_path)
    return "tiny_conf"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("bakbone=vgg16", "'bakbone'; did you mean backbone?"),
        ("+bakbone=vgg16", "did you mean +backbone=vgg16?"),
        ("backbone=vgg61", "no backbone=vgg61; did you mean backbone=vgg16? There are: small, vgg16."),
        ("backbone=zzz", "choose one of: small, vgg16."),
        ("backbone=_shared", "There is no backbone=_shared; choose one of: small, vgg16."),
        ("-m backbone=small,vgg61", "did you mean backbone=vgg16?"),
        ("trainer.max_step=3", "'trainer.max_step'; did you mean trainer.max_steps?"),
        ("max_steps=3", "did you mean trainer.max_steps?"),
        ("trainr.precision=16", "did you mean trainer.precision?"),
        ("hydra.run.dri=x", "did you mean hydra.run.dir?"),
        ("qqqqqq=1", "no setting 'qqqqqq'; --help lists"),
        ("mode.frames=3", "no setting 'mode.frames'"),
        ("~sead", "did you mean seed?"),
        ("+experiment=late_globel", "did you mean +experiment=late_global?"),
        ("+experiment=figure_3", "did you mean +experiment=paper/figure_3?"),
        ("experiment=late_global", "needs a plus: +experiment=late_global."),
        ("+experimnt=late_global", "did you mean +experiment=late_global?"),
        ("+backbone=vgg16", "leave out the plus: backbone=vgg16."),
        ("seed=1,2", "seed=1,2 has several values; add -m to run each."),
        ("seed=range(1,3)", "seed=range(1,3) has several values; add -m to run each."),
        ("mode=video,semantic", "mode=video,semantic has several values; add -m to run each."),
        ("steps=1,2", "add -m to run each, or write 'steps=[1,2]' for a list."),
        ("backbone", "'backbone' has no value; an override is key=value"),
        ("seed=[1", "'seed=[1' cannot be read"),
        ("mode=null", "mode=null is not an option; choose one of: semantic, video."),
        ("--epochs 3", "no option --epochs"),
        *((line, f"{line} has no name; settings are written NAME=VALUE") for line in ("=1", "=a", "~", "+=1", "@x=1")),
        ("mode=1.5", "There is no mode=1.5; choose one of: semantic, video."),
        ("~mode=-0.0", "~mode=-0.0: expected the name of the option to remove, or ~mode for any."),
        ("~mode=[video]", "expected the name of the option to remove, or ~mode for any."),
        *(
            (f"hydra/launcher={value}", "hydra/launcher takes the name of an option; found")
            for value in ("1", "null", "[1]", "{a:1}", "range(1,3)")
        ),
        ("~hydra/launcher=1", "expected the name of the option to remove, or ~hydra/launcher for any."),
        ("hydra=1", "There is no hydra=1; choose one of: quiet."),
        *(
            (f"sizes={value}", f"sizes={value}: sizes is a section; set what it contains, as in sizes.small=...")
            for value in ("1", "null", "[]", "big")
        ),
        ("sizes.parts=3", "sizes.parts is a section; set what it contains, as in sizes.parts.first=..."),
        ("-m sizes=1,2", "sizes is a section"),
        (
            "output_dir=tiny_conf/config.yaml",
            "config.yaml is not a folder; choose another with output_dir=...",
        ),
    ],
)
def test_a_slip_is_named_with_the_nearest_right_word(conf: str, argv: str, expected: str) -> None:
    problem = find_problem("config", argv.split(), conf)
    assert problem is not None
    assert expected in problem
    assert "\n" not in problem


@pytest.mark.parametrize(
    "argv",
    [
        "",
        "backbone=vgg16 backbone.weights=x.pth trainer.max_steps=3",
        "+experiment=late_global seed=3",
        "+experiment=paper/figure_3 mode=video mode.frames=4",
        "-m backbone=small,vgg16 seed=range(1,4)",
        "-m +experiment=glob(*)",
        "hydra.mode=MULTIRUN seed=1,2",
        "+trainer.fast_dev_run=true ++bakbone=1 ~seed",
        "steps.0=7 steps=[1,2,3]",
        "hydra.run.dir=elsewhere hydra/job_logging=none",
        "--cfg job",
        "~mode",
        "~mode=semantic",
        "sizes={small:2} sizes.parts=null",
        "--hydra-help nonsense=1",
    ],
)
def test_what_hydra_takes_passes(conf: str, argv: str) -> None:
    assert find_problem("config", argv.split(), conf) is None


def test_a_setting_without_a_value_is_asked_for(conf: str) -> None:
    assert find_problem("needs_root", [], conf) == "root has no default; add root=... to the command."
    assert find_problem("needs_root", ["root=x"], conf) is None
    assert find_problem("needs_root", ["--cfg", "job"], conf) is None


def test_a_group_without_a_default_is_asked_for(conf: str) -> None:
    problem = find_problem("needs_mode", [], conf)
    assert problem is not None
    assert "mode" in problem
    assert find_problem("needs_mode", ["mode=video"], conf) is None
    assert "did you mean mode=video?" in str(find_problem("needs_mode", ["mode=vidoe"], conf))


def test_a_folder_of_ones_own_configs_counts(conf: str, tmp_path: Path) -> None:
    own = tmp_path / "own" / "backbone" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("name: mine\n")
    assert find_problem("config", ["--config-dir", str(tmp_path / "own"), "backbone=mine"], conf) is None
    assert find_problem("config", ["backbone=mine"], conf) is not None


@pytest.mark.parametrize("option", [True, False])
def test_places_of_ones_own_configs_add_up(conf: str, tmp_path: Path, option: bool) -> None:
    for name in ("one", "two three"):
        (tmp_path / name / "backbone").mkdir(parents=True)
        (tmp_path / name / "backbone" / f"{name[:3]}.yaml").write_text("name: mine\n")
    place = ["--config-dir", "one"] if option else []
    listed = '["file://two three"]' if option else '[file://one,"file://two three"]'
    for chosen in ("one", "two", "vgg16"):
        assert find_problem("config", [*place, f"hydra.searchpath={listed}", f"backbone={chosen}"], conf) is None


@pytest.mark.parametrize("place", ["pkg://", "pkg://no.such.package", "pkg://.x", "file:///nowhere", "nonsense"])
def test_a_place_that_is_not_there_has_no_options(conf: str, place: str) -> None:
    problem = find_problem("config", [f"hydra.searchpath=[{place}]", "backbone=vgg61"], conf)
    assert problem == "There is no backbone=vgg61; did you mean backbone=vgg16? There are: small, vgg16."


def test_a_folder_that_may_not_be_written_is_refused(conf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    problem = find_problem("config", [], conf)
    assert problem is not None
    assert "is not writable" in problem


def test_checking_leaves_hydra_as_it_was(conf: str) -> None:
    find_problem("config", ["backbone=vgg61"], conf)
    find_problem("config", [], conf)
    assert not GlobalHydra.instance().is_initialized()
    assert HydraConfig.instance().cfg is None


def test_refusal_is_one_line_on_stderr_with_code_2(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.check_overrides("config", ["backbone=vgg61"], conf)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: There is no backbone=vgg61; did you mean backbone=vgg16? There are: small, vgg16.\n"


def test_help_lists_experiments_groups_and_examples(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_help("python -m guided_seg.run", ["+experiment=late_global"], "config", conf)
    out, _ = capsys.readouterr()
    assert "small*  vgg16" in out
    assert "late_global" in out
    assert "Late fusion, global guidance." in out
    assert "paper/figure_3" in out
    assert "python -m guided_seg.run +experiment=late_global" in out
    assert "quiet" not in out
    assert "_shared" not in out


def test_help_is_only_given_when_asked_for(conf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "CONF", conf)
    cli.help_if_asked(["seed=1"], "run", [])
    with pytest.raises(SystemExit) as caught:
        cli.help_if_asked(["--help"], "run", [])
    assert caught.value.code == 0


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from guided_seg.cli import command as cli, help_page; "
        "print([name for name in ('torch', 'hydra', 'cv2', 'matplotlib') if name in sys.modules])"
    )
    assert python("-c", code, limit=60).strip() == "[]"


def _raise(error: Exception, cause: Exception | None = None) -> Callable[[DictConfig], None]:
    def job(_: DictConfig) -> None:
        raise error from cause

    return job


@pytest.mark.parametrize(
    "job",
    [
        _raise(DataError("No images in x.")),
        _raise(RuntimeError("Error in call to target"), DataError("No images in x.")),
        _raise(DataError("Caught it in worker 0.\nOriginal Traceback:\n  File x\na.b.DataError: No images in x.\n")),
    ],
)
def test_a_user_error_ends_in_its_sentence(
    job: Callable[[DictConfig], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.kind_errors(job)(OmegaConf.create())
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: No images in x.\n"


def test_debug_and_other_errors_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError):
        cli.kind_errors(_raise(UserError("x")))(OmegaConf.create({"debug": True}))
    with pytest.raises(KeyError):
        cli.kind_errors(_raise(KeyError("x")))(OmegaConf.create())
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(UserError):
        cli.kind_errors(_raise(UserError("x")))(OmegaConf.create())


PROGRAM = """
from guided_seg.cli import command as cli
from guided_seg.errors import UserError

cli.CONF = "tiny_conf"

@cli.command("program", "config", ["seed=2"])
def job(cfg):
    if cfg.seed == 3:
        raise UserError("Three is [not] a seed.")
    print("seed", cfg.seed)

if __name__ == "__main__":
    job()
"""


@pytest.mark.usefixtures("conf")
def test_a_job_becomes_a_command(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def call(*argv: str) -> CompletedProcess[str]:
        return ended(sys.executable, program, *argv, limit=60)

    assert call("-m", "seed=1,2").stdout.count("seed ") == 2
    assert "program seed=2" in call("--help").stdout
    failed = call("seed=3")
    assert (failed.returncode, failed.stderr) == (2, "error: Three is [not] a seed.\n")


@pytest.mark.parametrize("argv", [["-m", "--cfg", "job"], ["--run", "--multirun"], ["--info", "all", "--cfg", "all"]])
def test_options_that_do_not_go_together_are_refused(argv: list[str]) -> None:
    problem = find_problem("config", argv, "guided_seg.conf")
    assert problem is not None
    assert problem.endswith("cannot be combined; keep one of them.")

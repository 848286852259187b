"""How commands end, and what their output may be."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from support.processes import ended, started

from guided_seg.cli.command import kind_errors
from guided_seg.cli.program import program

INTERRUPT = """
import os, runpy, signal, sys
module, sys.argv[:] = sys.argv[2], sys.argv[2:]
def interrupt(event, arguments, at=os.environ["INTERRUPT_AT"]):
    if event == "import" and arguments[0] == at:
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(interrupt)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("line", "at"),
    [
        ("run +experiment=late_global", "hydra"),
        ("run +experiment=late_global", "torch"),
        ("evaluate checkpoint=guided-lite0", "torch"),
        ("data.inspect data=shapes", "matplotlib"),
        ("episodes freeze protocol=pascal5i data=shapes", "numpy"),
        ("study runs", "guided_seg.study.study"),
        ("compare a b", "guided_seg.protocols.comparison"),
    ],
)
def test_ctrl_c_ends_a_command_in_a_word_while_it_imports(tmp_path: Path, line: str, at: str) -> None:
    done = ended(
        sys.executable, "-c", INTERRUPT, "-m", *f"guided_seg.{line}".split(), limit=120, folder=tmp_path,
        INTERRUPT_AT=at,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "Interrupted.\n")


TWICE = """
import os, signal
from guided_seg.cli.program import program
class Late:
    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.SIGINT):
        kill(pid, number)
late = Late()
@program
def main():
    os.kill(os.getpid(), signal.SIGINT)
main()
"""


def test_a_second_ctrl_c_while_python_ends_changes_nothing() -> None:
    done = ended(sys.executable, "-c", TWICE, limit=60)
    assert (done.returncode, done.stderr) == (130, "Interrupted.\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full, a device that is always full")
def test_an_output_that_is_full_ends_in_a_sentence() -> None:
    with (
        Path("/dev/full").open("w") as full,
        started(sys.executable, "-m", "guided_seg.run", "--help", limit=60, stdout=full) as process,
    ):
        _, err = process.communicate()
    assert err == "error: There is no space left to write the output; free some and repeat the command.\n"
    assert process.returncode == 2


def test_an_output_without_some_characters_shows_their_codes() -> None:
    line = (sys.executable, "-m", "guided_seg.run")
    shown = ended(*line, "--help", limit=60, PYTHONIOENCODING="ascii", COLUMNS="20")
    assert shown.returncode == 0, shown.stderr
    assert "guided_seg" in shown.stdout
    refused = ended(*line, "größe=1", limit=60, PYTHONIOENCODING="ascii")
    assert refused.returncode == 2
    assert r"gr\xf6\xdfe" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_reader_that_has_seen_enough_ends_a_command_without_a_word() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        with started(sys.executable, "-m", "guided_seg.run", "--help", limit=60, stdout=writing) as process:
            _, err = process.communicate()
    finally:
        os.close(writing)
    assert (process.returncode != 0, err) == (True, "")


def _raises(error: BaseException) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (OSError(errno.ENOSPC, "No space", "a/b.ckpt"), 2, "error: There is no space left to write a/b.ckpt; free"),
        (OSError(errno.EDQUOT, "Quota", "a/b.ckpt"), 2, "error: There is no space left to write a/b.ckpt; free"),
    ],
)
def test_a_command_ends_in_a_word(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        program(_raises(error))()
    assert caught.value.code == code
    assert capsys.readouterr().err.startswith(said)


def test_other_errors_pass() -> None:
    with pytest.raises(PermissionError):
        program(_raises(PermissionError(errno.EACCES, "no")))()


def test_a_full_disk_within_a_job_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "here/last.ckpt")
    with pytest.raises(SystemExit) as caught:
        kind_errors(lambda _: _raises(full)())(OmegaConf.create())
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: There is no space left to write here/last.ckpt; free some")

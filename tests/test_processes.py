"""The tests give the same result however they were started."""

from __future__ import annotations

import ast
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import IGNORABLE, TookTooLong, ended, kept, python, started

TESTS = Path(__file__).parent
STARTERS = {
    *("subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output", "subprocess.Popen"),
    *("subprocess.getoutput", "subprocess.getstatusoutput", "os.system", "os.popen", "os.fork", "os.posix_spawn"),
    *("multiprocessing.Process", "multiprocessing.Pool", "multiprocessing.get_context", "pty.spawn"),
    *("concurrent.futures.ProcessPoolExecutor", "asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell"),
}
HANDLERS = "import signal; print([signal.getsignal(s) for s in (1, 2, 3, 15)], signal.pthread_sigmask(0, []))"


@pytest.mark.parametrize("file", sorted(TESTS.rglob("*.py")), ids=lambda file: str(file.relative_to(TESTS)))
def test_every_process_is_started_by_one_function(file: Path) -> None:
    if file.name == "processes.py":
        pytest.skip("is that one")
    assert list(starts(file.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess\nsubprocess.run(['a'], timeout=3)",
        "from subprocess import Popen as P\nP('a')",
        "import subprocess as sp\nsp.check_output(['a'])",
        "from os import system\nsystem('a')",
        "from multiprocessing import get_context\nget_context('spawn')",
        "import os\nos.fork()",
    ],
)
def test_a_process_started_otherwise_is_found(code: str) -> None:
    assert len(list(starts(code))) == 1


def starts(code: str) -> Iterator[str]:
    """Each call that starts a process, by the name and line of its function."""
    tree, names = ast.parse(code), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name.partition(".")[0]: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        first, *rest = ast.unparse(node.func).split(".")
        if (name := ".".join([names.get(first, first), *rest])) in STARTERS:
            yield f"{name} in line {node.lineno}"


@pytest.mark.parametrize("number", IGNORABLE)
@pytest.mark.parametrize("how", ["ignored", "blocked"])
def test_a_process_has_the_default_handlers(number: signal.Signals, how: str) -> None:
    usual = python("-c", HANDLERS, limit=30)
    handler, mask = signal.getsignal(number), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        if how == "ignored":
            signal.signal(number, signal.SIG_IGN)
        else:
            signal.pthread_sigmask(signal.SIG_BLOCK, [number])
        assert python("-c", HANDLERS, limit=30) == usual
        assert how == "blocked" or signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    assert "SIG_IGN" not in usual
    assert usual.endswith("set()\n")


def test_a_process_and_what_it_started_is_killed_at_its_limit(tmp_path: Path) -> None:
    child = "import time; time.sleep(60)"
    code = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {child!r}])\nprint(p.pid, flush=True)"
    began = time.monotonic()
    with pytest.raises(TookTooLong, match=r"killed after 1 s: .*python"):
        # the child keeps the pipe of the output open
        ended(sys.executable, "-c", f"{code}\nopen('pid', 'w').write(str(p.pid))\np.wait()", limit=1, folder=tmp_path)
    assert time.monotonic() - began < 20
    assert not alive(int((tmp_path / "pid").read_text()))


def test_what_a_process_started_ends_with_the_block() -> None:
    child = "import time; time.sleep(60)"
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {child!r}]).pid)"
    with started(sys.executable, "-c", code, limit=30) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
    assert not alive(pid)


def alive(pid: int) -> bool:
    """Whether a process runs still, a moment after it was killed; one that nobody has waited for does not."""
    stat = Path(f"/proc/{pid}/stat")
    for _ in range(100):
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        time.sleep(0.05)
    return True


def test_a_process_has_no_input() -> None:
    assert python("-c", "import sys; print(repr(sys.stdin.read()))", limit=30) == "''\n"


def test_the_tests_keep_nothing_of_the_shell_but_what_is_meant_for_them() -> None:
    meant = {"PATH": "/bin", "TMPDIR": "/tmp/é", "CUDA_VISIBLE_DEVICES": "", "GUIDED_SEG_DATA": "data"}
    other = {
        "LC_ALL": "tr_TR.ISO-8859-9",
        "LANG": "C",
        "TZ": "Asia/Kathmandu",
        "COLUMNS": "20",
        "TERM": "dumb",
        "HYDRA_FULL_ERROR": "1",
        "WANDB_API_KEY": "x",
        "WANDB_MODE": "online",
        "OMP_NUM_THREADS": "64",
        "XDG_CACHE_HOME": "/",
        "HOME": "/",
        "SLURM_NTASKS": "8",
        "RANK": "1",
        "MAKEFLAGS": "w",
        "MAKELEVEL": "1",
        "PYTHONWARNINGS": "ignore",
        "PYTHONHASHSEED": "0",
        "MPLBACKEND": "TkAgg",
        "FORCE_COLOR": "1",
    }
    assert kept(meant | other) == meant


def test_this_process_has_a_home_of_its_own() -> None:
    assert "guided_seg-home-" in os.environ["HOME"]
    assert Path.home() == Path(os.environ["HOME"])
    assert not set(os.environ) & {"TZ", "COLUMNS", "TERM", "NO_COLOR", "HYDRA_FULL_ERROR", "MAKEFLAGS", "LC_ALL"}

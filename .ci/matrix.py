"""Run the fast tests on each Python that there is, and with the lowest versions that setup.cfg allows.

python .ci/matrix.py [OPTIONS OF PYTEST]

Each has an environment of its own in .venv-matrix, made by uv, which the next call uses again. A version that fails
here moves the bound in setup.cfg.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".venv-matrix"
UV = Path(sysconfig.get_path("scripts")) / "uv"
OLD = ("-W", "ignore::DeprecationWarning", "-W", "ignore::PendingDeprecationWarning")
"""The lowest versions call what their neighbours, which are as new as they can be, advise against."""


class Kind(NamedTuple):
    """An environment: which Python, which versions, and options of pytest in it."""

    python: str
    resolution: str = "highest"
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How it is called."""
        return self.python if self.resolution == "highest" else f"{self.python}-lowest"


KINDS = (Kind("3.11"), Kind("3.12"), Kind("3.13"), Kind("3.11", "lowest-direct", OLD))


def uv(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """What uv says on stdout; its errors are shown."""
    return subprocess.run([UV, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)


def interpreter(version: str) -> Path | None:
    """A Python of this version: on the path, or of pyenv, whose names on the path do not all lead to one."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    named = shutil.which(f"python{version}")
    for path in (*([Path(named)] if named else []), *sorted(pyenv.glob(f"{version}.*/bin/python"))):
        told = subprocess.run([path, "-VV"], capture_output=True, text=True, check=False)
        if told.stdout.startswith(f"Python {version}."):
            return path
    return None


def outcome(kind: Kind, options: list[str]) -> str:
    """Make the environment and run the tests in it: ``passed``, or why not."""
    found = interpreter(kind.python)
    if found is None:
        return "not on this machine"
    python = FOLDER / kind.name / "bin" / "python"
    if not python.exists() and uv("venv", "--quiet", "--python", found, FOLDER / kind.name).returncode:
        return "no environment"
    install = ("pip", "install", "--quiet", "--python", python, "--resolution", kind.resolution)
    if uv(*install, "--editable", ".[test]").returncode:
        return "not installed"
    line = [python, "-m", "pytest", "-q", "-m", "not slow", *kind.options, *options]
    code = subprocess.run(line, cwd=ROOT, check=False).returncode
    return "passed" if code == 0 else f"failed ({code})"


def main(options: list[str]) -> int:
    """Run all; 1 if tests failed, or could not be run on a Python that is there."""
    found = {}
    for kind in KINDS:
        sys.stdout.write(f"=== {kind.name}\n")
        sys.stdout.flush()
        found[kind.name] = outcome(kind, options)
    sys.stdout.writelines(f"{name:12} {said}\n" for name, said in found.items())
    return int(any(said not in ("passed", "not on this machine") for said in found.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

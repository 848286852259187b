"""What a run ran on and with: the machine, the versions, the state of the code, and the command."""

from __future__ import annotations

import os
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

_SECRET = re.compile(r"(?i)^([^=]*(?:key|token|secret|passw|credential)[^=]*=).+", re.DOTALL)
_LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def environment() -> dict[str, Any]:
    """The environment of this process as plain values, without variables and without secrets.

    Keys:
        command: the command line, with ``***`` for the values of settings that are secret by their name and for
            logins in addresses.
        python, platform, host: of the interpreter and the machine.
        cpu, cpus: the model of the processor, and the number of cores.
        gpus, cuda: names of the GPUs, and the version of CUDA that PyTorch was built with; empty and None without.
        git: commit of the code and whether it has changes; None if it is not in a git repository.
        packages: name -> version of every installed package.
    """
    return {"command": [hidden(word) for word in sys.argv], **_machine()}


@cache  # the jobs of a sweep are many, and git and the packages take a tenth of a second
def _machine() -> dict[str, Any]:
    import torch

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "cpu": _processor(),
        "cpus": os.cpu_count(),
        "gpus": [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
        "cuda": torch.version.cuda,
        "git": git_state(Path(__file__).resolve().parent),
        "packages": dict(sorted((each.name, each.version) for each in distributions() if each.name)),
    }


def hidden(word: str) -> str:
    """A word of a command line without what should not be known.

    Example:
        >>> hidden("logger.wandb.api_key=12ab"), hidden("https://me:12ab@host/x"), hidden("seed=1")
        ('logger.wandb.api_key=***', 'https://***@host/x', 'seed=1')
    """
    return _LOGIN.sub("***", _SECRET.sub(r"\1***", word))


def git_state(folder: Path) -> dict[str, Any] | None:
    """The commit of the repository that holds a folder's files, and whether tracked files have changes; or None."""
    if _git(folder, "ls-files", "--error-unmatch", ".") is None:  # the folder may be ignored, as an environment is
        return None
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain", "--untracked-files=no")
    return None if commit is None or changes is None else {"commit": commit, "dirty": bool(changes)}


def _git(folder: Path, *words: str) -> str | None:
    line: Sequence[str] = ("git", "-C", str(folder), *words)
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL, check=False)
    except (OSError, subprocess.TimeoutExpired):  # no git, or a disk that does not answer
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    """The model of the processor, as Linux names it; elsewhere what Python knows."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()

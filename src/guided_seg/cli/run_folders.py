"""Names of run folders, the search for the newest run, and what a run ran on."""

from __future__ import annotations

import re
import zlib
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from guided_seg.errors import UserError
from guided_seg.files.text import read_json
from guided_seg.files.writing import write_json
from guided_seg.machine.environment import environment

OUTPUTS = Path("outputs")

ENVIRONMENT = "environment.json"
"""The file in a run folder with an entry for each start of the run."""

CHECKPOINTS = "checkpoints"
"""The folder of checkpoints in a run folder."""
BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"
"""The best checkpoint in validation, the last one, and the last but one."""


def register_resolvers() -> None:
    """Register ``${guided_seg.run_dir:name,ckpt_path}`` and ``${guided_seg.slug:text}``; may be called repeatedly."""
    OmegaConf.register_new_resolver("guided_seg.run_dir", _run_dir, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("guided_seg.slug", slug, replace=True)


def _run_dir(name: str, ckpt_path: str | None) -> str:
    """A new folder for a new run; the existing one for a resume."""
    if ckpt_path == "last" and (newest := newest_run(name)):
        return str(newest)
    if ckpt_path not in (None, "last") and (run := _run_of(Path(ckpt_path))):
        return str(run)
    return str(OUTPUTS / name / f"{datetime.now():%Y-%m-%d_%H-%M-%S_%f}")


def _run_of(path: Path) -> Path | None:
    """The run folder that a path is, or that of a checkpoint in it; None for any other file."""
    if path.is_dir():
        return path
    return path.parent.parent if path.parent.name == CHECKPOINTS else None


def slug(text: str) -> str:
    """A folder name for the overrides of a job, without separators and short enough for any file system.

    Example:
        >>> slug("+experiment=late_global,data.root=../voc,seed=1")
        '+experiment=late_global,data.root=.._voc,seed=1'
    """
    plain = re.sub(r"[^\w.,=+\-\[\]]", "_", text)
    size = len(plain.encode())
    # quoted values may differ only in characters that become _
    if size <= 200 and not set("'\"") & set(text):
        return plain
    return f"{plain.encode()[:190].decode(errors='ignore')}~{zlib.crc32(text.encode()):08x}"


def newest_run(name: str) -> Path | None:
    """The run of this name that was saved last; one that was never saved counts from its start. None without any."""
    found = [(when, run) for run in (OUTPUTS / name).glob("*/") if (when := _last_sign(run))]
    return max(found)[1] if found else None


def _last_sign(run: Path) -> float:
    """When a run began or was last saved; 0 if it is none."""
    names = ("config.yaml", *(f"{CHECKPOINTS}/{name}" for name in (LAST, PREVIOUS)))
    return max((path.stat().st_mtime for name in names if (path := run / name).is_file()), default=0.0)


def note_environment(run_dir: Path, step: int | None) -> dict[str, Any]:
    """Add the environment of this process to ``environment.json``, and return it.

    Args:
        run_dir: the run folder.
        step: the step with which the run goes on; None for a new run, which forgets what another had noted there.
    """
    here = {"from_step": step or 0, **environment()}
    write_json(run_dir / ENVIRONMENT, [*([] if step is None else read_environments(run_dir)), here])
    return here


def read_environments(run_dir: Path) -> list[dict[str, Any]]:
    """The environment of each start of a run; none if the file is missing or damaged, which harms no scores."""
    try:
        found = read_json(run_dir / ENVIRONMENT, "list of environments")
    except UserError:
        return []
    return [each for each in found if _is_environment(each)] if isinstance(found, list) else []


def _is_environment(entry: Any) -> bool:
    kinds = {"git": dict | None, "gpus": list | None}
    return isinstance(entry, dict) and all(isinstance(entry.get(key), kind) for key, kind in kinds.items())

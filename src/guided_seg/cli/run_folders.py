"""Names of run folders, and the search for the newest run."""

from __future__ import annotations

import re
import zlib
from datetime import datetime
from pathlib import Path

from omegaconf import OmegaConf

from guided_seg.errors import UserError

OUTPUTS = Path("outputs")


def register_resolvers() -> None:
    """Register ``${guided_seg.run_dir:name,ckpt_path}`` and ``${guided_seg.slug:text}``; may be called repeatedly."""
    OmegaConf.register_new_resolver("guided_seg.run_dir", _run_dir, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("guided_seg.slug", slug, replace=True)


def _run_dir(name: str, ckpt_path: str | None) -> str:
    """A new folder for a new run; the existing one for a resume."""
    if ckpt_path == "last":
        return str(newest_run(name))
    if ckpt_path is not None and (path := _checkpoint_of(ckpt_path)).parent.name == "checkpoints":
        return str(path.parent.parent)
    return str(OUTPUTS / name / f"{datetime.now():%Y-%m-%d_%H-%M-%S_%f}")


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


def newest_run(name: str) -> Path:
    """The run of this name with the most recent ``last.ckpt``.

    Raises:
        UserError: there is none.
    """
    found = sorted((OUTPUTS / name).glob("*/checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(
            f"ckpt_path=last found no {OUTPUTS / name}/*/checkpoints/last.ckpt; give output_dir=FOLDER of the run to "
            "resume, ckpt_path=FILE, or leave ckpt_path out to start anew."
        )
    return found[-1].parent.parent


def last_checkpoint(run_dir: Path, ckpt_path: str | None) -> Path | None:
    """The checkpoint of ``ckpt_path`` for a run in ``run_dir``; None to start from scratch.

    Raises:
        UserError: it does not exist.
    """
    if ckpt_path is None:
        return None
    path = run_dir / "checkpoints" / "last.ckpt" if ckpt_path == "last" else _checkpoint_of(ckpt_path)
    if not path.is_file():
        raise UserError(f"There is no checkpoint {path} to resume from; check ckpt_path and output_dir.")
    return path


def _checkpoint_of(ckpt_path: str) -> Path:
    """The file of ``ckpt_path``: itself, or the last checkpoint of a run folder."""
    path = Path(ckpt_path)
    return path / "checkpoints" / "last.ckpt" if path.is_dir() else path

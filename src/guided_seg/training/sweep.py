"""Run the jobs of a sweep: skip complete ones, resume interrupted ones, and report failures at the end.

Hydra's own launcher stops a sweep when a job exits, and reports only one failure, after the last job. So a job of a
sweep never raises. It writes the reason to its folder (`ERROR`), and `report` lists all failures.
"""

from __future__ import annotations

import gc
import math
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from omegaconf import DictConfig
from rich.console import Console
from rich.text import Text

from guided_seg.cli.command import causes, user_sentence
from guided_seg.cli.run_folders import register_resolvers
from guided_seg.errors import CompositionError, UserError

if TYPE_CHECKING:
    from guided_seg.training.resuming import Start

Status = Literal["done", "skipped", "refused", "failed"]

ERROR = "error.txt"
"""File of an unfinished job: ``refused: SENTENCE`` or ``failed: REASON``, then the traceback."""

_MEANING: dict[Status, str] = {
    "done": "done now",
    "skipped": "complete before",
    "refused": "refused, as their options cannot be combined",
    "failed": "failed",
}


@dataclass(frozen=True)
class Outcome:
    """The result of a job.

    Attributes:
        overrides: overrides of the command line and of the sweep.
        folder: the run folder.
        status: ``done``, ``skipped`` (complete before), ``refused`` (`CompositionError`) or ``failed``.
        reason: one line on why it was refused or failed.
    """

    overrides: tuple[str, ...]
    folder: Path
    status: Status
    reason: str = ""


_outcomes: list[Outcome] = []
"""Outcomes of the sweep in this process; Hydra's launcher returns nothing."""

register_resolvers()  # a process of joblib or submitit composes the job's config before it calls the job

Train = Callable[[DictConfig, Path, "Start"], float]
"""Train and test a config in a folder, from a checkpoint or from scratch; returns the best validation score."""


def run_job(train: Train, cfg: DictConfig, run_dir: Path, overrides: Sequence[str]) -> float:
    """Run one job of a sweep, unless it is complete.

    Args:
        train: the function to run.
        cfg: the job's config.
        run_dir: the job's folder.
        overrides: identify the job in the report.

    Returns:
        The best validation score; NaN if the job was refused or failed.
    """
    try:
        best = _complete(cfg, run_dir)
        status: Status = "done" if best is None else "skipped"
        if best is None:
            (run_dir / ERROR).unlink(missing_ok=True)
            best = train(cfg, run_dir, resumable(cfg, run_dir))
        _outcomes.append(Outcome(tuple(overrides), run_dir, status))
        return best
    except Exception as error:  # noqa: BLE001  # one job must not stop the others
        _outcomes.append(_failed(error, run_dir, tuple(overrides)))
        if cfg.get("debug"):
            traceback.print_exc()
        return math.nan
    finally:
        # trainer and model refer to each other, and would occupy the memory of the next job
        gc.collect()


def hand_over(sweep: Path, number: int) -> None:
    """Leave the outcome of this process's job, of this number, in the folder of the sweep for `report` elsewhere."""
    from guided_seg.distributed import elsewhere

    outcome = _outcomes.pop()
    elsewhere.hand_over(sweep, number, asdict(outcome) | {"folder": str(outcome.folder)})


def report() -> None:
    """Print how the jobs of the sweep ended, if there was one, and exit with code 1 if any failed."""
    from guided_seg.distributed import elsewhere  # imports Hydra

    _outcomes.extend(
        Outcome(tuple(left["overrides"]), Path(left["folder"]), left["status"], left["reason"])
        for left in elsewhere.collected
    )
    elsewhere.collected.clear()
    if not _outcomes:
        return
    counts = Counter(outcome.status for outcome in _outcomes)
    parts = [f"{counts[status]} {meaning}" for status, meaning in _MEANING.items() if counts[status]]
    Console(markup=False).print(f"{len(_outcomes)} jobs: {'; '.join(parts)}.", soft_wrap=True, highlight=False)
    errors, shared = Console(stderr=True), set.intersection(*(set(outcome.overrides) for outcome in _outcomes))
    for outcome in _outcomes:
        if outcome.reason:
            name = " ".join(part for part in outcome.overrides if part not in shared) or "the job"
            line = f": {name}: {outcome.reason} ({outcome.folder})"
            errors.print(Text.assemble((outcome.status, "bold red"), line), soft_wrap=True)
    _outcomes.clear()
    if counts["failed"]:
        raise SystemExit(1)


def resumable(cfg: DictConfig, run_dir: Path) -> Start:
    """Where an earlier, incomplete run of the same config goes on; anew if there is none, or none that can be read."""
    from guided_seg.training.resuming import Start, difference_to, newest

    if difference_to(cfg, run_dir):
        return Start()
    try:
        return newest(cfg, run_dir)
    except UserError:  # of another version
        return Start()


def _complete(cfg: DictConfig, run_dir: Path) -> float | None:
    """The validation score of a complete run of the same config in the folder; None if there is none.

    Raises:
        UserError: the folder holds a complete run of another config, which a new one would destroy.
    """
    from guided_seg.training.resuming import complete, difference_to

    best = complete(run_dir)
    if best is not None and (difference := difference_to(cfg, run_dir)):
        raise UserError(
            f"{run_dir} holds a complete run of another configuration ({difference}); move or delete that folder, or "
            "choose another place with hydra.sweep.dir=..."
        )
    return best


def _failed(error: Exception, run_dir: Path, overrides: tuple[str, ...]) -> Outcome:
    from guided_seg.files.locks import Occupied

    status: Status = "refused" if any(isinstance(cause, CompositionError) for cause in causes(error)) else "failed"
    reason = user_sentence(error) or f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"
    trace = "".join(traceback.format_exception(error))
    run_dir.mkdir(parents=True, exist_ok=True)
    # never write into a complete run of another config, or into that of another process
    if not (run_dir / "metrics.json").exists() and not isinstance(error, Occupied):
        (run_dir / ERROR).write_text(f"{status}: {reason}\n\n{trace}", encoding="utf-8")
    return Outcome(overrides, run_dir, status, reason)

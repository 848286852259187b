"""Weights & Biases logger that never prompts, never stops a run, and keeps its files in the run folder."""

from __future__ import annotations

import logging
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

log = logging.getLogger(__name__)


@rank_zero_only
def wandb_logger(
    save_dir: str | os.PathLike[str],
    project: str = "guided_seg",
    name: str | None = None,
    mode: Literal["auto", "online", "offline"] = "auto",
    id: str | None = None,  # noqa: A002  # as wandb calls it
    **options: Any,
) -> WandbLogger | None:
    """Start a W&B run and return its logger; None if W&B is off or cannot start, and on all ranks but 0.

    Args:
        save_dir: the run folder; files are in its ``wandb/``.
        project: the W&B project.
        name: the run's name; by default the last two parts of the run folder.
        mode: ``auto`` and ``online`` fall back to offline if the start fails; ``WANDB_MODE`` has precedence.
        id: of the run to go on with; None for a new one.
        options: arguments of ``wandb.init``, such as ``entity``, ``group`` or ``tags``.
    """
    name = name or "/".join(Path(save_dir).resolve().parts[-2:])
    chosen = os.environ.get("WANDB_MODE") or mode
    if chosen == "disabled":
        return None
    online = chosen in ("auto", "online")
    if id is not None:
        options = {"id": id, "resume": "allow", **options}
    run, reason = _start_softly(online, dir=str(save_dir), project=project, name=name, **options)
    if run is None:
        return None
    if reason:
        _tell_how_to_sync(run, reason)
    return WandbLogger(experiment=run, name=name, save_dir=str(save_dir), project=project)


def last_id(save_dir: str | os.PathLike[str]) -> str | None:
    """The id of the newest W&B run in a run folder, which W&B writes at the end of the name of the run's own folder."""
    found = Path(save_dir).glob("wandb/*run-*_*-*")
    return max((path.name.partition("run-")[2] for path in found), default="").partition("-")[2] or None


def _start_softly(online: bool, **options: Any) -> tuple[Run | None, str]:
    """Start a run; return it and the reason if it is offline. Falls back from online to offline, and then to no run."""
    reason = "" if online else "offline was asked for"
    for mode in ("online", "offline") if online else ("offline",):
        try:
            return _start(mode, **options), reason
        except Exception as error:  # noqa: BLE001 - a logging service must never stop a training run
            problem = (str(error).strip() or type(error).__name__).splitlines()[0]
            reason = f"it could not start online: {problem}"
    log.warning("W&B could not start (%s); the run continues without it.", problem)
    return None, ""


def _start(mode: str, **options: Any) -> Run:
    import wandb

    Path(options["dir"]).mkdir(parents=True, exist_ok=True)
    settings = wandb.Settings(silent=True, console="off", init_timeout=20)
    wandb.setup(settings)  # silent from the start, so that without a key it fails instead of prompting
    # create_new: the runs of a sweep in one process must not be merged
    run = wandb.init(mode=mode, reinit="create_new", settings=settings, **options)  # type: ignore[arg-type]
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return run


def _tell_how_to_sync(run: Run, reason: str) -> None:
    folder, here = Path(run.settings.sync_dir), Path.cwd()
    folder = folder.relative_to(here) if folder.is_relative_to(here) else folder
    message = f"W&B records offline ({reason}); to upload it later: wandb sync {shlex.quote(str(folder))}"
    Console(stderr=True).print(message, soft_wrap=True, markup=False, highlight=False)

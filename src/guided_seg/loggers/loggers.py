"""Build loggers from the config, log metrics, images and results to all of them, and always close them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from guided_seg.errors import UserError
from guided_seg.loggers.metrics_file import keep_before
from guided_seg.loggers.wandb_run import last_id
from guided_seg.report.results import Results, Score, setting_key, sorted_settings
from guided_seg.settings.choices import choices

log = logging.getLogger(__name__)


def build_loggers(
    config: Mapping[str, Any] | None, run_dir: str | os.PathLike[str], since: int | None = None
) -> list[Logger]:
    """Build and start the loggers of the group ``logger``.

    Args:
        config: name -> an entry with a ``_target_``; ``save_dir: null`` in it means the run folder. Entries that are
            null, or whose target returns None, are skipped.
        run_dir: the run folder.
        since: the step with which a resumed run goes on: what was logged from it on is forgotten, as it will be logged
            again. None for a new run.

    Raises:
        UserError: a logger's package is not installed.
    """
    _forget(Path(run_dir), since)
    filled = {"save_dir": str(run_dir), "purge_step": since, "id": None if since is None else last_id(run_dir)}
    built = [_build(name, entry, filled) for name, entry in (config or {}).items() if entry]
    return [logger for logger in built if logger is not None]


def log_config(
    loggers: Iterable[Logger], config: Mapping[str, Any], environment: Mapping[str, Any] | None = None
) -> None:
    """Log the config to every logger that stores one, with the option of each config group, and the environment.

    Args:
        loggers: the loggers of `build_loggers`.
        config: plain nested values.
        environment: of `guided_seg.machine.environment`; its packages are left out, as W&B lists them itself.
    """
    recorded = HydraConfig.get().runtime.choices if HydraConfig.initialized() else None
    here = {key: value for key, value in (environment or {}).items() if key != "packages"}
    told = {**config, "choices": choices(config, recorded), "environment": here}
    for logger in loggers:
        logger.log_hyperparams(told)


@rank_zero_only
def log_image(loggers: Iterable[Logger], name: str, path: str | os.PathLike[str], step: int) -> None:
    """Log an image to W&B and TensorBoard; the run folder already has it."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(name, [str(path)], step)
        elif isinstance(logger, TensorBoardLogger):
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            logger.experiment.add_image(name, pixels, step, dataformats="HWC")


@rank_zero_only
def log_results(loggers: Iterable[Logger], results: Results, facts: Mapping[str, float], step: int) -> None:
    """Log the scores and the facts about the run to all loggers, and the scores to W&B also as a table and as charts.

    Args:
        loggers: the loggers of `build_loggers`.
        results: the scores, logged as ``test/<mode>/<setting>``.
        facts: the entries of ``run`` in metrics.json, logged as ``run/<name>``.
        step: the last step.
    """
    rows = [(mode, *setting) for mode, scores in results.items() for setting in sorted_settings(scores)]
    scores = {f"test/{mode}/{setting_key(s, p)}": score["positive_iou"] for mode, s, p, score in rows}
    for logger in loggers:
        logger.log_metrics({**scores, **{f"run/{name}": value for name, value in facts.items()}}, step)
        if isinstance(logger, WandbLogger):
            _log_wandb_table(logger, rows, step)
            dots = [(f"{mode}, S = {s}", p, score) for mode, s, p, score in rows if isinstance(p, int)]
            _log_wandb_chart(logger, "iou_against_points", "dots per label", dots, step)
            shots = [(f"{mode}, P = {p}", s, score) for mode, s, p, score in rows]
            _log_wandb_chart(logger, "iou_against_shots", "shots", shots, step)


def close_loggers(loggers: Iterable[Logger], status: str = "success") -> None:
    """Close every logger, in ``finally``; an error of one is reported and does not affect the others.

    Args:
        loggers: the loggers of `build_loggers`.
        status: ``success``, ``failed`` or ``interrupted``.
    """
    for logger in loggers:
        try:
            _finish(logger, status)
        except Exception:
            log.warning("The logger %s could not be closed.", type(logger).__name__, exc_info=True)


@rank_zero_only
def _forget(run_dir: Path, since: int | None) -> None:
    keep_before(since or 0, run_dir / "metrics.csv")


@rank_zero_only
def _finish(logger: Logger, status: str) -> None:
    logger.finalize(status)
    if isinstance(logger, WandbLogger):
        logger.experiment.finish(exit_code=int(status != "success"))


def _build(name: str, entry: Mapping[str, Any], filled: Mapping[str, Any]) -> Logger | None:
    """Build a logger; ``filled`` has the values of its settings that are null."""
    try:
        logger: Logger | None = instantiate(
            entry, **{key: filled[key] for key in entry if entry[key] is None and key in filled}
        )
    except (InstantiationException, ImportError) as error:
        cause = error.__cause__ or error
        if not isinstance(cause, ImportError):
            raise
        reason = str(cause).splitlines()[0]
        raise UserError(
            f"logger={name} needs a package that is not installed ({reason}); install it, or choose logger=csv."
        ) from error
    return logger


def _log_wandb_table(logger: WandbLogger, rows: Sequence[tuple[str, int, int | str, Score]], step: int) -> None:
    columns = ["mode", "shots", "points", "positive_iou", "mean_iou", "ci95_low", "ci95_high", "episodes"]
    data = [
        [mode, s, str(p), score["positive_iou"], score["mean_iou"], *score["ci95"], score["episodes"]]
        for mode, s, p, score in rows
    ]
    logger.log_table("results", columns, data, step=step)


def _log_wandb_chart(
    logger: WandbLogger, key: str, across: str, dots: Sequence[tuple[str, int, Score]], step: int
) -> None:
    """Log positive IoU against a number, from (line, number, score)."""
    import wandb

    lines: dict[str, list[tuple[int, float]]] = {}
    for name, number, score in dots:
        lines.setdefault(name, []).append((number, score["positive_iou"]))
    if lines:
        xs, ys = ([[pair[i] for pair in line] for line in lines.values()] for i in (0, 1))
        chart = wandb.plot.line_series(xs, ys, list(lines), title=f"positive IoU against {across}", xname=across)
        logger.experiment.log({key: chart, "trainer/global_step": step})

"""Resume exactly: checkpoints that survive a kill, where a run goes on, and what its steps depend on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import SIGTERMException
from rich.console import Console
from rich.filesize import decimal

from guided_seg.cli.run_folders import BEST, CHECKPOINTS, LAST, PREVIOUS
from guided_seg.composition.moved import renamed
from guided_seg.errors import BrokenFile, UserError
from guided_seg.files.disk import free_space
from guided_seg.files.tensors import write_torch
from guided_seg.files.writing import whole_file
from guided_seg.loggers.metrics_file import MetricsFile
from guided_seg.machine.randomness import seed_all
from guided_seg.release.load import check_resumable
from guided_seg.report.results import read_facts
from guided_seg.settings.preflight import settings

_SPARE = 4
"""A warning is given if there is less space than for this number of checkpoints."""


class Start(NamedTuple):
    """Where a run starts: after a number of steps, from a checkpoint; or anew, without either."""

    step: int | None = None
    checkpoint: Path | None = None


def start_of(cfg: DictConfig, run_dir: Path) -> Start:
    """Where ``cfg.ckpt_path`` lets a run start. ``last`` without a checkpoint is the first step.

    Raises:
        UserError: the checkpoint does not exist, is damaged, or does not fit ``cfg``.
    """
    if cfg.ckpt_path is None:
        return Start()
    given = run_dir if cfg.ckpt_path == "last" else Path(cfg.ckpt_path)
    if cfg.ckpt_path == "last" and not _checkpoints(run_dir):
        _say(f"There is no checkpoint in {run_dir} yet, so the run starts with its first step.")
        return Start(0)
    if given.is_dir():
        start = newest(cfg, given)
    elif given.is_file():
        start = Start(check_resumable(given, cfg), given)
    else:
        raise UserError(f"There is no checkpoint {given} to resume from; check ckpt_path and output_dir.")
    if start.checkpoint is None:
        raise UserError(
            f"There is no checkpoint in {given / CHECKPOINTS} that can be read; leave ckpt_path out to start anew."
        )
    if given.is_dir() and (difference := difference_to(cfg, given)):
        _say(f"The run was started with another setting ({difference}).")
    _say(f"The run goes on after step {start.step} ({start.checkpoint}).")
    return start


def newest(cfg: DictConfig, run_dir: Path) -> Start:
    """The last checkpoint of a folder, or the one before if the last is damaged. Says which are damaged.

    Raises:
        UserError: it does not fit ``cfg``.
    """
    for path in _checkpoints(run_dir):
        try:
            return Start(check_resumable(path, cfg), path)
        except BrokenFile as error:
            _say(f"{str(error).rstrip('.')}; trying the checkpoint before it.")
    return Start()


def _checkpoints(run_dir: Path) -> list[Path]:
    return [path for name in (LAST, PREVIOUS) if (path := run_dir / CHECKPOINTS / name).is_file()]


@rank_zero_only
def _say(sentence: str) -> None:
    Console(stderr=True).print(sentence, soft_wrap=True, markup=False, highlight=False)


@rank_zero_only
def forget_another(start: Start, run_dir: Path) -> None:
    """Remove the checkpoints of an earlier run in the folder that is not gone on with, so that none is taken for it."""
    if start.checkpoint is None or start.checkpoint.resolve().parent != (run_dir / CHECKPOINTS).resolve():
        for name in (LAST, PREVIOUS, BEST):
            (run_dir / CHECKPOINTS / name).unlink(missing_ok=True)


def complete(run_dir: Path, cfg: DictConfig | None = None) -> float | None:
    """The validation score of a complete run, of ``cfg`` if that is given, in the folder; None if there is none."""
    if not (run_dir / "metrics.json").is_file() or (cfg is not None and difference_to(cfg, run_dir)):
        return None
    return read_facts(run_dir / "metrics.json").get("val_positive_iou", float("nan"))


def difference_to(cfg: DictConfig, run_dir: Path) -> str:
    """The first setting that differs between ``cfg`` and ``config.yaml`` in the folder; empty if there is none."""
    saved = run_dir / "config.yaml"
    if not saved.is_file():
        return "its config.yaml is missing"
    ours = settings(OmegaConf.create(OmegaConf.to_container(_placed(cfg), resolve=True)))  # type: ignore[arg-type]
    try:
        theirs = settings(_placed(OmegaConf.create(renamed(OmegaConf.to_container(OmegaConf.load(saved))))))
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        return f"its config.yaml cannot be read ({' '.join(str(error).split())})"
    if ours.get("trainer.precision") == "auto":  # the config in the folder has what was chosen
        theirs["trainer.precision"] = "auto"
    differing = [key for key in sorted({*ours, *theirs}) if ours.get(key, _ABSENT) != theirs.get(key, _ABSENT)]
    # the innermost key is the most specific
    key = max(differing, key=lambda name: name.count("."), default="")
    return f"{key}={theirs.get(key, _ABSENT)} there, {ours.get(key, _ABSENT)} here" if key else ""


_ABSENT = "nothing"


def precision(cfg: DictConfig, start: Start) -> Any:
    """The precision of ``cfg``; where it is ``auto``, what the run that is gone on with has chosen."""
    saved = start.checkpoint.parent.parent / "config.yaml" if start.checkpoint else None
    if cfg.trainer.precision != "auto" or saved is None or not saved.is_file():
        return cfg.trainer.precision
    return OmegaConf.select(OmegaConf.load(saved), "trainer.precision", default="auto")


def _placed(cfg: Any) -> DictConfig:
    """The config without its folder, which may have been moved, and without what it resumes."""
    return OmegaConf.merge(cfg, {"output_dir": "", "ckpt_path": None})  # type: ignore[return-value]


class WholeFiles(TorchCheckpointIO):
    """Write checkpoints that are whole even after a kill or a power cut, and keep the last but one of a run."""

    def __init__(self) -> None:
        self._warned = False

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Called by Lightning in the first process."""
        path = Path(path)
        size = write_torch(path, checkpoint, path.with_name(PREVIOUS) if path.name == LAST else None)
        free = free_space(path.parent)
        if free < _SPARE * size and not self._warned:
            self._warned = True
            _say(f"The disk of {path.parent} has {decimal(free)} left; free some: a checkpoint takes {decimal(size)}.")


class Resuming(Callback):
    """Let each training step depend on nothing but its number, so that it gives the same after a resume."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder / CHECKPOINTS, seed

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Flush the metrics first, as a resume keeps those of the steps before the checkpoint."""
        for logger in trainer.loggers:
            if isinstance(logger, MetricsFile):
                logger.flush()

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Tell the callbacks of a run that was moved or copied where its best checkpoint is now."""
        here, states = self.folder.resolve(), checkpoint["callbacks"].values()
        for state in (state for state in states if "best_model_path" in state):
            there = Path(state["dirpath"])
            if there == here:
                continue
            if not (here / BEST).is_file() and (there / BEST).is_file():
                with whole_file(here / BEST) as partial:
                    shutil.copyfile(there / BEST, partial)
            moved = {str(there / name): str(here / name) for name in (BEST, LAST)}
            state["dirpath"] = str(here)
            for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
                state[key] = moved.get(state[key], state[key])
            state["best_k_models"] = {moved.get(path, path): score for path, score in state["best_k_models"].items()}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Set the random state, which the network uses for dropout alone, by the number of the step."""
        seed_all(self.seed, trainer.current_epoch, batch_idx, trainer.global_rank)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save what a run that is asked to end (SIGTERM) has trained since its last checkpoint.

        Lightning raises its exception between two steps, or in validation, which starts anew and saves at its end.
        Several processes would wait for one another here, although some may have gone.
        """
        if not isinstance(exception, SIGTERMException):
            return
        within = trainer.fit_loop.epoch_loop.batch_idx + 1 < trainer.num_training_batches
        if within and trainer.training and trainer.world_size == 1:
            trainer.save_checkpoint(self.folder / LAST)
            _say(f"Saved after step {trainer.global_step}.")
        _say("Asked to end (SIGTERM); the same command with ckpt_path=last goes on.")


def checkpoints(run_dir: Path) -> tuple[ModelCheckpoint, ModelCheckpoint]:
    """Callbacks for the best and the last checkpoint."""
    options: dict[str, Any] = {"save_on_train_epoch_end": False, "enable_version_counter": False}
    folder = run_dir / CHECKPOINTS
    best = ModelCheckpoint(folder, Path(BEST).stem, monitor="val/positive_iou", mode="max", **options)
    # Lightning's save_last saves only when the best changes, so a resume would repeat the steps since then
    return best, ModelCheckpoint(folder, Path(LAST).stem, **options)

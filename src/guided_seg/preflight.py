"""What must hold of a composed config before its run starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from guided_seg.errors import UserError


def settings(cfg: DictConfig) -> dict[str, Any]:
    """Every setting by its dotted key, those in lists by their number; interpolations are left as written."""
    return dict(_flatten(OmegaConf.to_container(cfg, resolve=False)))


def check_missing(cfg: DictConfig) -> None:
    """Refuse a setting that has no value yet, unless a sweeper may fill it in."""
    missing = [key for key, value in settings(cfg).items() if value == "???" and not key.startswith("hydra.")]
    if missing and not cfg.hydra.sweeper.get("params"):
        raise UserError(f"{missing[0]} has no default; add {missing[0]}=... to the command.")


def check_folder(cfg: DictConfig, several: bool) -> None:
    """Refuse a run folder that cannot be made, which Hydra would do with a traceback.

    Args:
        cfg: the config, with Hydra's own part.
        several: whether it is the folder of a sweep.
    """
    folder = _run_folder(cfg, several)
    if folder is not None:
        key = "output_dir" if "output_dir" in cfg else f"hydra.{'sweep' if several else 'run'}.dir"
        check_can_be_made(folder, "run folder", key)


def check_can_be_made(folder: Path, what: str, key: str) -> None:
    """Refuse a folder that can neither be made nor be written to; ``what`` it is and the ``key`` that names it."""
    above = next(path for path in (folder, *folder.parents) if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        why = "may not be written to" if above.is_dir() else "is not a folder"
        raise UserError(f"The {what} {folder} cannot be made, as {above} {why}; choose another with {key}=...")


def check_numbers(cfg: DictConfig) -> None:
    """Refuse numbers with which nothing can be trained or tested, by their names in the config."""
    for key, least in _LEAST.items():
        found = OmegaConf.select(cfg, key)
        if found is not None and (type(found) is not int or found < least):
            raise UserError(f"{key}={found}: expected a whole number from {least}.")
    for key in ("episode.shots", "episode.objects"):
        found = OmegaConf.select(cfg, key)
        if found is not None and not _is_range(found):
            raise UserError(f"{key}={found}: expected [least, most] with 1 <= least <= most.")
    reading = OmegaConf.select(cfg, "k_way")
    if reading is not None and reading not in K_WAY:
        raise UserError(f"k_way={reading}: expected {' or '.join(K_WAY)}.")


K_WAY = ("native", "one_vs_rest")
"""How tasks of several positive labels are answered: all at once, or as a union of binary tasks."""

_LEAST = {
    "trainer.max_steps": 1,
    "trainer.log_every_n_steps": 1,
    "data.training.batch_size": 1,
    "data.training.validate_every": 1,
    "data.training.val_episodes": 1,
    "evaluation.batch_size": 1,
    "evaluation.objects": 1,
    "num_workers": 0,
    "workers": 1,
    "sheet.episodes": 1,
    "sheet.shots": 1,
    "sheet.points": 1,
    "processes": 1,
}
"""The least value of settings that count something."""


def _is_range(value: Any) -> bool:
    return (
        OmegaConf.is_list(value)
        and len(value) == 2
        and all(type(v) is int for v in value)
        and 1 <= value[0] <= value[1]
    )


def _run_folder(cfg: DictConfig, several: bool) -> Path | None:
    """The folder, or None where it depends on what only the running job knows."""
    state = HydraConfig.instance()
    before = state.cfg
    try:
        state.set_config(cfg)
        return Path(cfg.hydra.sweep.dir if several else cfg.hydra.run.dir).absolute()
    except OmegaConfBaseException as error:
        if refusal := _refusal_behind(error):
            raise refusal from error
        return None
    finally:
        state.cfg = before


def _refusal_behind(error: BaseException) -> UserError | None:
    """What a resolver of ours refused; OmegaConf keeps it only as the context of its own errors."""
    while not isinstance(error, UserError):
        if error.__context__ is None:
            return None
        error = error.__context__
    return error


def _flatten(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield f"{prefix}{name}", value
        if isinstance(value, dict | list):
            yield from _flatten(value, f"{prefix}{name}.")

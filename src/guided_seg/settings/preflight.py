"""Check a composed config before its run starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from guided_seg.errors import UserError
from guided_seg.settings.limits import RULES
from guided_seg.settings.ranges import Rule, as_word


def settings(cfg: DictConfig) -> dict[str, Any]:
    """All settings by dotted key, with list items by number; interpolations are not resolved."""
    return dict(_flatten(OmegaConf.to_container(cfg, resolve=False)))


def check_missing(cfg: DictConfig) -> None:
    """Refuse a setting without a value, unless a sweeper may set it."""
    missing = [key for key, value in settings(cfg).items() if value == "???" and not key.startswith("hydra.")]
    if missing and not cfg.hydra.sweeper.get("params"):
        raise UserError(f"{missing[0]} has no default; add {missing[0]}=... to the command.")


def check_folder(cfg: DictConfig, several: bool) -> None:
    """Refuse a run folder that cannot be created, for which Hydra would show a traceback.

    Args:
        cfg: the config, including Hydra's own part.
        several: whether it is the folder of a sweep.
    """
    folder = _run_folder(cfg, several)
    if folder is not None:
        key = "output_dir" if "output_dir" in cfg else f"hydra.{'sweep' if several else 'run'}.dir"
        check_can_be_made(folder, "run folder", key)


def check_can_be_made(folder: Path, what: str, key: str) -> None:
    """Refuse a folder that cannot be created or written to. Messages use its name ``what`` and its setting ``key``."""
    try:
        above = next(path for path in (folder, *folder.parents) if path.exists())
    except OSError as error:  # the name is too long, or the folder is not readable
        why = str(error.strerror).lower()
        raise UserError(f"The {what} {folder} cannot be made: {why}; choose another with {key}=...") from error
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        why = "is not writable" if above.is_dir() else "is not a folder"
        raise UserError(f"The {what} {folder} cannot be made, as {above} {why}; choose another with {key}=...")


def check_settings(cfg: DictConfig) -> None:
    """Raise `UserError` for the first setting with an invalid value, see `settings.limits.RULES`."""
    for key in settings(cfg):
        if rule_of(key) is not None and _is_ours(cfg, key) and (found := _values(cfg, key)):
            check_value(key, found[0])


def check_value(key: str, value: Any) -> None:
    """Raise `UserError` if the value of the setting with this dotted key is invalid."""
    rule = rule_of(key)
    if rule is not None and not rule.accepts(value):
        example = f", as in '{key}=[{as_word(value)}]'" if rule.accepts([value]) else ""
        raise UserError(f"{key}={as_word(value)}: {rule.wanted(value)}{example}.")


@cache
def rule_of(key: str) -> Rule | None:
    """The rule of a setting by its dotted key; None if there is none."""
    for patterns, rule in RULES.items():
        if any(fnmatchcase(key, pattern) for pattern in patterns.split()):
            return rule
    return None


def _is_ours(cfg: DictConfig, key: str) -> bool:
    """Whether the rules apply to a setting's group; plugin classes have their own settings."""
    group, *rest = key.split(".")
    if group not in _OF_A_CLASS:
        return True
    below = {"data": ".source", "protocol": f".{rest[0]}" if rest else ""}
    found = OmegaConf.select(cfg, f"{group}{below.get(group, '')}._target_")
    return str(found).partition(".")[0] in ("guided_seg", "pytorch_lightning")


_OF_A_CLASS = (
    *("data", "mode", "backbone", "fusion", "annotation", "conditioning", "decoder", "baseline", "loss", "trainer"),
    "protocol",
)
"""Groups that name a class and contain its settings."""


def _values(cfg: DictConfig, key: str) -> list[Any]:
    """The value of a setting as plain Python, in a list; empty if it is not known yet."""
    try:
        found = OmegaConf.select(cfg, key, throw_on_missing=True)
        return [OmegaConf.to_container(found, resolve=True) if OmegaConf.is_config(found) else found]
    except OmegaConfBaseException:
        return []


def _run_folder(cfg: DictConfig, several: bool) -> Path | None:
    """The run folder, or None if it depends on values of the running job."""
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
    """The error of one of our resolvers; OmegaConf keeps it only as the context of its own."""
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

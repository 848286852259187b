"""From a checkpoint back to a network."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from guided_seg.build import ARCHITECTURE, build_network, network_config
from guided_seg.errors import UserError
from guided_seg.model.network import Network

_NO_ARCHITECTURE = {"weights", "normalization", "frozen"}


def load_network(checkpoint: str | Path) -> tuple[Network, DictConfig]:
    """The trained network of a checkpoint of the main command, in evaluation mode, and its config.

    Args:
        checkpoint: a file or a run folder; see `checkpoint_file`.

    Raises:
        UserError: there is no such file, it is not such a checkpoint, or its tensors do not fit its config.
    """
    content = read_checkpoint(checkpoint_file(checkpoint))
    cfg = OmegaConf.create(content["config"])
    prefix = "network."
    state = {k.removeprefix(prefix): v for k, v in content["state_dict"].items() if k.startswith(prefix)}
    return restore(cfg, state, checkpoint), cfg


def restore(cfg: DictConfig, state: Mapping[str, Tensor], origin: str | PathLike[str]) -> Network:
    """The network of a config and its tensors, in evaluation mode.

    Args:
        cfg: the groups of `ARCHITECTURE`; its backbone's weights become ``random``, as ``state`` has them.
        state: every tensor of the network.
        origin: the file or folder that both are from.

    Raises:
        UserError: the tensors do not fit the config.
    """
    if missing := [group for group in ARCHITECTURE if group not in cfg]:
        raise _of_another_version(origin, f"it lacks the choice of {missing[0]}")
    if "weights" in cfg.backbone:
        cfg.backbone.weights = "random"
    network = build_network(cfg)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise _of_another_version(origin, str(error).splitlines()[-1].strip()) from error
    return network.eval()


def _of_another_version(origin: str | PathLike[str], reason: str) -> UserError:
    return UserError(
        f"The tensors of {origin} do not fit the network that it names ({reason}); it was written by another "
        "version of guided_seg: train again, or use that version."
    )


def checkpoint_file(path: str | Path) -> Path:
    """The file itself, or the best checkpoint of a run folder. Raises `UserError` where the folder has none."""
    path = Path(path)
    if not path.is_dir():
        return path
    best = path / "checkpoints" / "best.ckpt"
    if not best.is_file():
        raise UserError(f"The folder {path} has no checkpoints/best.ckpt; give the folder of a run, or a checkpoint.")
    return best


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, read without running any code in it."""
    if not path.is_file():
        raise UserError(f"There is no checkpoint {path}; give the path of a best.ckpt or last.ckpt of a run.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no pickle at all can raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} cannot be read as a checkpoint: {reason}") from error
    if not isinstance(content, dict) or not {"config", "state_dict"} <= content.keys():
        raise UserError(f"{path} is no checkpoint of guided_seg.run: it carries no config; give one that it wrote.")
    return content


def check_resumable(path: Path, cfg: DictConfig) -> None:
    """Raise `UserError` unless the checkpoint's network and the length of its training are those of ``cfg``."""
    theirs, ours = read_checkpoint(path)["config"], network_config(cfg)
    _check_same_architecture(path, theirs, ours)
    for key, wanted in ours["length"].items():
        if (found := theirs["length"][key]) != wanted:
            raise UserError(
                f"The checkpoint {path} is of a training with {key}={found} but this run has {wanted}; the learning "
                "rate and the order of the episodes follow it, so resume with the same, or leave ckpt_path out."
            )


def _check_same_architecture(path: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    for group in ARCHITECTURE:
        keys = sorted({*theirs[group], *ours[group]} - _NO_ARCHITECTURE)
        for key in keys:
            found, wanted = theirs[group].get(key), ours[group].get(key)
            if found != wanted:
                raise UserError(
                    f"The checkpoint {path} has {group}.{key}={found} but this run has {wanted}; a checkpoint resumes "
                    "only the architecture that it was trained with: compose that one, or leave ckpt_path out."
                )

"""From a name back to a network: checkpoints of the main command, and released models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from guided_seg import released
from guided_seg.build import ARCHITECTURE, build_network, network_config
from guided_seg.errors import UserError
from guided_seg.model.network import Network
from guided_seg.released.hub import from_hub, is_hub_id
from guided_seg.released.weights import read_weights

_NO_ARCHITECTURE = {"weights", "normalization", "frozen"}


def load_network(name: str | PathLike[str]) -> tuple[Network, DictConfig]:
    """A trained network, in evaluation mode, and the config that it was built of.

    Args:
        name: see `checkpoint_file`.

    Returns:
        the network, and the groups of `ARCHITECTURE`; those of a checkpoint also say what it was trained on (``data``).

    Raises:
        UserError: there is no such file, it holds no such network, or its tensors do not fit its config.
    """
    file = checkpoint_file(name)
    config, state = read_weights(file) if file.suffix == ".safetensors" else _of_training(file)
    cfg = OmegaConf.create(config)
    return restore(cfg, state, file), cfg


def _of_training(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    content, prefix = read_checkpoint(file), "network."
    state = {k.removeprefix(prefix): v for k, v in content["state_dict"].items() if k.startswith(prefix)}
    return content["config"], state


def checkpoint_file(name: str | PathLike[str]) -> Path:
    """The file that a name stands for, wherever a network is asked for.

    Args:
        name: of a model that ships with guided_seg (`guided_seg.released.names`); a run folder, which stands for its
            best checkpoint; a ``best.ckpt`` or ``last.ckpt``; the folder or the file of a released model; or
            ``owner/name`` or ``owner/name@revision`` of a released model on the Hugging Face hub. A path comes before
            the hub, and a model that ships before both.

    Raises:
        UserError: there is nothing of that name.
    """
    text = fspath(name)
    if text in released.names():
        return released.shipped(text)
    path = Path(os.path.expanduser(text))  # noqa: PTH111  (pathlib fails where the user is unknown)
    if not path.exists() and is_hub_id(text):
        path = from_hub(text)
    for file in (path, path / "checkpoints" / "best.ckpt", path / released.MODEL):
        if file.is_file():
            return file
    lacking = f"The folder {path} has neither checkpoints/best.ckpt nor {released.MODEL}"
    ships = f", or one that ships: {', '.join(released.names())}" if released.names() else ""
    raise UserError(
        f"{lacking if path.is_dir() else f'There is no checkpoint {text}'}; give the folder of a run, its best.ckpt or "
        f"last.ckpt, the folder of a released model, or owner/name of one on the Hugging Face hub{ships}."
    )


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
    try:
        network = build_network(cfg)
        network.load_state_dict(state)
    except (InstantiationException, TypeError, RuntimeError) as error:
        # a setting that a class does not know is a TypeError, and Hydra's own message goes on for lines
        raise _of_another_version(origin, str(error.__cause__ or error).splitlines()[-1].strip()) from error
    return network.eval()


def start_from(network: Network, name: str | PathLike[str]) -> None:
    """Give a network the weights of a trained one of the same architecture.

    Args:
        network: takes them.
        name: see `checkpoint_file`.

    Raises:
        UserError: as `load_network`, or the two are not alike.
    """
    found = load_network(name)[0].state_dict()
    own = network.state_dict()
    if unlike := sorted(
        key for key in {*found, *own} if key not in found or key not in own or found[key].shape != own[key].shape
    ):
        raise UserError(
            f"start_from={name} is of another architecture than this run composes: {len(unlike)} tensors differ, such "
            f"as {unlike[0]}; compose the same, or leave start_from out."
        )
    network.load_state_dict(found)


def _of_another_version(origin: str | PathLike[str], reason: str) -> UserError:
    return UserError(
        f"The tensors of {origin} do not fit the network that it names ({reason}); it was written by another "
        "version of guided_seg: train again, or use that version."
    )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint of the main command, read without running any code in it.

    Raises:
        UserError: it is none, or cannot be read.
    """
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

"""Load a trained network by name: from a checkpoint or a released model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from guided_seg import release as released
from guided_seg.composition.build import ARCHITECTURE, build_network, network_config
from guided_seg.composition.trust import network_parts, plain_config
from guided_seg.errors import UserError
from guided_seg.files.tensors import check_tensors, check_types, check_whole, no_larger_than, read_torch
from guided_seg.model.network import Network
from guided_seg.release.hub import from_hub, is_hub_id
from guided_seg.release.weights import read_weights

_NO_ARCHITECTURE = {"weights", "normalization", "frozen"}


def load_network(name: str | PathLike[str]) -> tuple[Network, DictConfig]:
    """Load a trained network, in evaluation mode, and its config.

    Args:
        name: see `checkpoint_file`.

    Returns:
        The network, and its config with the groups of `ARCHITECTURE`; for a checkpoint also with its ``data``.

    Raises:
        UserError: there is no such file, it holds no network of guided_seg, or its tensors do not fit its config.
    """
    file = checkpoint_file(name)
    return restore(*_content(file), file)


def check_network(name: str | PathLike[str]) -> None:
    """Check what can be known of a trained network before it is built, which takes seconds.

    Args:
        name: see `checkpoint_file`.

    Raises:
        UserError: there is no such file, or it holds no network of guided_seg.
    """
    _content(checkpoint_file(name))


def _content(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config and the tensors in a file of a trained network."""
    return read_weights(file) if file.suffix == ".safetensors" else _of_training(file)


def _of_training(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    content, prefix = read_checkpoint(file), "network."
    state = {k.removeprefix(prefix): v for k, v in content["state_dict"].items() if k.startswith(prefix)}
    return content["config"], state


def checkpoint_file(name: str | PathLike[str]) -> Path:
    """The file of a trained network, given by any kind of name.

    Args:
        name: a shipped model (`guided_seg.release.names`); a run folder, for its best checkpoint; a ``best.ckpt`` or
            ``last.ckpt``; the folder or file of a released model; or ``owner/name`` or ``owner/name@revision`` of a
            released model on the Hugging Face hub. Shipped models take precedence over paths, and paths over the hub.

    Raises:
        UserError: nothing has that name.
    """
    text = fspath(name)
    if text in released.names():
        return released.shipped(text)
    path = Path(os.path.expanduser(text))  # noqa: PTH111  (pathlib fails where the user is unknown)
    try:
        if not path.exists() and is_hub_id(text):
            path = from_hub(text)
        for file in (path, path / "checkpoints" / "best.ckpt", path / released.MODEL):
            if file.is_file():
                return file
    except UserError:
        raise
    except (OSError, ValueError) as error:  # e.g. an unreadable folder, or an invalid path
        raise UserError(f"The checkpoint {text!r} cannot be found: {error}; check the path.") from error
    lacking = f"The folder {path} has neither checkpoints/best.ckpt nor {released.MODEL}"
    ships = f", or one that ships: {', '.join(released.names())}" if released.names() else ""
    raise UserError(
        f"{lacking if path.is_dir() else f'There is no checkpoint {text}'}; give the folder of a run, its best.ckpt or "
        f"last.ckpt, the folder of a released model, or owner/name of one on the Hugging Face hub{ships}."
    )


def restore(
    config: object, state: Mapping[str, Tensor], origin: str | PathLike[str], finite: bool = True
) -> tuple[Network, DictConfig]:
    """Build a network from its config and tensors; return it in evaluation mode, with the final config.

    The config is untrusted: only parts of networks are built, see `composition.trust`, and not much larger ones than
    ``state`` fills.

    Args:
        config: the config as read, with the groups of `ARCHITECTURE`.
        state: all tensors of the network.
        origin: the file or folder of both, for messages.
        finite: refuse tensors with NaN; false to find out where they come from.

    Raises:
        UserError: the config names anything but parts of a network, or the tensors do not fit it.
    """
    values = plain_config(config, origin)
    if missing := [group for group in ARCHITECTURE if group not in values]:
        raise _of_another_version(origin, f"it lacks the choice of {missing[0]}")
    cfg = OmegaConf.create(values | network_parts(values, origin))
    check_tensors(state, origin, finite)
    try:
        with no_larger_than(state):
            network = build_network(cfg)
        check_types(network, state)
        network.load_state_dict(state)
    except Exception as error:  # settings of another version can fail anywhere
        # Hydra's own message has many lines
        lines = str(error.__cause__ or error).splitlines() or [type(error).__name__]
        raise _of_another_version(origin, lines[-1].strip()) from error
    return network.eval(), cfg


def start_from(network: Network, name: str | PathLike[str]) -> None:
    """Load the weights of a trained network of the same architecture into ``network``.

    Args:
        network: the network to initialise.
        name: the trained network, see `checkpoint_file`.

    Raises:
        UserError: see `load_network`; or the architectures differ.
    """
    found = load_network(name)[0].state_dict()
    own = network.state_dict()
    if unlike := sorted(
        key for key in {*found, *own} if key not in found or key not in own or found[key].shape != own[key].shape
    ):
        raise UserError(
            f"start_from={name} has another architecture than this run: {len(unlike)} tensors differ, such as "
            f"{unlike[0]}; give the options that it was trained with, or leave start_from out."
        )
    network.load_state_dict(found)


def _of_another_version(origin: str | PathLike[str], reason: str) -> UserError:
    return UserError(
        f"The tensors of {origin} do not fit the network that it names ({reason}); it was written by another "
        "version of guided_seg: train again, or use that version."
    )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of ``guided_seg.run`` without executing any code in it.

    Raises:
        UserError: the file is not such a checkpoint, or cannot be read.
    """
    content = read_torch(path)
    if not isinstance(content, dict) or not {"config", "state_dict"} <= content.keys():
        raise UserError(
            f"{path} is not a checkpoint of guided_seg.run: it has no config; give one that it wrote. (To train from "
            "weights of a backbone, use backbone.weights=FILE.)"
        )
    state = content["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise UserError(f"{path} has no state_dict with named tensors; give a checkpoint that guided_seg.run wrote.")
    content["config"] = plain_config(content["config"], path)
    return content


def check_resumable(path: Path, cfg: DictConfig) -> int:
    """The number of steps after which a checkpoint to resume was written.

    Raises:
        BrokenFile: it is damaged.
        UserError: it has another architecture or training length than ``cfg``.
    """
    check_whole(path)
    content, ours = read_checkpoint(path), network_config(cfg)
    theirs = content["config"]
    if missing := [name for name in _TRAINING if name not in content]:
        raise UserError(
            f"{path} has a network but no training state ({missing[0]} is missing), so it cannot be resumed; give the "
            "last.ckpt of a run, or start a new run from its weights with start_from=FILE."
        )
    _check_same_architecture(path, theirs, ours)
    length = theirs.get("length")
    for key, wanted in ours["length"].items():
        found = length.get(key) if isinstance(length, dict) else None
        if found != wanted:
            raise UserError(
                f"The checkpoint {path} is from a run with {key}={found} but this run has {wanted}; the learning rate "
                "and the order of the episodes depend on it, so resume with the same value, or leave ckpt_path out."
            )
    return int(content["global_step"])


_TRAINING = ("optimizer_states", "lr_schedulers", "loops", "callbacks", "epoch", "global_step")
"""Entries of a Lightning checkpoint that are needed to resume training."""


def _check_same_architecture(path: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    for group in ARCHITECTURE:
        other = theirs.get(group)
        if not isinstance(other, dict):
            raise _of_another_version(path, f"it lacks the choice of {group}")
        for key in sorted({*other, *ours[group]} - _NO_ARCHITECTURE):
            found, wanted = other.get(key), ours[group].get(key)
            if found != wanted:
                raise UserError(
                    f"The checkpoint {path} has {group}.{key}={found} but this run has {wanted}; a checkpoint resumes "
                    "only the architecture that it was trained with: give the options of its own run, or leave "
                    "ckpt_path out."
                )

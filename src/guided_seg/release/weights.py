"""The ``.safetensors`` file of a released model: the tensors of a network and its config.

Floating tensors are stored in fp16 and loaded as fp32; others are unchanged. The metadata has a single JSON entry,
`ENTRY`: several entries would be written in any order, but equal networks must give equal files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

import guided_seg
from guided_seg.composition.build import ARCHITECTURE
from guided_seg.errors import UserError
from guided_seg.files.tensors import unreadable
from guided_seg.model.network import Network
from guided_seg.release import check_whole

ENTRY = "guided_seg"
"""Key of the metadata entry: ``name``, ``version`` of guided_seg, and ``config``, the groups of `ARCHITECTURE`."""


def write_weights(network: Network, name: str, cfg: DictConfig, path: Path) -> None:
    """Write a network and its config.

    Args:
        network: the network, written including its backbone.
        name: name of the model.
        cfg: config of the network; the groups of `guided_seg.composition.build.ARCHITECTURE` are written.
        path: the file.

    Raises:
        UserError: a tensor has values too large for fp16.
    """
    state = {key: _halved(key, tensor) for key, tensor in network.state_dict().items()}
    config = {group: OmegaConf.to_container(cfg[group], resolve=True) for group in ARCHITECTURE}
    about = {"name": name, "version": guided_seg.__version__, "config": config}
    # not save_file, which makes files that other users cannot read
    path.write_bytes(save(state, {ENTRY: json.dumps(about)}))


def _halved(key: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor.contiguous()
    half = tensor.half().contiguous()
    if not torch.equal(half.isfinite(), tensor.isfinite()):
        raise UserError(
            f"{key} has values up to {tensor.abs().max():.3g}, but fp16 ends at 65504; train again so that it stays "
            "smaller, for instance with a larger optimizer.optimizer.weight_decay."
        )
    return half


def read_weights(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the config and tensors of a file. Its checksum is verified if its folder has a checksum list.

    Raises:
        UserError: the file is damaged, or holds no network of guided_seg.
    """
    try:
        check_whole(path)
        with safe_open(path, "pt") as file:
            text = file.metadata()[ENTRY]
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # it is no dict
        config = dict[str, Any](json.loads(text)["config"])
    except UserError:
        raise
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read as a released model ({unreadable(path, error)}.") from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} has no config of a guided_seg network; give a file that guided_seg.release wrote."
        ) from error
    return config, state

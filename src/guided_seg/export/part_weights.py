"""The weights alone: three files of tensors, and the network that guided_seg builds from them again."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from guided_seg.errors import UserError
from guided_seg.files.text import read_json
from guided_seg.model.network import GuidedNetwork, Network
from guided_seg.release.load import restore

CARD = "model.json"
"""The file that describes the three others."""

PARTS = {"encoder": ("backbone",), "guide": ("guide",), "segmentor": ("conditioning", "decoder")}
"""The modules of a network that each part is made of."""


def write_weights(network: GuidedNetwork, folder: Path) -> dict[str, Any]:
    """A ``.safetensors`` file for each part, under the names of the network's own tensors."""
    for part, names in PARTS.items():
        modules = nn.ModuleDict({name: getattr(network, name) for name in names})
        state = {name: tensor.contiguous() for name, tensor in modules.state_dict().items()}
        save_file(state, folder / f"{part}.safetensors")
    return {}


def load(folder: str | PathLike[str]) -> Network:
    """The network of an export with ``format=safetensors``, in evaluation mode; ``Session(load(folder))`` uses it.

    Args:
        folder: the ``output_dir`` of ``python -m guided_seg.export``.

    Raises:
        UserError: the folder holds no such export, or its tensors do not fit its config.
    """
    card = _read_card(Path(folder))
    try:
        files = [load_file(Path(folder) / f"{part}.safetensors") for part in PARTS]
    except (OSError, SafetensorError) as error:
        raise UserError(f"The weights in {folder} cannot be read ({error}); export the checkpoint again.") from error
    return restore(card["config"], {k: v for state in files for k, v in state.items()}, folder)[0]


def _read_card(folder: Path) -> Mapping[str, Any]:
    try:
        card = read_json(folder / CARD, "the card of an export")
        found, _ = card["format"], card["config"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} holds no export of a network: {CARD} cannot be read; give the output_dir of guided_seg.export."
        ) from error
    if found != "safetensors":
        raise UserError(f"{folder} holds an export with format={found}; guided_seg reads back format=safetensors.")
    return card

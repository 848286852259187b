"""The export command: write the parts of a checkpoint, read them back and compare their scores with a session's."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

import guided_seg
from guided_seg.composition.build import ARCHITECTURE
from guided_seg.data.sources.classes import unknown
from guided_seg.errors import UserError
from guided_seg.export.check import Example, by_parts, by_session, difference, example, exportable
from guided_seg.export.graphs import Call, read_onnx, read_torch, write_onnx, write_torch
from guided_seg.export.parts import Part, fixed_labels, parts_of
from guided_seg.files.writing import filled_or_gone, sha256, write_json
from guided_seg.model.network import GuidedNetwork
from guided_seg.release.load import checkpoint_file, load_network
from guided_seg.report.table import Table, columns


class Graphs(NamedTuple):
    """A format: file suffix, writer, reader and required packages."""

    suffix: str
    write: Callable[[dict[str, Part], Path], dict[str, Any]]
    read: Callable[[Path], Call]
    needs: tuple[str, ...] = ()


GRAPHS = {
    "onnx": Graphs("onnx", write_onnx, read_onnx, ("onnx", "onnxscript", "onnxruntime")),
    "torch_export": Graphs("pt2", write_torch, read_torch),
}
CARD = "model.json"
"""The file that describes the three parts."""


def export(cfg: DictConfig, out: Path) -> float:
    """Write the parts of ``cfg.checkpoint`` in ``cfg.format``, and model.json, which describes them.

    Args:
        cfg: the composed config of ``guided_seg.export``.
        out: an empty folder.

    Returns:
        The largest difference between the scores of the written parts and those of a session.

    Raises:
        UserError: the format, the checkpoint, its network or the folder cannot be used. No files are left behind.
    """
    with filled_or_gone(out) as partial:
        _check_format(cfg.format)
        checkpoint = checkpoint_file(cfg.checkpoint)
        network, trained = load_network(checkpoint)
        network = exportable(network)
        console = Console(markup=False)
        with console.status(Text(f"Exporting {cfg.checkpoint}")):
            given = example(network)
            wanted = by_session(network, given)
            _write(network, cfg.format, trained, checkpoint, partial)
            largest = difference(_answers(cfg.format, partial, given), wanted)
    console.print(_table(out))
    console.print(f"Largest difference from the scores of a session: {largest:.1e}", highlight=False)
    console.print(str(out), soft_wrap=True, highlight=False)
    return largest


def _check_format(name: str) -> None:
    if name == "safetensors":
        raise UserError(
            "format=safetensors was removed; python -m guided_seg.release checkpoint=RUN name=NAME writes the weights "
            "as one model.safetensors, which guided_seg.load reads."
        )
    if name not in GRAPHS:
        raise unknown("format", name, GRAPHS)
    for package in GRAPHS[name].needs:
        if find_spec(package) is None:
            raise UserError(
                f"format={name} needs the package {package}: pip install 'guided_seg[export]', or choose "
                "format=torch_export."
            )


def _write(network: GuidedNetwork, form: str, trained: DictConfig, checkpoint: Path, folder: Path) -> None:
    parts, graphs = parts_of(network), GRAPHS[form]
    facts = graphs.write(parts, folder)
    ports = {name: {"inputs": part.inputs, "outputs": part.outputs} for name, part in parts.items()}
    packages = ("torch", *graphs.needs)
    write_json(
        folder / CARD,
        {
            "format": form,
            "parts": {name: {"file": f"{name}.{graphs.suffix}", **port} for name, port in ports.items()},
            "stride": network.backbone.stride,
            "num_labels": fixed_labels(network) or "any",
            "checkpoint": {"file": checkpoint.name, "sha256": sha256(checkpoint)},
            **facts,
            "versions": {"guided_seg": guided_seg.__version__} | {name: version(name) for name in packages},
            "config": {name: OmegaConf.to_container(trained[name]) for name in ARCHITECTURE},
        },
    )


def _answers(form: str, folder: Path, given: Example) -> list[np.ndarray]:
    """The scores from the written files."""
    return by_parts({file.stem: GRAPHS[form].read(file) for file in folder.glob(f"*.{GRAPHS[form].suffix}")}, given)


def _table(folder: Path) -> Table:
    files = sorted(folder.iterdir())
    return Table(columns(("file", "size")), [(file.name, decimal(file.stat().st_size)) for file in files])

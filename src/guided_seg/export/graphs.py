"""Graphs of the parts that run without guided_seg: trace with torch.export, save as ``.pt2`` or convert to ONNX."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from timm.layers import padding
from torch.export import ExportedProgram
from torch.fx.experimental import _config

from guided_seg.export.parts import Part

Call = Callable[..., list[np.ndarray]]
"""A part read from its file: takes arrays in the order of its inputs, returns arrays in the order of its outputs."""


@torch.no_grad()
def trace(part: Part) -> ExportedProgram:
    """Trace a part, with the dynamic axes given by `Part.example`."""
    inputs, free = zip(*part.example(), strict=True)
    shapes = dict(signature(part.forward).bind(*free).arguments)
    # otherwise a length of 1, such as one annotated image, would be specialised
    with patch.object(_config, "backed_size_oblivious", True), patch.object(padding, "get_same_padding", _same_padding):
        return torch.export.export(part, inputs, dynamic_shapes=shapes)


def write_torch(parts: Mapping[str, Part], folder: Path) -> dict[str, Any]:
    """Write a ``.pt2`` file for each part. The result is empty: there are no facts for model.json."""
    for name, part in parts.items():
        part.to(memory_format=torch.contiguous_format)  # the layout in which the file stores tensors
        torch.export.save(trace(part), folder / f"{name}.pt2")
    return {}


def read_torch(path: Path) -> Call:
    """Read a part written by `write_torch`."""
    module = torch.export.load(path).module()

    def call(*arrays: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            out = module(*map(torch.from_numpy, arrays))
        return [tensor.numpy() for tensor in (out if isinstance(out, tuple) else (out,))]

    return call


def write_onnx(parts: Mapping[str, Part], folder: Path) -> dict[str, Any]:
    """Write an ``.onnx`` file for each part, including weights, and return the operator set version."""
    opset = 0
    for name, part in parts.items():
        with _quiet_onnx():
            program = torch.onnx.export(
                trace(part), input_names=list(part.inputs), output_names=list(part.outputs), verbose=False
            )
            assert program is not None
            program.save(folder / f"{name}.onnx", external_data=False)
        opset = program.model.opset_imports[""]
    return {"opset": opset}


def read_onnx(path: Path) -> Call:
    """Read a part written by `write_onnx`."""
    import onnxruntime  # type: ignore[import-untyped]

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def call(*arrays: np.ndarray) -> list[np.ndarray]:
        found: list[np.ndarray] = session.run(None, dict(zip(names, arrays, strict=True)))
        return found

    return call


def _same_padding(pixels: int, kernel: int, stride: int, dilation: int) -> int:
    """The padding of timm's ``get_same_padding``, without the fraction and maximum that take the tracer hours.

    It lets the tracer simplify the output length to ``(pixels - 1) // stride + 1``. With a remainder, the expression
    would grow with each convolution.

    Example:
        >>> [_same_padding(pixels, 3, 2, 1) == padding.get_same_padding(pixels, 3, 2, 1) for pixels in (8, 9)]
        [True, True]
    """
    reach, remainder = (kernel - 1) * dilation, pixels - 1 - (pixels - 1) // stride * stride
    return reach - remainder if reach >= stride - 1 else max(reach - remainder, 0)


@contextmanager
def _quiet_onnx() -> Iterator[None]:
    """Silence the converter's log messages about single operators."""
    loggers = [logging.getLogger(name) for name in ("onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

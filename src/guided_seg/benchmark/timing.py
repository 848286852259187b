"""Reliable timing on a noisy machine: methods take turns in one process, and medians are reported."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from datetime import date
from statistics import median
from typing import Any, TypedDict

import torch
from torch import nn

from guided_seg.model.precision import processor

Way = Callable[[], Any]


class Row(TypedDict):
    """A figure and its reference.

    Keys:
        name: name of the figure.
        value: the measured value.
        unit: unit of ``value`` and ``reference``.
        reference: measured alternately in the same process; None if there is none.
        ratio: ``reference / value``: the factor of improvement.
        of: what value and reference are, in one line.
    """

    name: str
    value: float
    unit: str
    reference: float | None
    ratio: float | None
    of: str


def row(name: str, value: float, unit: str, of: str, reference: float | None = None) -> Row:
    """Make a row with its ratio."""
    ratio = None if reference is None or not value else reference / value
    return {"name": name, "value": value, "unit": unit, "reference": reference, "ratio": ratio, "of": of}


def by_turns(ways: Mapping[str, Way], rounds: int) -> dict[str, float]:
    """Seconds of each method: the median over turns, after a warm-up turn.

    Args:
        ways: the methods, by name.
        rounds: turns per method.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return {name: median(times) for name, times in seconds.items()}


CONVOLUTIONS = ((512, 60, 108), (256, 120, 214), (512, 30, 54))
"""Channels, height and width of the convolutions that measure the machine's peak speed."""

PRODUCT = 2048
"""Rows and columns of the matrices in the timed product."""

SLOW = 2.0
"""A convolution or product that takes more seconds is not repeated: the machine does not support its type well."""


@torch.inference_mode()
def convolution_peak(dtype: torch.dtype, rounds: int = 5) -> float:
    """Peak floating-point operations per second, over a few large convolutions in channels-last memory.

    An upper bound for convolutional networks on this machine.
    """
    best = 0.0
    for channels, height, width in CONVOLUTIONS:
        conv = nn.Conv2d(channels, channels, 3, padding=1).to(dtype).to(memory_format=torch.channels_last)
        images = torch.rand(1, channels, height, width).to(dtype).contiguous(memory_format=torch.channels_last)
        seconds = _once_or_more(lambda conv=conv, images=images: conv(images), rounds)  # type: ignore[misc]
        best = max(best, 2 * 9 * channels**2 * height * width / seconds)
        if seconds > SLOW:
            break
    return best


@torch.inference_mode()
def matrix_peak(dtype: torch.dtype, rounds: int = 5) -> float:
    """Floating-point operations per second of a product of two square matrices."""
    size = PRODUCT
    a, b = (torch.rand(size, size).to(dtype) for _ in range(2))
    return 2 * size**3 / _once_or_more(lambda: a @ b, rounds)


def _once_or_more(way: Way, rounds: int) -> float:
    """Median seconds over several rounds, or the first if it is slow."""
    began = time.perf_counter()
    way()
    first = time.perf_counter() - began
    return first if first > SLOW else by_turns({"": way}, rounds)[""]


def machine() -> dict[str, Any]:
    """A description of the machine."""
    return {
        "date": date.today().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "matrix_fp32_gflops": round(matrix_peak(torch.float32) / 1e9),
        "matrix_bf16_gflops": round(matrix_peak(torch.bfloat16) / 1e9),
        "convolution_fp32_gflops": round(convolution_peak(torch.float32) / 1e9),
        "convolution_bf16_gflops": round(convolution_peak(torch.bfloat16) / 1e9),
    }

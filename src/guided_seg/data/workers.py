"""Processes that load data beside the one that computes."""

from __future__ import annotations

from typing import Any

import cv2
import torch


def workers(number: int) -> dict[str, Any]:
    """The options of a `torch.utils.data.DataLoader` with so many workers; 0 loads in the process itself."""
    if number:
        # threads of OpenCV do not survive the fork, and a worker would wait for them for ever
        cv2.setNumThreads(1)
    return {"num_workers": number, "worker_init_fn": _one_thread if number else None}


def _one_thread(_: int) -> None:
    # a worker is one process of several; its libraries must not start threads of their own
    torch.set_num_threads(1)
    cv2.setNumThreads(1)

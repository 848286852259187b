"""The random state of a process."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_all(*numbers: int) -> None:
    """Set the random state of Python, NumPy and PyTorch as a function of these numbers, all at least 0."""
    first, second, third, fourth = (int(word) for word in np.random.SeedSequence(numbers).generate_state(4))
    random.seed(first)
    np.random.seed(second)  # noqa: NPY002  # plugins may use the global state
    torch.manual_seed(third << 32 | fourth)

"""What all tests share. The tests check shapes and types at run time: see addopts in pyproject.toml."""

from __future__ import annotations

import os

import torch

# Parallel workers (pytest-xdist) share the cores; without this each would start a thread for every core.
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)

# No test talks to a service, whatever the machine it runs on has keys for.
os.environ["WANDB_MODE"] = "offline"
os.environ["HF_HUB_OFFLINE"] = "1"
# What a test serves on this machine is not asked of a proxy.
os.environ["no_proxy"] = "127.0.0.1"

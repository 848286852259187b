"""Networks to time, with random weights, which do not affect speed."""

from __future__ import annotations

import torch
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.initialize import get_gh_backup, restore_gh_from_backup
from omegaconf import DictConfig

from guided_seg.cli.run_folders import register_resolvers
from guided_seg.composition.build import build_network
from guided_seg.model.network import StagedNetwork

REVOLVER_LITE = ("+experiment=revolver_interactive", "backbone=vgg16_lite")
"""The original's architecture in its lite form; only `encode` also measures its border of 81 pixels."""
LITE0 = ("+experiment=late_global", "backbone=efficientnet_lite0")


def build(*overrides: str) -> StagedNetwork:
    """Build a network of the main command's configuration, in evaluation mode."""
    torch.manual_seed(0)
    return build_network(composed(*overrides, "backbone.weights=random")).eval()


def composed(*overrides: str) -> DictConfig:
    """Compose the main command's configuration."""
    register_resolvers()
    # save the benchmark's own Hydra state, and restore it afterwards
    before = get_gh_backup()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("guided_seg.conf", version_base="1.3"):
            return compose("config", [*overrides])
    finally:
        restore_gh_from_backup(before)

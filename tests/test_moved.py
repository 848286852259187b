"""Files that name classes where they were before they moved still load."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from guided_seg.composition.moved import MOVED, current
from guided_seg.release.load import load_network

OLD = Path(__file__).with_name("old") / "before_rooms.ckpt"
"""An untrained network of prototypes, learned annotation and attention, saved before the rooms were made."""


@pytest.mark.parametrize("old", sorted(MOVED))
def test_a_class_is_where_the_table_says(old: str) -> None:
    import_module(MOVED[old])
    try:
        import_module(old)
    except ModuleNotFoundError:
        return
    assert hasattr(import_module(old), "__path__"), "only a folder may have the old name"


def test_a_checkpoint_from_before_the_move_loads() -> None:
    stored = torch.load(OLD, weights_only=True)
    targets = [stored["config"][group]["_target_"] for group in ("fusion", "annotation", "locality", "merge")]
    assert all(current(target) != target for target in targets)
    network, cfg = load_network(OLD)
    assert cfg.merge._target_ == "guided_seg.model.guide.merge.Attention"
    assert "guided_seg.model.merge" not in OmegaConf.to_yaml(cfg)
    for name, value in network.state_dict().items():
        assert torch.equal(value, stored["state_dict"][f"network.{name}"])


def test_the_shipped_network_loads() -> None:
    network, cfg = load_network("guided-lite0")
    assert cfg.conditioning._target_ == "guided_seg.model.heads.fused.Fused"
    assert not network.training

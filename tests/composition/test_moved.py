"""Files that name classes where they were before they moved still load."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from support.commands import TINY, compose_run

from guided_seg.composition.moved import MOVED, current
from guided_seg.release.load import load_network
from guided_seg.training import resuming

OLD = Path(__file__).parents[1] / "old" / "before_rooms.ckpt"
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


def test_a_run_from_before_the_move_is_of_the_same_configuration(tmp_path: Path) -> None:
    cfg = compose_run(*TINY, f"output_dir={tmp_path}")
    text = OmegaConf.to_yaml(cfg, resolve=True)
    for old, new in MOVED.items():
        text = text.replace(f"{new}.", f"{old}.")
    assert "guided_seg.model.fusion.Late" in text
    (tmp_path / "config.yaml").write_text(text)
    assert resuming.difference_to(cfg, tmp_path) == ""
    assert "seed=0 there, 1 here" in resuming.difference_to(compose_run(*TINY, "seed=1"), tmp_path)

"""Every network that the config groups can compose; a new YAML is tested by existing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from hydra.utils import get_object
from support.compositions import (
    ALONE,
    CONF,
    CORE,
    GROUPS,
    LEGAL,
    REFUSED,
    Composed,
    names_of,
    narrow,
    options,
    overrides_of,
    refusal,
    whole,
)
from torch import nn

from guided_seg.composition.build import (
    ARCHITECTURE,
    build_network,
    check_modes,
    network_config,
    usable_modes,
)
from guided_seg.data.source import MODES, Mode
from guided_seg.episode import IGNORE, Batch
from guided_seg.errors import CompositionError, UserError
from guided_seg.model.backbone import Backbone
from guided_seg.model.network import Network
from guided_seg.release.load import load_network

every_composition = pytest.mark.parametrize("overrides", LEGAL + ALONE, ids=names_of)


def test_most_choices_go_together() -> None:
    assert len(LEGAL) > 30
    for group in CORE:
        assert {name for names in LEGAL for name in names if name.startswith(group)} == {
            f"{group}={name}" for name in GROUPS[group]
        }


@pytest.mark.parametrize(
    ("chosen", "sentence"), REFUSED, ids=lambda value: names_of(overrides_of(value)) if isinstance(value, dict) else ""
)
def test_what_is_refused_is_told_what_to_choose_instead(chosen: dict[str, str], sentence: str) -> None:
    """It names choices that were made, and whoever follows the first advice, again if need be, ends at a network."""
    fault, _, advice = sentence.partition("; choose ")
    named = dict(re.findall(r"(\w+)=(\w+)", fault))
    assert len(named) >= 2
    assert named.items() <= chosen.items()
    first = dict(re.findall(r"(\w+)=(\w+)", re.split(r",? or ", advice)[0]))
    assert first
    assert not first.items() <= chosen.items()
    for _ in range(4):
        chosen = chosen | first
        if (again := refusal(chosen)) is None:
            return
        advice = again.partition("; choose ")[2]
        first = dict(re.findall(r"(\w+)=(\w+)", re.split(r",? or ", advice)[0]))
    raise AssertionError(f"{chosen} is still refused: {again}")


def test_a_refused_composition_is_not_built(composed: Composed) -> None:
    with pytest.raises(CompositionError, match=re.escape("choose annotation=interpolate or fusion=late.")):
        build_network(composed("fusion=early_stack", "annotation=learned"))


def _loss(network: Network, batch: Batch) -> torch.Tensor:
    return F.cross_entropy(network(batch), batch.target.long(), ignore_index=IGNORE)


@pytest.mark.usefixtures("narrow_vgg")
@every_composition
def test_every_composition_trains_and_is_restored(
    overrides: tuple[str, ...], composed: Composed, odd_batch: Batch, tmp_path: Path
) -> None:
    cfg = narrow(composed, *overrides)
    torch.manual_seed(0)
    network = build_network(cfg)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        _loss(network.train(), odd_batch).backward()
        optimizer.step()
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    # a parameter without a gradient would also stop distributed training
    assert {name for name, p in network.named_parameters() if p.grad is not None} == trained
    changed = {name for name, parameter in network.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed <= trained
    modules = {name.split(".")[0] for name in trained}
    assert {name.split(".")[0] for name in changed} == modules

    with torch.no_grad():
        scores = network.eval()(odd_batch)
    assert scores.shape == (2, 2, 45, 70)
    assert scores.isfinite().all()
    state = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"state_dict": state, "config": network_config(cfg)}, tmp_path / "some.ckpt")
    restored, _ = load_network(tmp_path / "some.ckpt")
    with torch.no_grad():
        assert torch.equal(restored(odd_batch), scores)


@pytest.mark.parametrize("overrides", LEGAL, ids=names_of)
@pytest.mark.parametrize("mode", MODES)
def test_every_composition_in_every_mode(
    overrides: tuple[str, ...], mode: Mode, composed: Composed, tasks: dict[Mode, Batch]
) -> None:
    network = build_network(narrow(composed, *overrides, "backbone.blocks=1"))
    if mode not in usable_modes(network, list(MODES)):
        assert network.needs_same_image
        with pytest.raises(UserError, match="choose"):
            check_modes(network, [mode])
        return
    check_modes(network, [mode])
    _loss(network.train(), tasks[mode]).backward()
    with torch.no_grad():
        assert network.eval()(tasks[mode]).argmax(1).shape == tasks[mode].target.shape


@pytest.mark.usefixtures("narrow_vgg")
@every_composition
def test_every_composition_runs_in_mixed_precision(
    overrides: tuple[str, ...], composed: Composed, odd_batch: Batch
) -> None:
    torch.manual_seed(0)
    network = build_network(narrow(composed, *overrides))
    with torch.autocast("cpu", torch.bfloat16):
        loss = _loss(network.train(), odd_batch)
    loss.backward()
    assert loss.isfinite()


@pytest.mark.usefixtures("narrow_vgg")
@pytest.mark.parametrize("name", GROUPS["backbone"])
@pytest.mark.parametrize("size", [(45, 70), (32, 32), (33, 65)])
def test_the_grid_has_a_cell_for_every_stride_begun(name: str, size: tuple[int, int], composed: Composed) -> None:
    backbone = build_network(narrow(composed, f"backbone={name}")).backbone.eval()
    with torch.no_grad():
        maps = backbone(torch.rand(1, 3, *size))
    assert maps.shape == (1, backbone.channels, -(-size[0] // backbone.stride), -(-size[1] // backbone.stride))


def test_the_parameters_of_the_paper_s_networks(composed: Composed) -> None:
    counts = {}
    for name in ("vgg16", "vgg16_lite"):
        cfg = composed(f"backbone={name}", "conditioning.matching=false", "conditioning.floor=false")
        cfg.backbone.weights = "random"
        with torch.device("meta"):
            network = build_network(cfg)
        counts[name] = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert {name: round(millions, 1) for name, millions in counts.items()} == {"vgg16": 184.6, "vgg16_lite": 21.4}


FREEZABLE = [name for name in GROUPS["backbone"] if "frozen" in options("backbone", name) or name == "vgg16_lite"]


def _frozen(composed: Composed, name: str, frozen: bool | int) -> Backbone:
    # what fixed_norms adds is tested in test_backbones.py
    norms = ["backbone.fixed_norms=false"] if "fixed_norms" in options("backbone", name) else []
    cfg = narrow(composed, f"backbone={name}", f"backbone.frozen={frozen}", *norms)
    return build_network(cfg).backbone


def test_pretrained_backbones_can_be_frozen() -> None:
    pretrained = [name for name in GROUPS["backbone"] if "weights" in options("backbone", name)]
    assert set(pretrained) <= set(FREEZABLE)


@pytest.mark.usefixtures("narrow_vgg")
@pytest.mark.parametrize("frozen", [True, False, 0, 1, 3])
@pytest.mark.parametrize("name", FREEZABLE)
def test_frozen_stages_and_nothing_else(name: str, frozen: bool | int, composed: Composed, odd_batch: Batch) -> None:
    backbone = _frozen(composed, name, frozen)
    stages = backbone.stages()
    number = len(stages) if frozen is True else int(frozen)
    held = {id(parameter) for stage in stages[:number] for parameter in stage.parameters()}
    assert (number > 0) == bool(held)
    for parameter in backbone.parameters():
        assert parameter.requires_grad == (id(parameter) not in held)

    def statistics() -> list[list[torch.Tensor]]:
        norms = [[m for m in stage.modules() if isinstance(m, nn.BatchNorm2d)] for stage in stages]
        return [[norm.running_mean.clone() for norm in stage if norm.running_mean is not None] for stage in norms]

    before = statistics()
    backbone.train()(odd_batch.images).sum().backward()
    after = statistics()
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        assert [torch.equal(a, b) for a, b in zip(old, new, strict=True)] == [i < number] * len(old)
    assert not any(stage.training for stage in stages[:number])
    assert all(stage.training for stage in stages[number:])
    assert all((p.grad is None) == (id(p) in held) for p in backbone.parameters())


@pytest.mark.usefixtures("narrow_vgg")
@pytest.mark.parametrize("name", FREEZABLE)
def test_all_pretrained_tensors_lie_in_the_stages(name: str, composed: Composed) -> None:
    """What `frozen: true` leaves trainable is only what has no pretrained weights."""
    backbone = _frozen(composed, name, True)
    left = {key.split(".")[0] for key, parameter in backbone.named_parameters() if parameter.requires_grad}
    assert left == {"fc6" if "vgg" in name else "neck" if hasattr(backbone, "neck") else "project"}


@pytest.mark.parametrize("modes", [["semantic"], ["video"], ["interactive", "semantic", "video"]])
def test_local_guidance_from_other_images_is_refused(modes: list[Any], composed: Composed) -> None:
    local = build_network(composed("locality=local"))
    mode, asked = ("mixed", "semantic and video") if len(modes) > 1 else (modes[0], modes[0])
    with pytest.raises(UserError) as error:
        check_modes(local, modes)
    assert str(error.value) == (
        "locality=local keeps positions, so support and query must be the same image, but "
        f"mode={mode} has {asked} tasks on other images; choose locality=global or mode=interactive."
    )
    assert usable_modes(local, modes) == [mode for mode in modes if mode == "interactive"]


@pytest.mark.parametrize("overrides", [["locality=local"], ["locality=global"], ["baseline=foreground_background"]])
def test_modes_that_go_with_the_network_are_not_refused(overrides: list[str], composed: Composed) -> None:
    network = build_network(composed(*overrides))
    modes = ["interactive"] if overrides == ["locality=local"] else list(MODES)
    check_modes(network, modes)  # type: ignore[arg-type]
    assert usable_modes(network, modes) == modes  # type: ignore[arg-type]


def _targets(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from _targets(value, f"{path}.{key}")


ALL = [(group, name) for group, names in GROUPS.items() for name in names]


@pytest.mark.parametrize(("group", "name"), ALL, ids=lambda value: value)
def test_every_key_is_a_parameter_of_its_target(group: str, name: str) -> None:
    for path, node in _targets(options(group, name), f"{group}/{name}"):
        parameters = signature(get_object(node["_target_"])).parameters
        takes_any = any(p.kind is Parameter.VAR_KEYWORD for p in parameters.values())
        unknown = {key for key in node if not key.startswith("_")} - parameters.keys()
        assert takes_any or not unknown, f"{path} has {sorted(unknown)}; {node['_target_']} takes {list(parameters)}"


@pytest.mark.parametrize(
    ("group", "name"), [(g, n) for g, n in ALL if g not in ("experiment", "sweep")], ids=lambda value: value
)
def test_every_file_composes(group: str, name: str, composed: Composed) -> None:
    # protocols are a group of other commands
    plus = "+" if group == "protocol" else ""
    cfg = composed(f"{plus}{group}={name}")
    assert group in cfg or group in ("launcher", "sweeper")  # these are for Hydra, which takes them out
    if group in ARCHITECTURE:
        assert cfg[group] == whole(group, name)


def test_the_targets_of_the_main_config_take_its_keys() -> None:
    content = yaml.safe_load((CONF / "config.yaml").read_text())
    found = list(_targets(content, "config"))
    assert found
    for path, node in found:
        unknown = {key for key in node if not key.startswith("_")} - signature(
            get_object(node["_target_"])
        ).parameters.keys()
        assert not unknown, path

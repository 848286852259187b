"""The recipes named after the original: its parameter counts, and its formulas written out from the weights alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_module
from omegaconf import DictConfig
from torch import Tensor, nn

from guided_seg.composition.build import build_network
from guided_seg.episode import Episode, Shot, collate
from guided_seg.model.network import Network

Compose = Callable[..., DictConfig]
SIZE = (70, 101)


@pytest.fixture(scope="module")
def recipe() -> Compose:
    """The config of a recipe, with random weights."""

    def composed(name: str, *overrides: str) -> DictConfig:
        with initialize_config_module("guided_seg.conf", version_base="1.3"):
            return compose("config", [f"+experiment={name}", "backbone.weights=random", *overrides])

    return composed


def _early(recipe: Compose, *overrides: str) -> DictConfig:
    """The original's early fusion: the interactive recipe's backbone and optimisation, with DIOS's choices."""
    cfg = recipe("revolver_interactive", *overrides)
    with initialize_config_module("guided_seg.conf", version_base="1.3"):
        other = compose("config", ["fusion=early_stack", "fusion.roles=joint", "locality=local", "conditioning=direct"])
    for group in ("fusion", "locality", "conditioning"):
        cfg[group] = other[group]
    cfg.backbone.fc7 = True
    return cfg


def _millions(cfg: DictConfig) -> float:
    with torch.device("meta"):
        network = build_network(cfg)
    return round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 1)


def test_parameter_counts_are_the_original_s(recipe: Compose) -> None:
    assert _millions(recipe("revolver_interactive")) == 184.6
    assert _millions(recipe("revolver_interactive", "backbone=vgg16_lite")) == 21.4
    assert _millions(_early(recipe)) == 134.3
    # 21.75 with the weights of the fixed interpolation, which the original counted
    assert _millions(recipe("revolver_semantic")) == 21.7


def test_they_are_trained_as_the_original_was(recipe: Compose) -> None:
    for name, lr in (("revolver_interactive", 1e-5), ("revolver_semantic", 1e-6)):
        cfg = recipe(name)
        optimizer = cfg.optimizer.optimizer
        assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (lr, 0.99, 5e-4)
        assert optimizer._target_ == "torch.optim.SGD"
        assert cfg.optimizer.schedule is None
        assert (cfg.data.training.batch_size, cfg.trainer.max_steps) == (1, 100000)
        assert (cfg.episode.points.low, cfg.episode.points.high, cfg.episode.points.spacing) == (0, 99, "uniform")
        head = build_network(recipe(name, "backbone.width=8", "conditioning.hidden=null")).conditioning
        assert head.score.weight.abs().max() == head.score.bias.abs().max() == 0
        assert 0 < head.query.weight.std() < 2e-3


def _reference_features(network: nn.Module, images: Tensor, prefix: str) -> Tensor:
    """VGG-16 from its weights: thirteen convolutions, ceil-mode pooling after 2, 2, 3, 3, 3 of them, fc6, fc7.

    The first convolution is padded by 81 and fc6 not at all, as in the original.
    """
    weights = dict(network.named_parameters()) | dict(network.named_buffers())
    x = images
    numbers = sorted({int(name.split(".")[-2]) for name in weights if name.startswith(f"{prefix}.convolutions.")})
    for i, number in enumerate(numbers):
        layer = f"{prefix}.convolutions.{number}"
        padding = 81 if i == 0 else 1
        x = torch.relu(F.conv2d(x, weights[f"{layer}.weight"], weights[f"{layer}.bias"], padding=padding))
        if i in (1, 3, 6, 9, 12):
            x = F.max_pool2d(x, 2, 2, ceil_mode=True)
    for name in ("fc6", "fc7"):
        if f"{prefix}.{name}.weight" in weights:
            x = torch.relu(F.conv2d(x, weights[f"{prefix}.{name}.weight"], weights[f"{prefix}.{name}.bias"]))
    return x


def _upsampled(maps: Tensor) -> Tensor:
    """The original's fixed deconvolution, 64 x 64 with a stride of 32, cut off below and to the right.

    Its weights do not add up to one at the border, where the original fades; here they are made to.
    """
    ramp = 1 - (torch.arange(64) + 0.5 - 32).abs() / 32
    kernel = (ramp[:, None] * ramp)[None, None]
    up = [F.conv_transpose2d(m, kernel, stride=32) for m in (maps.transpose(0, 1), torch.ones_like(maps[:, :1]))]
    return (up[0] / up[1])[..., : SIZE[0], : SIZE[1]].transpose(0, 1)


def _pooled(features: Tensor, indicator: Tensor) -> Tensor:
    """Σ F a / Σ a, with a = D A: how bilinear upsampling of each cell overlaps the annotated pixels."""
    height, width = features.shape[-2:]
    total, weight = torch.zeros(features.shape[1]), 0.0
    for i in range(height):
        for j in range(width):
            cell = torch.zeros(1, 1, height, width)
            cell[..., i, j] = 1
            a = (_upsampled(cell)[0, 0] * indicator).sum()
            total, weight = total + features[0, :, i, j] * a, weight + a
    return total / weight


def _random_head(network: Network) -> Network:
    """The scores begin at zero, which would hide everything."""
    torch.manual_seed(1)
    for name, parameter in network.named_parameters():
        if name.startswith("conditioning."):
            nn.init.normal_(parameter, std=0.3)
        elif ".fc" in name and name.endswith("weight"):
            nn.init.normal_(parameter, std=0.05)
    return network.eval()


def _task() -> tuple[Episode, list[Tensor]]:
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(3, *SIZE, generator=rng)
    dots = torch.tensor([[10, 20, 1], [11, 60, 1], [50, 80, 0]])
    target = torch.zeros(SIZE, dtype=torch.uint8)
    shown = [torch.zeros(SIZE), torch.zeros(SIZE)]
    for row, column, label in dots.tolist():
        shown[label][row, column] = 1
    return Episode(image, target, [Shot(image, points=dots, is_query=True)]), shown


@torch.no_grad()
@pytest.mark.parametrize("name", ["revolver_interactive", "revolver_semantic"])
def test_late_scores_are_the_formula_s(recipe: Compose, name: str) -> None:
    torch.manual_seed(0)
    narrow = ("backbone.width=16", "conditioning.hidden=48" if name.endswith("semantic") else "conditioning.hidden=32")
    network = _random_head(build_network(recipe(name, *narrow)))
    episode, shown = _task()
    backbone, head = network.backbone, network.conditioning
    features = _reference_features(network, (episode.query[None] - backbone.mean) / backbone.std, "backbone")
    z = [_pooled(features, indicator) for indicator in shown]
    joined = torch.cat([head.query.weight[:, :, 0, 0], head.guidance.weight], dim=1)
    groups = [torch.cat(z)] if name.endswith("semantic") else z
    scores = []
    for group in groups:
        x = torch.cat([features, group[None, :, None, None].expand(-1, -1, *features.shape[-2:])], dim=1)
        hidden = torch.relu(F.conv2d(x, joined[:, :, None, None], head.query.bias))
        scores.append(F.conv2d(hidden, head.score.weight, head.score.bias))
    expected = _upsampled(torch.cat(scores, dim=1))
    assert expected.std() > 1e-2
    torch.testing.assert_close(network(collate([episode])), expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_early_scores_are_the_formula_s(recipe: Compose) -> None:
    torch.manual_seed(0)
    network = _random_head(build_network(_early(recipe, "backbone.width=16")))
    episode, shown = _task()
    encoder = network.guide.fusion.encoder
    # dots grown to 11 x 11 and scaled to 128, beside pixels of 0..255 less their mean, in units of the image's spread
    grown = torch.stack([F.max_pool2d(shown[label][None], 11, 1, padding=5)[0] for label in (1, 0)])
    image = (episode.query - encoder.mean) / encoder.std
    x = torch.cat([image, grown * 128 / 255 / encoder.std.mean()])[None]
    features = _reference_features(network, x, "guide.fusion.encoder")
    head = network.conditioning.score
    expected = _upsampled(F.conv2d(features, head.weight, head.bias))
    assert expected.std() > 1e-2
    torch.testing.assert_close(network(collate([episode])), expected, atol=1e-4, rtol=1e-4)

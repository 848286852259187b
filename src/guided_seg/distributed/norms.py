"""Batch normalisation with the statistics of all processes, so that N small batches are one large one.

torch.nn.SyncBatchNorm does this on GPUs alone, and loses the activation within timm's layers.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
import torch.distributed as dist
from pytorch_lightning.plugins.layer_sync import LayerSync
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from guided_seg.distributed.collectives import rank_and_world, summed


class SharedNorms(LayerSync):
    """Lightning's plugin that changes the batch normalisation of a model for a training, and changes it back."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Share batch statistics. Every process must call this."""
        if rank_and_world()[1] == 1:
            return model
        # a group of its own: the backward pass sums statistics while gradients are being summed, in any order
        group = dist.new_group()
        for norm in _norms(model):
            norm.forward = MethodType(_shared, norm)  # type: ignore[method-assign]
            norm.group = group  # type: ignore[assignment]
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """Undo `apply`."""
        for norm in _norms(model):
            if "forward" in vars(norm):
                del norm.forward, norm.group
        return model


def shares_statistics(model: nn.Module) -> bool:
    """Whether batch statistics are shared and used in the current mode of the model's layers."""
    return any("forward" in vars(norm) and norm.training for norm in _norms(model))


def _norms(model: nn.Module) -> list[_BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def _shared(norm: _BatchNorm, x: Tensor) -> Tensor:
    """What the layer's own forward gives for the images of all processes together."""
    if not norm.training:
        return type(norm).forward(norm, x)
    group: Any = norm.group
    wide = x.float()
    total = summed(torch.cat([wide.sum((0, 2, 3)), wide.new_tensor([x.numel() / x.shape[1]])]), group)
    mean, count = total[:-1] / total[-1], total[-1]
    centred = wide - mean.view(1, -1, 1, 1)
    variance = summed(centred.square().sum((0, 2, 3)), group) / count
    _remember(norm, mean.detach(), (variance * (count / (count - 1))).detach())
    scale = (variance + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight
    out = centred * scale.view(1, -1, 1, 1)
    if norm.bias is not None:
        out = out + norm.bias.view(1, -1, 1, 1)
    out = out.to(x.dtype)
    # timm's layers continue with an activation
    for then in ("drop", "act"):
        out = getattr(norm, then)(out) if hasattr(norm, then) else out
    return out


@torch.no_grad()
def _remember(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Update the running statistics as torch does."""
    if not norm.track_running_stats or norm.running_mean is None or norm.running_var is None:
        return
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), share)
    norm.running_var.lerp_(variance.to(norm.running_var.dtype), share)

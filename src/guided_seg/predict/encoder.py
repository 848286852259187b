"""Fast encoding for inference: folded batch normalisation, bf16, compilation."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from guided_seg.errors import UserError
from guided_seg.machine.allocation import keep_freed_memory
from guided_seg.model.features import Features
from guided_seg.model.network import Network
from guided_seg.model.precision import chosen

SIZES = 64
"""Most shapes of image batches that are compiled in a process; torch stops after eight by default."""


class Encoder:
    """Encodes images for inference.

    It folds batch normalisation into the preceding convolutions, which is exact up to rounding. It keeps freed memory
    for the next image instead of returning it to the system.

    Args:
        network: in evaluation mode, on ``device``; it is not changed.
        device: where the encoder runs.
        precision: of the convolutions; ``auto`` takes the faster one (see `guided_seg.model.precision.fastest`).
            Features are fp32 in any case.
        compiled: use ``torch.compile``, once for each image size, up to `SIZES`. The first image of a size takes up to
            a minute, or seconds if torch finds it in its cache on disk (``TORCHINDUCTOR_CACHE_DIR``).

    Raises:
        UserError: the precision is unknown, or there is no C++ compiler.
    """

    def __init__(self, network: Network, device: torch.device, precision: str = "auto", compiled: bool = False) -> None:
        if compiled and device.type == "cpu" and not any(map(shutil.which, ("g++", "clang++", "cl"))):
            raise UserError("compiled=True needs a C++ compiler and none was found; install g++, or leave it out.")
        self.device, self.compiled = device, compiled
        if device.type == "cpu":
            keep_freed_memory()
        self._network = folded(network)
        self.precision = chosen(precision, self._network.backbone, device)
        if compiled:
            self._network = self._network if self._network is not network else deepcopy(network)
            backbone = self._network.backbone
            torch._dynamo.config.recompile_limit = max(SIZES, torch._dynamo.config.recompile_limit)
            # only the pyramid: the rest reads image sizes as plain numbers
            backbone.pyramid = torch.compile(backbone.pyramid, dynamic=False)  # type: ignore[method-assign]

    def __call__(self, images: Float[Tensor, "N 3 H W"]) -> list[Features]:
        """The fp32 features of each image. Pixels are in 0..1."""
        sizes = torch.tensor([images.shape[-2:]] * len(images), device=self.device)
        with (
            torch.inference_mode(not self.compiled),  # the compiler does not support it
            torch.no_grad(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"),
        ):
            features = self._network.encode(images, sizes)
            # rows, not slices: a view of one image would keep the features of all images in memory
            return [_full(features[row[None]]) for row in torch.arange(len(images), device=self.device)]


def folded(network: Network) -> Network:
    """A copy of the network with batch normalisation folded into the preceding convolutions.

    This assumes that layers run in the order in which they are registered. If the features of the copy differ, or there
    is nothing to fold, the network itself is returned.
    """
    fast = deepcopy(network)
    if not sum(_fold(module) for module in list(fast.backbone.modules())):
        return network
    fast.to(memory_format=torch.channels_last)
    return fast if _alike(network, fast) else network


def _fold(module: nn.Module) -> int:
    """Fold the children of a module. Returns the number of folded layers."""
    count = 0
    for (one, conv), (other, norm) in pairwise(list(module.named_children())):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and conv.out_channels == norm.num_features:
            setattr(module, one, fuse_conv_bn_eval(conv, norm))
            # timm's batch normalisation includes the activation
            setattr(module, other, getattr(norm, "act", nn.Identity()))
            count += 1
    return count


@torch.no_grad()
def _alike(network: Network, other: Network) -> bool:
    parameter = next(network.parameters())
    image = torch.rand(1, 3, 65, 97, generator=torch.Generator().manual_seed(0)).to(parameter.device)
    sizes = torch.tensor([[65, 97]], device=parameter.device)
    one, two = network.encode(image, sizes), other.encode(image, sizes)
    pairs = [(a.maps, b.maps) for a, b in zip((one, *one.skips), (two, *two.skips), strict=True)]
    return all(bool((a - b).abs().max() <= 1e-4 * a.abs().max()) for a, b in pairs if a.numel())


def _full(features: Features) -> Features:
    """The features in fp32 and channels last, so that a dot gathers its cells without a copy."""
    maps = features.maps.float().contiguous(memory_format=torch.channels_last)
    return replace(features, maps=maps, skips=tuple(_full(skip) for skip in features.skips))


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Let torch use this many CPU threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)

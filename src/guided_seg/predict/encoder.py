"""φ as a session runs it: the same features sooner, by what only inference allows."""

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
"""Of images, and numbers of them at once, that are compiled in a process; torch stops after eight by default."""


class Encoder:
    """Encodes images.

    Batch normalisation is folded into the convolutions before it, which is exact but for rounding; freed memory is kept
    for the next image instead of being given back to the system; and ``auto`` takes the precision that is faster here
    (see `guided_seg.model.precision.fastest`).

    Args:
        network: in evaluation mode, on ``device``; it stays as it is.
        device: where it runs.
        precision: of the convolutions; features are fp32 in any case.
        compiled: by ``torch.compile``, once for each size of image, up to `SIZES`: the first image of a size takes up
            to a minute, or seconds where torch has it in its cache on disk (``TORCHINDUCTOR_CACHE_DIR``).

    Raises:
        UserError: there is no such precision, or no C++ compiler to compile with.
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
            # not whole: the size of an image is read as numbers before its pixels are
            backbone.pyramid = torch.compile(backbone.pyramid, dynamic=False)  # type: ignore[method-assign]

    def __call__(self, images: Float[Tensor, "N 3 H W"]) -> list[Features]:
        """The features of each image, of values in 0..1, in fp32."""
        sizes = torch.tensor([images.shape[-2:]] * len(images), device=self.device)
        with (
            torch.inference_mode(not self.compiled),  # of which the compiler knows nothing
            torch.no_grad(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"),
        ):
            features = self._network.encode(images, sizes)
            # rows, not slices: a view of one image would keep those of all in memory
            return [_full(features[row[None]]) for row in torch.arange(len(images), device=self.device)]


def folded(network: Network) -> Network:
    """A network with the same features whose convolutions have taken in the batch normalisation after them.

    Layers that were registered one after the other are taken to be run so; a network of which that is not true, seen by
    its features, or that has nothing to fold, is given back as it is.
    """
    fast = deepcopy(network)
    if not sum(_fold(module) for module in list(fast.backbone.modules())):
        return network
    fast.to(memory_format=torch.channels_last)
    return fast if _alike(network, fast) else network


def _fold(module: nn.Module) -> int:
    """Fold among the children of a module; how many were."""
    count = 0
    for (one, conv), (other, norm) in pairwise(list(module.named_children())):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and conv.out_channels == norm.num_features:
            setattr(module, one, fuse_conv_bn_eval(conv, norm))
            # timm's batch normalisation has the activation in it
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
    """In fp32, whatever the encoder ran in, and cell by cell in memory, so that a dot gathers without a copy."""
    maps = features.maps.float().contiguous(memory_format=torch.channels_last)
    return replace(features, maps=maps, skips=tuple(_full(skip) for skip in features.skips))


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Let torch use so many threads of the processor."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)

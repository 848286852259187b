"""Necks: join feature maps of several strides into one."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class Pyramid(nn.Module):
    """A feature pyramid: join each map with the next finer one, top-down, with a few residual blocks (FPN, Lin 2017).

    The pyramid is trained even if the backbone is frozen. It runs once per image at low resolution, so it is cheap
    compared with the backbone.

    Args:
        channels: channels of the maps, from fine to coarse.
        width: C of the result.
        blocks: residual blocks at each resolution except the coarsest.
    """

    def __init__(self, channels: Sequence[int], width: int, blocks: int = 2) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)) for inputs in channels
        )
        self.mix = nn.ModuleList(nn.Sequential(*[Block(width) for _ in range(blocks)]) for _ in channels[1:])
        self.norm = nn.BatchNorm2d(width, affine=False)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """The joined map ``[N, C, h, w]``, at the resolution of the first of ``maps`` (from fine to coarse)."""
        joined = self.lateral[-1](maps[-1])
        for lateral, level, mix in zip(self.lateral[-2::-1], maps[-2::-1], self.mix[::-1], strict=True):
            finer = lateral(level)
            joined = mix(finer + F.interpolate(joined, finer.shape[-2:], mode="bilinear", align_corners=False))
        return self.norm(joined)


class Hourglass(nn.Module):
    """Residual blocks on a grid and on successively halved grids, with skip connections (U-Net, Ronneberger 2015).

    Coarser grids give a larger receptive field at a quarter of the cost per block. The coarsest also reads the mean
    of the whole map.

    Args:
        widths: channels on each grid, from fine to coarse.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        width, *coarser = widths
        self.first = Block(width)
        if coarser:
            self.down = nn.Conv2d(width, coarser[0], 1)
            self.inner = Hourglass(coarser)
            self.up = nn.Conv2d(coarser[0], width, 1)
        else:
            self.overview = nn.Conv2d(width, width, 1)
        self.last = Block(width)

    def forward(self, x: Tensor) -> Tensor:
        """As large as x."""
        x = self.first(x)
        if hasattr(self, "inner"):
            coarse = self.inner(self.down(F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)).relu_())
            x = x + F.interpolate(self.up(coarse.relu_()), x.shape[-2:], mode="bilinear", align_corners=False)
        else:
            x = x + self.overview(x.mean((2, 3), keepdim=True))
        return self.last(x)


class Block(nn.Module):
    """A residual block, x + W₂ relu(W₁ · (depthwise 3 x 3 convolution of x)), initialised to the identity.

    It has no normalisation, since batch normalisation would take a third of the training time on a CPU.

    Args:
        channels: channels of x.
        dilation: dilation of the 3 x 3 convolution.
    """

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.near = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, groups=channels)
        self.widen = nn.Conv2d(channels, 2 * channels, 1)
        self.narrow = nn.Conv2d(2 * channels, channels, 1)
        nn.init.zeros_(self.narrow.weight)
        if self.narrow.bias is not None:
            nn.init.zeros_(self.narrow.bias)

    def forward(self, x: Tensor) -> Tensor:
        """As large as x."""
        # in place: the maps of an edit are small enough for the cache of a processor, but not twice
        return x + self.narrow(self.widen(self.near(x)).relu_())

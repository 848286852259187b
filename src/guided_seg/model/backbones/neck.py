"""From the maps of several strides to one map that guidance is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class Pyramid(nn.Module):
    """A feature pyramid: from the coarsest map on, each is joined with the next finer one and mixed by a few blocks.

    It is trained, the backbone before it need not be; since it runs once an image at a low resolution, it costs little
    beside the backbone. (Top-down joining after feature pyramid networks, Lin et al., 2017.)

    Args:
        channels: of the maps, from fine to coarse.
        width: C of the result.
        blocks: residual blocks at each resolution but the coarsest.
    """

    def __init__(self, channels: Sequence[int], width: int, blocks: int = 2) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)) for inputs in channels
        )
        self.mix = nn.ModuleList(nn.Sequential(*[Block(width) for _ in range(blocks)]) for _ in channels[1:])
        self.norm = nn.BatchNorm2d(width, affine=False)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """The joined map ``[N, C, h, w]``, as fine as the first of ``maps``, which go from fine to coarse."""
        joined = self.lateral[-1](maps[-1])
        for lateral, level, mix in zip(self.lateral[-2::-1], maps[-2::-1], self.mix[::-1], strict=True):
            finer = lateral(level)
            joined = mix(finer + F.interpolate(joined, finer.shape[-2:], mode="bilinear", align_corners=False))
        return self.norm(joined)


class Hourglass(nn.Module):
    """Blocks on the grid and on coarser ones, each half as fine as the one before, and back again.

    What is far apart meets on the coarser grids, where a block costs a quarter as much; the coarsest also sees the mean
    of the whole map. (After U-Net, Ronneberger et al., 2015.)

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
            coarse = self.inner(F.relu(self.down(F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False))))
            x = x + F.interpolate(self.up(F.relu(coarse)), x.shape[-2:], mode="bilinear", align_corners=False)
        else:
            x = x + self.overview(x.mean((2, 3), keepdim=True))
        return self.last(x)


class Block(nn.Module):
    """x + W₂ relu(W₁ · (3 x 3 convolution of each channel of x)), which begins as x itself.

    Without normalisation: on a CPU, batch normalisation would take a third of the time of its training step.

    Args:
        channels: of x.
        dilation: of the 3 x 3 convolution.
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
        return x + self.narrow(F.relu(self.widen(self.near(x))))

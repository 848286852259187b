"""Features of images of any size, and the fixed bilinear map between pixels and cells (concepts, rules 1-2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

FINE = 4096
"""Grids with at least this many cells are upsampled by OpenCV if possible."""


def laid_out(maps: Float[Tensor, "N C h w"]) -> Float[Tensor, "N C h w"]:
    """The maps in the memory layout that makes convolutions fastest: channels last on a CPU.

    On a GPU the layout is contiguous. With channels last, cuDNN would compile its kernels for depthwise convolutions
    again for each size, which takes far longer than training.
    """
    layout = torch.channels_last if maps.device.type == "cpu" else torch.contiguous_format
    return maps.contiguous(memory_format=layout)


@dataclass(frozen=True, slots=True)
class Anchor:
    """Position of a grid that does not span its image, because the image was padded with a border.

    Attributes:
        start: row and column of the pixel at which the first cell starts.
        stride: pixels per cell.
    """

    start: int
    stride: float

    def finer(self, factor: float) -> Anchor:
        """The anchor of a grid that is ``factor`` times finer and starts at the same pixel."""
        return Anchor(self.start, self.stride / factor)


@dataclass(frozen=True, slots=True)
class Features:
    """φ(x) of N images, padded to a common grid.

    Attributes:
        maps: float ``[N, C, h, w]``, zero in the padding.
        grids: int64 ``[N, 2]`` rows and columns of each image's grid, in cells.
        sizes: int64 ``[N, 2]`` height and width of each image, in pixels.
        skips: skip maps of the same images, from coarse to fine, for a decoder with skip connections.
        anchor: position of the grids; None if each grid spans its image.
    """

    maps: Float[Tensor, "N C h w"]
    grids: Int[Tensor, "N 2"]
    sizes: Int[Tensor, "N 2"]
    skips: tuple[Features, ...] = ()
    anchor: Anchor | None = None

    def __getitem__(self, rows: Tensor | slice) -> Features:
        """The features of some of the images."""
        # index_select, since the gradient of plain indexing is not deterministic for repeated rows
        maps = self.maps[rows] if isinstance(rows, slice) else _select(self.maps, rows)
        return Features(maps, self.grids[rows], self.sizes[rows], tuple(s[rows] for s in self.skips), self.anchor)

    @property
    def nbytes(self) -> int:
        """Bytes of all maps."""
        return self.maps.nbytes + sum(skip.nbytes for skip in self.skips)

    def unpadded(self) -> tuple[Float[Tensor, "N C h w"], list[Tensor]]:
        """The maps and skip maps without padding; all images must have one size."""
        height, width = self.grids[0].tolist()
        return self.maps[..., :height, :width], [skip.unpadded()[0] for skip in self.skips]


def _select(maps: Tensor, rows: Tensor) -> Tensor:
    # a single image needs no copy, which would cost as much as the rest of an update; an exported graph must work for
    # any number of images
    one = not torch.compiler.is_exporting() and len(maps) == len(rows) == 1
    return maps if one else maps.index_select(0, rows)


def stack(parts: Sequence[Features]) -> Features:
    """Concatenate features of several sets of images."""
    if len(parts) == 1:
        return parts[0]
    height, width = (max(part.maps.shape[axis] for part in parts) for axis in (-2, -1))
    maps = [F.pad(part.maps, (0, width - part.maps.shape[-1], 0, height - part.maps.shape[-2])) for part in parts]
    grids, sizes = (torch.cat([getattr(part, name) for part in parts]) for name in ("grids", "sizes"))
    skips = (stack(level) for level in zip(*(part.skips for part in parts), strict=True))
    return Features(torch.cat(maps), grids, sizes, tuple(skips), parts[0].anchor)


def by_size(sizes: Int[Tensor, "N 2"]) -> Iterator[tuple[tuple[int, int], Tensor | slice]]:
    """Each distinct size and the rows that have it; a slice if all sizes are equal, since that needs no copy."""
    if (sizes == sizes[:1]).all():
        yield (int(sizes[0, 0]), int(sizes[0, 1])), slice(None)
        return
    for size in torch.unique(sizes, dim=0).tolist():
        rows = torch.nonzero((sizes == sizes.new_tensor(size)).all(1)).flatten()
        yield (size[0], size[1]), rows


def place(parts: list[tuple[Tensor | slice, Tensor]], number: int) -> Tensor:
    """Undo `by_size`: put groups of maps ``[n, ..., h, w]`` into one tensor, zero-padded at the bottom and right."""
    if len(parts) == 1:
        return parts[0][1]
    first = parts[0][1]
    height = max(part.shape[-2] for _, part in parts)
    width = max(part.shape[-1] for _, part in parts)
    out = first.new_zeros(number, *first.shape[1:-2], height, width)
    for rows, part in parts:
        out[rows, ..., : part.shape[-2], : part.shape[-1]] = part
    return out


def cells(
    pixels: Int[Tensor, "D 2"],
    sizes: Int[Tensor, "D 2"],
    grids: Int[Tensor, "D 2"],
    width: int,
    anchor: Anchor | None = None,
) -> tuple[Int[Tensor, "D 4"], Float[Tensor, "D 4"]]:
    """The four cells around each pixel, as flat indices, and their bilinear weights, which sum to exactly one.

    This is the transpose of bilinear upsampling from grid to image (half-pixel centres, clamped at the border), so the
    guidance of a dot is the upsampled feature at the dot.

    Args:
        pixels: row and column of each of D dots.
        sizes: height and width of the image of each dot.
        grids: rows and columns of the grid of each dot.
        width: columns of the (padded) grid that the flat indices refer to.
        anchor: position of the grids; None if each spans its image.

    Example:
        >>> corner = torch.tensor([[0, 0]])
        >>> cell, weight = cells(corner, torch.tensor([[8, 8]]), torch.tensor([[2, 2]]), width=2)
        >>> weight.sum().item(), cell[weight > 0].tolist()
        (1.0, [0])
    """
    position = (pixels + 0.5 - anchor.start) / anchor.stride if anchor else (pixels + 0.5) * grids / sizes
    position = torch.minimum((position - 0.5).clamp(min=0), (grids - 1).to(position.dtype))
    low = position.floor()
    high = torch.minimum(low.long() + 1, grids - 1)
    part = position - low
    (y, x), (fy, fx) = low.long().unbind(1), part.unbind(1)
    y1, x1 = high.unbind(1)
    index = torch.stack([y * width + x, y * width + x1, y1 * width + x, y1 * width + x1], dim=1)
    weight = torch.stack([(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx], dim=1)
    return index, weight


def pool_mask(
    indicators: Float[Tensor, "*batch H W"],
    size: tuple[int, int],
    grid: tuple[int, int],
    anchor: Anchor | None = None,
) -> Float[Tensor, "*batch h w"]:
    """``D A``: the map of `cells` applied to dense indicators. The sum over cells is the number of pixels.

    Args:
        indicators: 1 where a label is annotated; only the top left ``size`` is read.
        size: height and width of the image.
        grid: rows and columns of its feature grid.
        anchor: position of the grid; None if it spans the image.
    """
    device, dtype = indicators.device, indicators.dtype
    rows = _interpolation(grid[0], size[0], anchor).to(device, dtype)
    columns = _interpolation(grid[1], size[1], anchor).to(device, dtype)
    return rows.T @ indicators[..., : size[0], : size[1]] @ columns


def upsample(
    maps: Float[Tensor, "N K h w"], size: tuple[int, int], anchor: Anchor | None = None
) -> Float[Tensor, "N K H W"]:
    """Bilinear interpolation from the grid to the image, the transpose of `pool_mask`; clamped at the border.

    It is two matrix products, one per axis, several times as fast as `F.interpolate` on a CPU. On fine grids, OpenCV
    takes a twentieth of that time; it rounds positions to about 1e-5 of a cell.
    """
    height, width = maps.shape[-2:]
    if torch.compiler.is_exporting():  # the matrices depend on the size, but a graph must work for any
        return F.interpolate(maps, size, mode="bilinear", align_corners=False)
    if height * width >= FINE and anchor is None and _is_answer(maps):
        return _resized(maps, size)
    with torch.autocast(maps.device.type, enabled=False):  # autocast would round the weights
        maps = maps.float()
        rows, columns = (_interpolation(*pair, anchor).to(maps) for pair in ((height, size[0]), (width, size[1])))
        return rows @ (maps @ columns.T)


def _is_answer(maps: Tensor) -> bool:
    """Whether plain values suffice: fp32 on a CPU, without gradient or graph."""
    graph = torch.compiler.is_compiling()
    return maps.device.type == "cpu" and maps.dtype == torch.float32 and not (maps.requires_grad or graph)


def _resized(maps: Float[Tensor, "N K h w"], size: tuple[int, int]) -> Float[Tensor, "N K H W"]:
    found = maps.new_empty(*maps.shape[:2], *size)
    for source, target in zip(maps.flatten(0, 1).contiguous(), found.flatten(0, 1), strict=True):
        pixels = source.numpy()
        if pixels[0, 0] or pixels.any():  # the first pixel mostly decides, and costs nothing
            cv2.resize(pixels, size[::-1], dst=target.numpy(), interpolation=cv2.INTER_LINEAR)
        else:  # heads that compare with the negative score it 0 everywhere
            target.zero_()
    return found


@lru_cache(maxsize=256)
def _interpolation(cells_: int, pixels: int, anchor: Anchor | None = None) -> Tensor:
    """Weights ``[pixels, cells]`` of bilinear upsampling along one axis, cached for inference and training."""
    with torch.inference_mode(False):
        return _weights(cells_, pixels, anchor)


def _weights(cells_: int, pixels: int, anchor: Anchor | None) -> Tensor:
    if anchor is None:
        return F.interpolate(torch.eye(cells_)[None], size=pixels, mode="linear", align_corners=False)[0].T.contiguous()
    position = (torch.arange(pixels) + 0.5 - anchor.start) / anchor.stride - 0.5
    position = position.clamp(0, cells_ - 1)
    return (1 - (position[:, None] - torch.arange(cells_)).abs()).clamp(min=0)

"""Backbones φ: from images to feature maps (paper, section 4); frozen, partly frozen or trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from guided_seg.errors import UserError
from guided_seg.files.tensors import load_plain, unreadable
from guided_seg.model.features import Anchor, laid_out

Frozen = bool | int
"""Frozen stages of a backbone: all (True), none (False), or the first n."""


class WeightsError(UserError):
    """Pretrained weights cannot be found or do not fit; the message says what to do."""


class Backbone(nn.Module, ABC):
    """From RGB images in 0..1 to features. The backbone applies the normalisation that its weights expect.

    Attributes:
        channels: C of the features.
        stride: pixels per cell. Without a border, an H x W image has ceil(H / stride) x ceil(W / stride) cells.
        border: padding around the image, in pixels.
        lost: cells lost to convolutions without padding.
        anchor: position of the grid on the image if there is a border; None if the grid spans the image.
        skip_channels: channels of the skip maps, the earlier maps that `pyramid` adds, from coarse to fine.
        longest: longest side in pixels; larger images are downscaled before they are encoded. None for no limit. Maps
            span the image either way, so no other module depends on it.
        enlarge: upscale smaller images to ``longest``, so that all images are encoded at one scale.
    """

    channels: int
    stride: int
    border: int = 0
    lost: int = 0
    anchor: Anchor | None = None
    skip_channels: tuple[int, ...] = ()
    longest: int | None = None
    enlarge: bool = False
    mean: Tensor
    std: Tensor

    def __init__(self, frozen: Frozen, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.frozen = frozen
        # buffers, so that they are saved with the weights
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    @abstractmethod
    def stages(self) -> list[nn.Module]:
        """The pretrained stages, in order from the image; layers that are always trained are not included."""

    @abstractmethod
    def maps(self, images: Float[Tensor, "N I H W"]) -> list[Tensor]:
        """The output of the pretrained stages on normalised images, then the skip maps.

        The output is the features ``[N, C, h, w]``, or the input of `finish`.
        """

    def finish(self, maps: list[Tensor]) -> list[Tensor]:
        """Apply the layers that are always trained, if any: from `maps` to the features, then the skip maps."""
        return maps

    def pyramid(self, images: Float[Tensor, "N 3 H W"], extra: Float[Tensor, "N E H W"] | None = None) -> list[Tensor]:
        """The features, then the skip maps; for the arguments see `trunk`."""
        return self.finish(self.trunk(images, extra))

    def trunk(self, images: Float[Tensor, "N 3 H W"], extra: Float[Tensor, "N E H W"] | None = None) -> list[Tensor]:
        """Downscale and normalise images, and compute their `maps`. If all stages are frozen, these can be cached.

        Args:
            images: RGB in 0..1.
            extra: extra input channels in 0..1, see `widen`; scaled to the range of the normalised image, as in the
                original, where dots are 128 and pixels -128 to 128.
        """
        images = (reduced(images, self.longest, self.enlarge) - self.mean) / self.std
        if extra is not None:
            images = torch.cat([images, extra * (128 / 255 / self.std.mean())], dim=1)
        return self.maps(laid_out(images))

    def forward(
        self, images: Float[Tensor, "N 3 H W"], extra: Float[Tensor, "N E H W"] | None = None
    ) -> Float[Tensor, "N C h w"]:
        """The features, without the skip maps; see `pyramid`."""
        return self.pyramid(images, extra)[0]

    def widen(self, extra: int) -> None:
        """Add ``extra`` input channels to the first convolution, with the mean of its weights over RGB."""
        first = next(module for module in self.modules() if isinstance(module, nn.Conv2d))
        mean = first.weight.detach().mean(1, keepdim=True)
        first.weight = nn.Parameter(torch.cat([first.weight.detach(), mean.expand(-1, extra, -1, -1)], dim=1))
        first.in_channels += extra

    def grid(self, pixels: int) -> int:
        """The number of cells along a side of this many pixels."""
        return max(1, -(-(pixels + 2 * self.border) // self.stride) - self.lost)

    def freeze(self) -> None:
        """Disable gradients and batch statistics of the frozen stages. Subclasses call it at the end of __init__."""
        # Lightning does not call `train` before training, so overriding it is not enough
        for stage in self._frozen_stages():
            stage.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Backbone:
        """See `nn.Module.train`. Frozen stages stay in evaluation mode and keep their batch statistics."""
        super().train(mode)
        for stage in self._frozen_stages():
            stage.eval()
        return self

    def _frozen_stages(self) -> list[nn.Module]:
        stages = self.stages()
        return stages[: len(stages) if self.frozen is True else int(self.frozen)]


def reduced(images: Float[Tensor, "N 3 H W"], longest: int | None, enlarge: bool = False) -> Float[Tensor, "N 3 y x"]:
    """The images, downscaled with antialiasing if their longest side is above a limit.

    Args:
        images: images of one size.
        longest: largest longest side, in pixels; None for no limit.
        enlarge: also upscale smaller images to this side.

    Example:
        >>> reduced(torch.zeros(1, 3, 300, 400), 200).shape, reduced(torch.zeros(1, 3, 30, 40), 200).shape
        (torch.Size([1, 3, 150, 200]), torch.Size([1, 3, 30, 40]))
    """
    height, width = images.shape[-2:]
    if longest is None or max(height, width) == longest or (max(height, width) < longest and not enlarge):
        return images
    size = [max(1, round(side * longest / max(height, width))) for side in (height, width)]
    return nn.functional.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the named tensors of a ``.safetensors`` or PyTorch file.

    Raises:
        WeightsError: there is no such file, it cannot be read, or it holds anything but tensors.
    """
    if not path.is_file():
        raise WeightsError(f"There is no weights file {path}; check backbone.weights.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = load_plain(path)
    except Exception as error:
        raise WeightsError(
            f"The weights file {path} cannot be read as PyTorch or safetensors ({unreadable(path, error)}."
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"The weights file {path} does not hold named tensors; expected a state_dict.")
    return dict(state)


class Blank(Backbone):
    """A backbone without features (C = 0), for a segmentor that reads only the guidance.

    Args:
        like: the backbone whose grid it uses.
    """

    def __init__(self, like: Backbone) -> None:
        super().__init__(True, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        self.channels, self.stride = 0, like.stride
        self.anchor, self.border, self.lost = like.anchor, like.border, like.lost

    def stages(self) -> list[nn.Module]:
        """Empty: nothing is pretrained."""
        return []

    def maps(self, images: Float[Tensor, "N I H W"]) -> list[Tensor]:
        """See `Backbone.maps`."""
        return [images.new_zeros(len(images), 0, *map(self.grid, images.shape[-2:]))]


def check_stride(stride: int | None, known: Sequence[int]) -> int:
    """The output stride; None means the first of ``known``. Raises `UserError` if it is not in ``known``."""
    if stride is not None and stride not in known:
        raise UserError(
            f"resolution.output_stride={stride}: this backbone has {', '.join(map(str, known))}; choose one, or "
            "resolution=native."
        )
    return stride or known[0]


class Small(Backbone):
    """A small residual network. It can be trained from scratch on `shapes` in minutes on a CPU.

    Args:
        width: C.
        blocks: number of residual blocks, with dilations 1, 2, 4, 1, 2, 4, ...
        output_stride: 4, or 8 or 16 with average pooling before the blocks.
    """

    def __init__(self, width: int = 64, blocks: int = 4, output_stride: int | None = None) -> None:
        super().__init__(False, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
        self.stride = check_stride(output_stride, (4, 8, 16))
        self.channels, self.skip_channels = width, (width // 2,)
        self.stem = nn.Sequential(_conv(3, width // 2, stride=2), _conv(width // 2, width, stride=2))
        self.pool = nn.AvgPool2d(self.stride // 4, ceil_mode=True, count_include_pad=False)
        self.blocks = nn.Sequential(*[_Block(width, 2 ** (i % 3)) for i in range(blocks)])
        self.head = nn.Conv2d(width, width, 1)

    def stages(self) -> list[nn.Module]:
        """Empty, since no part is pretrained."""
        return []

    def maps(self, images: Float[Tensor, "N I H W"]) -> list[Tensor]:
        """See `Backbone.maps`."""
        fine = self.stem[0](images)
        return [self.head(self.blocks(self.pool(self.stem[1](fine)))), fine]


class _Block(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = _conv(width, width, dilation=dilation)
        self.second = nn.Sequential(nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(self.first(x)))


def _conv(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))

"""φ: backbones that turn images into feature maps (paper, section 4), frozen, partly frozen or trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from guided_seg.errors import UserError
from guided_seg.files.tensors import unreadable
from guided_seg.model.features import Anchor, laid_out

Frozen = bool | int
"""True: no weight is trained; False: all are; n: the first n stages are not."""


class WeightsError(UserError):
    """Pretrained weights that cannot be had; the message says what to do."""


class Backbone(nn.Module, ABC):
    """RGB images in 0..1 to features; the normalisation that belongs to the weights is part of it.

    Attributes:
        channels: C of the features.
        stride: pixels per cell; an H x W image has ceil(H / stride) x ceil(W / stride) cells, where there is no border.
        border: pixels around the image.
        lost: cells that convolutions without padding take away.
        anchor: where the grid lies on the image, with a border; None where the grid spans the image.
        skip_channels: channels of the earlier maps that `pyramid` gives besides, from coarse to fine.
        longest: pixels of the longest side to which larger images are reduced before they are encoded; None for no
            limit. Maps span the image in any case, so nothing else has to know of it.
        enlarge: enlarge smaller ones to it, so that all images are encoded at one scale.
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
        # saved with the weights that they belong to
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    @abstractmethod
    def stages(self) -> list[nn.Module]:
        """The pretrained parts, from the image on; layers that are always trained are not among them."""

    @abstractmethod
    def maps(self, images: Float[Tensor, "N I H W"]) -> list[Tensor]:
        """What normalised images become as far as the pretrained stages go, then the earlier maps of ``skip_channels``.

        It is the features ``[N, C, h, w]`` themselves, or what `finish` makes them of.
        """

    def finish(self, maps: list[Tensor]) -> list[Tensor]:
        """The features by the layers that are always trained, where there are any; then the earlier maps, as given."""
        return maps

    def pyramid(self, images: Float[Tensor, "N 3 H W"], extra: Float[Tensor, "N E H W"] | None = None) -> list[Tensor]:
        """The features and the earlier maps; see `trunk`."""
        return self.finish(self.trunk(images, extra))

    def trunk(self, images: Float[Tensor, "N 3 H W"], extra: Float[Tensor, "N E H W"] | None = None) -> list[Tensor]:
        """Reduce, normalise and extract the `maps`, which stay the same for good where all stages are frozen.

        Args:
            images: RGB in 0..1.
            extra: further channels in 0..1, if `widen` made room for them; brought to the spread of the image, as the
                original's dots of 128 beside pixels of -128 to 128.
        """
        images = (reduced(images, self.longest, self.enlarge) - self.mean) / self.std
        if extra is not None:
            images = torch.cat([images, extra * (128 / 255 / self.std.mean())], dim=1)
        return self.maps(laid_out(images))

    def forward(
        self, images: Float[Tensor, "N 3 H W"], extra: Float[Tensor, "N E H W"] | None = None
    ) -> Float[Tensor, "N C h w"]:
        """The features alone; see `pyramid`."""
        return self.pyramid(images, extra)[0]

    def widen(self, extra: int) -> None:
        """Let the first convolution read ``extra`` more channels, by the mean of its weights over the image's."""
        first = next(module for module in self.modules() if isinstance(module, nn.Conv2d))
        mean = first.weight.detach().mean(1, keepdim=True)
        first.weight = nn.Parameter(torch.cat([first.weight.detach(), mean.expand(-1, extra, -1, -1)], dim=1))
        first.in_channels += extra

    def grid(self, pixels: int) -> int:
        """How many cells a side of so many pixels has."""
        return max(1, -(-(pixels + 2 * self.border) // self.stride) - self.lost)

    def freeze(self) -> None:
        """Take the gradient and new batch statistics from the frozen stages; subclasses call it once they are built."""
        # Lightning trains in the mode that it finds, so `train` alone would come too late
        for stage in self._frozen_stages():
            stage.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Backbone:
        """As `nn.Module.train`, but frozen stages keep the batch statistics of their weights."""
        super().train(mode)
        for stage in self._frozen_stages():
            stage.eval()
        return self

    def _frozen_stages(self) -> list[nn.Module]:
        stages = self.stages()
        return stages[: len(stages) if self.frozen is True else int(self.frozen)]


def reduced(images: Float[Tensor, "N 3 H W"], longest: int | None, enlarge: bool = False) -> Float[Tensor, "N 3 y x"]:
    """The images, with their longest side of at most so many pixels; what is larger is averaged, not skipped.

    Args:
        images: of one size.
        longest: pixels; None for no limit.
        enlarge: make it exactly so many.

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
    """The tensors of a ``.safetensors`` file or of a PyTorch file that holds only tensors.

    Raises:
        WeightsError: there is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise WeightsError(f"There is no weights file {path}; check backbone.weights.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"The weights file {path} cannot be read as PyTorch or safetensors ({unreadable(path, error)}."
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"The weights file {path} does not hold named tensors; expected a state_dict.")
    return dict(state)


class Blank(Backbone):
    """No features at all, on the grid of another backbone: for a segmentor that reads guidance alone.

    Args:
        like: the backbone whose grid it has.
    """

    def __init__(self, like: Backbone) -> None:
        super().__init__(True, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        self.channels, self.stride = 0, like.stride
        self.anchor, self.border, self.lost = like.anchor, like.border, like.lost

    def stages(self) -> list[nn.Module]:
        """There are none."""
        return []

    def maps(self, images: Float[Tensor, "N I H W"]) -> list[Tensor]:
        """See `Backbone.maps`."""
        return [images.new_zeros(len(images), 0, *map(self.grid, images.shape[-2:]))]


def check_stride(stride: int | None, known: Sequence[int]) -> int:
    """The output stride; the first of ``known`` where None is asked for. Raises `UserError` on any other."""
    if stride is not None and stride not in known:
        raise UserError(
            f"resolution.output_stride={stride}: this backbone has {', '.join(map(str, known))}; choose one, or "
            "resolution=native."
        )
    return stride or known[0]


class Small(Backbone):
    """A residual net to be trained from scratch on `shapes` in minutes on a CPU.

    Args:
        width: C.
        blocks: residual blocks, with dilations 1, 2, 4, 1, 2, 4, ...
        output_stride: 4, or 8 or 16, which average the map before the blocks.
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
        """None is pretrained."""
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

"""VGG-16 as a fully convolutional backbone, the paper's (section 4)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from guided_seg.model.backbone import Backbone, Frozen, WeightsError, check_stride, read_weights
from guided_seg.model.features import Anchor

Normalization = Literal["auto", "imagenet", "caffe"]
_STATISTICS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    # trained on 0..255 minus the mean of each channel; as divisions of 0..1, in RGB order
    "caffe": (tuple(v / 255 for v in (123.68, 116.779, 103.939)), (1 / 255,) * 3),
}
_BORDER = 80  # beside the one pixel that the first convolution has anyway
_FC6 = 192  # pixels that fc6 takes away without padding: six cells of 32
_LAYERS = (64, 64, "pool", 128, 128, "pool", *(256,) * 3, "pool", *(512,) * 3, "pool", *(512,) * 3, "pool")


class Vgg16(Backbone):
    """Thirteen convolutions with ceil-mode pooling and fc6 as a 7 x 7 convolution.

    Args:
        width: C, the channels of fc6. 4096 is the paper's, with its pretrained fc6 where the weights have one; any
            other (256 is the paper's lite form) starts from N(0, 0.001).
        weights: ``torchvision`` (downloads), a file in torchvision's key names, or ``random``.
        normalization: of the input, as the weights were trained: ``imagenet`` (torchvision's), ``caffe`` (the original
            Oxford weights), or ``auto``: caffe for a file whose name says so, else imagenet.
        frozen: see `Frozen`; stages are the thirteen convolutions.
        dropout: spatial dropout after fc6.
        fc7: whether fc7 follows, a 1 x 1 convolution of as many channels; late fusion has its own after the fusion.
        output_stride: 32, or 16 or 8 by dilation: the last poolings keep the size, and what follows is dilated.
        border: pad the first convolution by 81 and fc6 by nothing, as the original, whose grid then begins at pixel 16
            whatever the size; it costs half as much again at 480 x 854. Otherwise both keep the size.

    Raises:
        WeightsError: the weights cannot be had or do not fit.
    """

    def __init__(
        self,
        width: int = 4096,
        weights: str = "torchvision",
        normalization: Normalization = "auto",
        frozen: Frozen = False,
        dropout: float = 0.5,
        fc7: bool = False,
        output_stride: int | None = None,
        border: bool = False,
    ) -> None:
        if normalization == "auto":
            normalization = "caffe" if "caffe" in Path(weights).name else "imagenet"
        if normalization not in _STATISTICS:
            raise WeightsError(f"backbone.normalization={normalization}; expected auto, imagenet or caffe.")
        mean, std = _STATISTICS[normalization]
        super().__init__(frozen, mean, std)
        self.stride = check_stride(output_stride, (32, 16, 8))
        self.channels, self._bgr = width, normalization == "caffe"
        self.convolutions = _convolutions()
        dilation = _dilate(self.convolutions, 32 // self.stride)
        self.skip_channels = (512, 256) if self.stride == 32 else (256,) if self.stride == 16 else ()
        self.fc6 = _fully(512, width, 7, dilation)
        if border:
            self.border, self.lost, self.fc6.padding, self.skip_channels = _BORDER, _FC6 // self.stride, (0, 0), ()
            self.anchor = Anchor(_FC6 // 2 - _BORDER, self.stride)
        self.fc7 = _fully(width, width, 1) if fc7 else None
        self.dropout = nn.Dropout2d(dropout)
        if weights != "random":
            self._load(_torchvision_weights() if weights == "torchvision" else read_weights(Path(weights)), weights)
        self.freeze()

    def stages(self) -> list[nn.Module]:
        """The thirteen convolutions."""
        return [layer for layer in self.convolutions if isinstance(layer, nn.Conv2d)]

    def maps(self, images: Float[Tensor, "N I H W"]) -> list[Tensor]:
        """See `Backbone.maps`: the last pooling."""
        images = self._bordered(images)
        pools = []
        for layer in self.convolutions:
            images = layer(images)
            if isinstance(layer, nn.MaxPool2d):
                pools.append(images)
        # pool4 and pool3 (strides 16 and 8), as far as they are finer than the features
        return [images, *pools[3:1:-1][2 - len(self.skip_channels) :]]

    def finish(self, maps: list[Tensor]) -> list[Tensor]:
        """Fc6, and fc7 where it is part of the backbone."""
        x = self.dropout(torch.relu(self.fc6(maps[0])))
        if self.fc7 is not None:
            x = self.dropout(torch.relu(self.fc7(x)))
        return [x, *maps[1:]]

    def _bordered(self, images: Tensor) -> Tensor:
        """Zeros around the normalised images, and below small ones as many as one cell of fc6 needs."""
        if not self.border:
            return images
        height, width = (max(_BORDER, _FC6 + 1 - _BORDER - side) for side in images.shape[-2:])
        return nn.functional.pad(images, (_BORDER, width, _BORDER, height))

    def _load(self, state: dict[str, Tensor], origin: str) -> None:
        own = self.convolutions.state_dict()
        wrong = [name for name in own if getattr(state.get(f"features.{name}"), "shape", None) != own[name].shape]
        if wrong:
            raise WeightsError(
                f"The weights {origin} lack features.{wrong[0]} of shape {tuple(own[wrong[0]].shape)} and "
                f"{len(wrong) - 1} more; expected the 13 convolutions of torchvision's vgg16 under its names."
            )
        self.convolutions.load_state_dict({name: state[f"features.{name}"].float() for name in own})
        if self._bgr:  # the first convolution expects blue first; turned once here instead of every image
            first = self.stages()[0].weight
            first.data.copy_(first.data.flip(1))  # type: ignore[operator]
        for layer, name in ((self.fc6, "classifier.0"), (self.fc7, "classifier.3")):
            if layer is not None and f"{name}.weight" in state and self.channels == 4096:
                layer.weight.data.copy_(state[f"{name}.weight"].view_as(layer.weight))
                layer.bias.data.copy_(state[f"{name}.bias"])  # type: ignore[union-attr]


def _convolutions() -> nn.Sequential:
    """As the `features` of torchvision's vgg16, name by name, but for the ceil mode."""
    layers: list[nn.Module] = []
    inputs = 3
    for outputs in _LAYERS:
        if isinstance(outputs, str):
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
            continue
        conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        layers += [conv, nn.ReLU(inplace=True)]
        inputs = outputs
    return nn.Sequential(*layers)


def _dilate(layers: nn.Sequential, factor: int) -> int:
    """Let the last poolings keep the size and dilate what follows; the dilation that fc6 needs then."""
    kept, dilation = {2: [-1], 4: [-2, -1]}.get(factor, []), 1
    pools = [i for i, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    same = {pools[i] for i in kept}
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):
            layer.dilation = layer.padding = (dilation, dilation)
        elif i in same:
            layers[i] = nn.MaxPool2d(3, stride=1, padding=1)
            dilation *= 2
    return dilation


def _fully(inputs: int, outputs: int, size: int, dilation: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, size, padding=size // 2 * dilation, dilation=dilation)
    nn.init.normal_(conv.weight, std=1e-3)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


def _torchvision_weights() -> dict[str, Tensor]:
    from torchvision.models import VGG16_Weights  # takes a second

    try:
        return dict(VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=True))
    except Exception as error:
        raise WeightsError(
            "torchvision could not download its VGG-16 weights; give a file as backbone.weights=PATH, or "
            f"backbone.weights=random ({type(error).__name__}: {error})."
        ) from error

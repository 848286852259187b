"""VGG-16 as a fully convolutional backbone, as in the paper (section 4)."""

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
    # trained on 0..255 minus the channel means; here scaled to 0..1, in RGB order
    "caffe": (tuple(v / 255 for v in (123.68, 116.779, 103.939)), (1 / 255,) * 3),
}
_BORDER = 80  # in addition to the first convolution's own padding of 1
_FC6 = 192  # pixels lost to fc6 without padding: six cells of 32
_LAYERS = (64, 64, "pool", 128, 128, "pool", *(256,) * 3, "pool", *(512,) * 3, "pool", *(512,) * 3, "pool")


class Vgg16(Backbone):
    """VGG-16: thirteen convolutions with ceil-mode pooling, then fc6 as a 7 x 7 convolution.

    Args:
        width: C, the channels of fc6. 4096, as in the paper, uses the pretrained fc6 if the weights have one. Other
            widths (256 in the paper's lite variant) are initialised from N(0, 0.001).
        weights: ``torchvision`` (a download), a file with torchvision's key names, or ``random``.
        normalization: input normalisation of the weights: ``imagenet`` (torchvision), ``caffe`` (the original Oxford
            weights), or ``auto``: caffe if the file name contains "caffe", else imagenet.
        frozen: see `Frozen`; the stages are the thirteen convolutions.
        dropout: spatial dropout after fc6.
        fc7: add fc7, a 1 x 1 convolution with C channels. Late fusion has its own after the fusion.
        output_stride: 32, or 16 or 8 with dilation: the last pooling layers keep the size, later layers are dilated.
        border: pad the first convolution by 81 and fc6 by 0, as in the original. The grid then starts at pixel 16
            for any image size, and the cost at 480 x 854 is 1.5 times as high. Otherwise both layers keep the size.

    Raises:
        WeightsError: the weights cannot be found or do not fit.
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
        """See `Backbone.maps`: the last pooling layer, then the skips."""
        images = self._bordered(images)
        pools = []
        for layer in self.convolutions:
            images = layer(images)
            if isinstance(layer, nn.MaxPool2d):
                pools.append(images)
        # pool4 and pool3 (strides 16 and 8), but only those finer than the features
        return [images, *pools[3:1:-1][2 - len(self.skip_channels) :]]

    def finish(self, maps: list[Tensor]) -> list[Tensor]:
        """Apply fc6, and fc7 if the backbone has it."""
        x = self.dropout(torch.relu(self.fc6(maps[0])))
        if self.fc7 is not None:
            x = self.dropout(torch.relu(self.fc7(x)))
        return [x, *maps[1:]]

    def _bordered(self, images: Tensor) -> Tensor:
        """Pad the normalised images with zeros; small ones more, until fc6 has one cell."""
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
        if self._bgr:  # the first convolution expects BGR: flip its weights once instead of every image
            first = self.stages()[0].weight
            first.data.copy_(first.data.flip(1))  # type: ignore[operator]
        for layer, name in ((self.fc6, "classifier.0"), (self.fc7, "classifier.3")):
            if layer is not None and f"{name}.weight" in state and self.channels == 4096:
                layer.weight.data.copy_(state[f"{name}.weight"].view_as(layer.weight))
                layer.bias.data.copy_(state[f"{name}.bias"])  # type: ignore[union-attr]


def _convolutions() -> nn.Sequential:
    """The `features` of torchvision's vgg16, with the same names, but with ceil-mode pooling."""
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
    """Make the last pooling layers keep the size, dilate later layers, and return the dilation for fc6."""
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
    from torchvision.models import VGG16_Weights  # a slow import

    try:
        return dict(VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=True))
    except Exception as error:
        raise WeightsError(
            "torchvision could not download its VGG-16 weights; give a file as backbone.weights=PATH, or "
            f"backbone.weights=random ({type(error).__name__}: {error})."
        ) from error

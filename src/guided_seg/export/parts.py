"""The parts of a guided network: encoder (per image), guide (per edit) and segmentor (per query; paper, section 4)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.export import Dim

from guided_seg.episode import Shots
from guided_seg.model.conditioning import FeatureFusion
from guided_seg.model.features import Features
from guided_seg.model.guide.guide import Guidance
from guided_seg.model.guide.locality import Set
from guided_seg.model.network import GuidedNetwork
from guided_seg.model.segmentor import Segmentor

Example = list[tuple[Tensor, dict[int, Any]]]
ANY = Dim.DYNAMIC
IMAGES, LABELS, CANDIDATES = Dim("images", min=1), Dim("labels", min=2), Dim("candidates", min=2)


class Part(nn.Module, ABC):
    """A part of a network that is exported as one file.

    Attributes:
        inputs: type and shape of each argument of `forward`, in order, in words.
        outputs: type and shape of each output, likewise.
    """

    inputs: dict[str, str]
    outputs: dict[str, str]

    @abstractmethod
    def example(self) -> Example:
        """Example inputs for tracing, each with its dynamic axes."""


class EncoderPart(Part):
    """The encoder: φ of one image, then the skip maps if the decoder reads them."""

    def __init__(self, network: GuidedNetwork) -> None:
        super().__init__()
        self.backbone, self.skips = network.backbone, network.decoder.uses_skips
        self.inputs = {"image": "float32 [1, 3, H, W], RGB in 0..1"}
        self.outputs = _maps(network)

    def forward(self, image: Float[Tensor, "1 3 H W"]) -> tuple[Tensor, ...]:
        """The maps listed in ``outputs``."""
        maps = self.backbone.pyramid(image)
        return tuple(maps if self.skips else maps[:1])

    def example(self) -> Example:
        """See `Part.example`."""
        return [(torch.zeros(1, 3, 197, 262), {2: ANY, 3: ANY})]


class GuidePart(Part):
    """The guide: g of all annotated images together, including the merge."""

    def __init__(self, network: GuidedNetwork) -> None:
        super().__init__()
        self.guide, self.channels = network.guide, network.backbone.channels
        self.inputs = {
            "features": f"float32 [S, {self.channels}, h, w] of S annotated images; below and to the right of the "
            "smaller ones are zeros",
            "grids": "int64 [S, 2], the rows and columns of each image's own features",
            "sizes": "int64 [S, 2], the height and width of each image",
            "points": "int64 [P, 4], of each dot the image (0 to S - 1), row, column and label (0 is the negative); "
            "no pixel twice",
            "num_labels": "int64 [], K, with the negative",
        }
        self.outputs = _guidance(network) | {
            "annotated": "bool [K], which labels have dots; z of the others is the learned vector for no guidance"
        }

    def forward(
        self,
        features: Float[Tensor, "S C h w"],
        grids: Int[Tensor, "S 2"],
        sizes: Int[Tensor, "S 2"],
        points: Int[Tensor, "P 4"],
        num_labels: Int[Tensor, ""],
    ) -> tuple[Tensor, ...]:
        """The guidance z of each label, ``valid`` if z is a set, and which labels are annotated."""
        labels: Any = num_labels.item()  # symbolic during tracing
        torch._check(labels >= 1)
        number = torch.arange(features.shape[0])
        one = torch.zeros_like(number)
        shots = Shots(number, one, points, torch.zeros(0, 0, 0, dtype=torch.uint8), number[:0], labels)
        guidance = self.guide.join(self.guide.show(Features(features, grids, sizes), shots), one, 1)
        valid = () if guidance.valid is None else (guidance.valid[0],)
        return guidance.z[0], *valid, guidance.annotated[0]

    def example(self) -> Example:
        """See `Part.example`."""
        # separate tensors: one tensor passed twice would be traced as one input
        grids, sizes = torch.ones(2, 2, dtype=torch.int64), torch.ones(2, 2, dtype=torch.int64)
        features, points = torch.zeros(2, self.channels, 5, 7), torch.zeros(3, 4, dtype=torch.int64)
        each = {0: IMAGES}
        query = (features, each | {2: ANY, 3: ANY})
        return [query, (grids, each), (sizes, each), (points, {0: ANY}), (torch.tensor(3), {})]


class SegmentorPart(Part):
    """The segmentor: f of one query, including the decoder; scores at the size of the image."""

    def __init__(self, network: GuidedNetwork) -> None:
        super().__init__()
        self.conditioning, self.decoder = network.conditioning, network.decoder
        self.channels, self.is_set = network.backbone.channels, _is_set(network)
        self.skips, self.labels = _skip_channels(network), fixed_labels(network)
        features, *skips = _maps(network).items()
        z, *valid = _guidance(network).items()
        size = ("size", "int64 [2], H and W of the image")
        self.inputs = dict([features, z, size, *valid, *skips])
        self.outputs = {"scores": "float32 [K, H, W]; softmax over K gives probabilities"}

    def forward(
        self, features: Float[Tensor, "1 C h w"], z: Float[Tensor, "K C *M"], size: Int[Tensor, " 2"], *more: Tensor
    ) -> Float[Tensor, "K H W"]:
        """The score of each label at each pixel; ``more`` is ``valid`` if z is a set, then the skip maps."""
        height, width = size.tolist()
        torch._check(height >= 1)
        torch._check(width >= 1)
        valid, skips = (more[0][None], more[1:]) if self.is_set else (None, more)
        guidance = Guidance(z[None], torch.ones(1, z.shape[0], dtype=torch.bool), valid)
        segmentor = Segmentor(self.conditioning, self.decoder)
        return segmentor.score(segmentor.prepare(features, skips, (height, width)), guidance)[0]

    def example(self) -> Example:
        """See `Part.example`."""
        labels, grid = ({} if self.labels else {0: LABELS}), {2: ANY, 3: ANY}
        number = self.labels or 3
        query = (torch.zeros(1, self.channels, 5, 7), grid)
        size: tuple[Tensor, dict[int, Any]] = (torch.tensor([19, 27]), {})
        skips = [(torch.zeros(1, c, 11 + 2 * i, 13 + 2 * i), grid) for i, c in enumerate(self.skips)]
        if not self.is_set:
            return [query, (torch.zeros(number, self.channels), labels), size, *skips]
        z, valid = torch.zeros(number, self.channels, 4), torch.ones(number, 4, dtype=torch.bool)
        return [query, (z, labels | {2: CANDIDATES}), size, (valid, labels | {1: CANDIDATES}), *skips]


def parts_of(network: GuidedNetwork) -> dict[str, Part]:
    """The three parts by name. They share the network's weights."""
    return {"encoder": EncoderPart(network), "guide": GuidePart(network), "segmentor": SegmentorPart(network)}


def fixed_labels(network: GuidedNetwork) -> int:
    """K, if the scorer is joint and K is fixed; 0 if K may vary."""
    return network.conditioning.joint if isinstance(network.conditioning, FeatureFusion) else 0


def _is_set(network: GuidedNetwork) -> bool:
    return isinstance(network.guide.fusion.locality, Set)


def _maps(network: GuidedNetwork) -> dict[str, str]:
    """The features, and the skip maps that the decoder reads, from coarse to fine."""
    channels = {"features": network.backbone.channels}
    channels |= {f"skip_{i}": c for i, c in enumerate(_skip_channels(network))}
    return {name: f"float32 [1, {c}, rows, columns] of one image" for name, c in channels.items()}


def _skip_channels(network: GuidedNetwork) -> tuple[int, ...]:
    return network.backbone.skip_channels if network.decoder.uses_skips else ()


def _guidance(network: GuidedNetwork) -> dict[str, str]:
    channels = network.backbone.channels
    if not _is_set(network):
        return {"z": f"float32 [K, {channels}], the guidance of each label"}
    return {
        "z": f"float32 [K, {channels}, M], features that may guide each label",
        "valid": "bool [K, M], which of them do",
    }

"""Networks: the interface, and the guided network of backbone φ, guide g and segmentor f (paper, section 4)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from guided_seg.episode import Batch, Shots
from guided_seg.model.backbone import Backbone
from guided_seg.model.conditioning import Conditioning
from guided_seg.model.decoder import Bilinear, Decoder
from guided_seg.model.features import Anchor, Features, by_size, place, pool_mask
from guided_seg.model.guide.guide import Guidance, Guide
from guided_seg.model.guide.shown import Shown
from guided_seg.model.precision import Exact
from guided_seg.model.segmentor import Prepared, Segmentor

ALIKE = 16
"""In training on a GPU, the number of images encoded at once is a multiple of this."""

UpdateCost = Literal["none", "head", "full"]


class Network(nn.Module, ABC):
    """The interface of all networks to training, evaluation and sessions: scores of a batch, images encoded once.

    Attributes:
        backbone: φ.
        needs_same_image: whether support and query must be one image.
        update_cost: what a new dot recomputes: ``none``, if the network reads no dots; the ``head``, on cached
            features; or a ``full`` encoder pass, or more.
        precision: precision of `encode`, ``bf16`` or ``fp32``; the features are fp32 either way. Training leaves it at
            fp32 and runs inside ``torch.autocast`` instead.
    """

    backbone: Backbone
    precision: Exact = "fp32"
    needs_same_image: bool = False
    update_cost: UpdateCost = "head"

    @abstractmethod
    def encode(self, images: Float[Tensor, "N 3 H W"], sizes: Int[Tensor, "N 2"]) -> Features:
        """The features φ of padded images. Padding is cropped first, so batching does not change the result."""

    @abstractmethod
    def forward(self, batch: Batch, features: Features | None = None) -> Float[Tensor, "B K H W"]:
        """Scores at the size of the batch's (padded) images; -inf for labels that an episode lacks.

        Args:
            batch: B episodes.
            features: features of the batch's images, if already encoded.
        """


class StagedNetwork(Network, ABC):
    """A network in stages: `encode` an image, `extract` z of the support, `prepare` a query, `score` it by z.

    Each stage is a pure function, so its result can be cached. `forward` composes them.

    Args:
        backbone: φ.
        decoder: decoder after the conditioning; by default bilinear interpolation.
    """

    def __init__(self, backbone: Backbone, decoder: Decoder | None = None) -> None:
        super().__init__()
        self.backbone, self.decoder = backbone, decoder or Bilinear()

    @property
    @abstractmethod
    def segmentor(self) -> Segmentor:
        """The segmentor f."""

    def encode(self, images: Float[Tensor, "N 3 H W"], sizes: Int[Tensor, "N 2"]) -> Features:
        """See `Network.encode`."""
        return gather(self._maps, images, sizes, self.backbone.anchor)

    def _maps(self, images: Tensor) -> list[Tensor]:
        if self.precision == "fp32":
            return self._pyramid(images)
        with torch.autocast(images.device.type, torch.bfloat16):
            return [maps.float() for maps in self._pyramid(images)]

    def _pyramid(self, images: Tensor) -> list[Tensor]:
        return self.backbone.pyramid(images) if self.decoder.uses_skips else [self.backbone(images)]

    @abstractmethod
    def extract(self, features: Features, batch: Batch) -> Guidance:
        """The guidance z of each episode."""

    def prepare(self, queries: Features) -> Prepared:
        """Compute what depends only on the queries; all must have one size."""
        height, width = queries.sizes[0].tolist()
        return self.segmentor.prepare(*queries.unpadded(), (height, width), queries.anchor)

    def score(self, prepared: Prepared, guidance: Guidance, first: int = 0) -> Float[Tensor, "B K H W"]:
        """The scores of all labels at the size of the queries; see `Segmentor.score`."""
        return self.segmentor.score(prepared, guidance, first)

    def forward(self, batch: Batch, features: Features | None = None) -> Float[Tensor, "B K H W"]:
        """See `Network.forward`."""
        features = encode_once(self.encode, batch) if features is None else features
        return self.answer(batch, features, self.extract(features, batch))

    def answer(self, batch: Batch, features: Features, guidance: Guidance) -> Float[Tensor, "B K H W"]:
        """The scores of `forward`, from guidance that is already extracted."""
        queries = features[slice(len(batch))]
        parts: list[tuple[Tensor | slice, Tensor]] = []
        for _, rows in by_size(queries.sizes):
            group = queries[rows]
            parts.append((rows, self.score(self.prepare(group), guidance.crop(rows, *group.grids[0].tolist()))))
        scores = place(parts, len(batch))
        height, width = batch.target.shape[-2:]
        scores = nn.functional.pad(scores, (0, width - scores.shape[-1], 0, height - scores.shape[-2]))
        scores = own_labels(scores, batch)
        return scores if self.training else only_shown(scores, guidance.annotated.expand(-1, scores.shape[1]))


class GuidedNetwork(StagedNetwork):
    """ŷ = f(φ(x̄), z), z = g(support): the support defines what to segment (paper, section 4).

    Five stages: `encode` (φ), `show` and `merge` (g), `prepare` and `score` (f).

    Args:
        backbone: φ, shared by support and query.
        guide: g.
        conditioning: the part of f on the feature grid.
        decoder: the decoder of f, see `StagedNetwork`.
    """

    def __init__(
        self, backbone: Backbone, guide: Guide, conditioning: Conditioning, decoder: Decoder | None = None
    ) -> None:
        super().__init__(backbone, decoder)
        self.guide, self.conditioning = guide, conditioning

    @property
    def segmentor(self) -> Segmentor:
        """f: the conditioning and the decoder."""
        return Segmentor(self.conditioning, self.decoder)

    @property
    def needs_same_image(self) -> bool:  # type: ignore[override]
        """Whether support and query must be one image."""
        return self.guide.needs_same_image

    @property
    def update_cost(self) -> UpdateCost:  # type: ignore[override]
        """See `Network`."""
        return "full" if self.guide.fusion.early else "head"

    def show(self, features: Features, shots: Shots) -> Shown:
        """The guidance of each shot, before the merge. Early fusion needs a `Batch`, since it reads pixels."""
        return self.guide.show(features, shots)

    def merge(self, shown: Shown, episode: Int[Tensor, " T"], episodes: int) -> Guidance:
        """The guidance z of each of ``episodes`` episodes; ``episode`` is the episode of each shot."""
        return self.guide.join(shown, episode, episodes)

    def extract(self, features: Features, batch: Batch) -> Guidance:
        """Apply both stages of the guide, and add the previous prediction if the batch has one."""
        guidance = self.merge(self.show(features, batch), batch.shot_episode, len(batch))
        if batch.previous is None or not self.conditioning.memory:
            return guidance
        return replace(guidance, previous=cell_shares(features[slice(len(batch))], batch.previous, batch.num_labels))


def encode_once(encode: Callable[[Tensor, Tensor], Features], batch: Batch) -> Features:
    """The features of all images of a batch. Shared images are encoded once; ``encode`` is like `Network.encode`."""
    if batch.first is None:
        return encode(batch.images, batch.sizes)
    kept, rows = torch.unique(batch.first, return_inverse=True)
    if kept.is_cuda and torch.is_grad_enabled():
        # cuDNN tunes again for each batch size, which takes far longer than a step: repeat images to a multiple
        kept = kept[torch.arange(-(-len(kept) // ALIKE) * ALIKE, device=kept.device) % len(kept)]
    return encode(batch.images[kept], batch.sizes[kept])[rows]


def gather(
    maps: Callable[[Float[Tensor, "n 3 H W"]], list[Tensor]],
    images: Float[Tensor, "N 3 H W"],
    sizes: Int[Tensor, "N 2"],
    anchor: Anchor | None = None,
) -> Features:
    """Encode padded images, grouped by size and without their padding.

    Args:
        maps: computes the features ``[n, C, h, w]`` of images of one size, then the skip maps.
        images: images, zero-padded at the bottom and right.
        sizes: height and width of each image before padding.
        anchor: position of the grids; None if each spans its image.
    """
    groups = [(rows, maps(images[rows, :, :height, :width])) for (height, width), rows in by_size(sizes)]
    first, *skips = (_join([(rows, made[level]) for rows, made in groups], sizes) for level in range(len(groups[0][1])))
    return replace(first, skips=tuple(skips), anchor=anchor)


def cell_shares(queries: Features, labels: UInt8[Tensor, "B H W"], number: int) -> Float[Tensor, "B K h w"]:
    """The share of each of K labels in each cell, in 0..1.

    Args:
        queries: features of the B images.
        labels: label map of each image; values from K on count as no label.
        number: K.
    """
    parts: list[tuple[Tensor | slice, Tensor]] = []
    for (height, width), rows in by_size(queries.sizes):
        grid = (int(queries.grids[rows][0, 0]), int(queries.grids[rows][0, 1]))
        inside = labels[rows, None, :height, :width] == torch.arange(number, device=labels.device).view(-1, 1, 1)
        whole = pool_mask(torch.ones(1, 1, height, width, device=labels.device), (height, width), grid, queries.anchor)
        counted = pool_mask(inside.float(), (height, width), grid, queries.anchor)
        parts.append((rows, counted / whole.clamp(min=1e-6)))
    return place(parts, len(labels))


def own_labels(scores: Float[Tensor, "B K H W"], batch: Batch) -> Float[Tensor, "B K H W"]:
    """Set the scores of labels that an episode lacks to -inf, so that they are never predicted."""
    if min(batch.labels) >= scores.shape[1]:
        return scores
    own = torch.tensor(batch.labels, device=scores.device)
    lacking = torch.arange(scores.shape[1], device=scores.device) >= own[:, None]
    return scores.masked_fill(lacking[:, :, None, None], -torch.inf)


def unknown(shown: Bool[Tensor, "B K"]) -> Bool[Tensor, "B K"]:
    """The positive labels without annotation, in episodes that annotate another positive label (concepts, rule 3).

    Example:
        >>> unknown(torch.tensor([[True, True, False], [True, False, False]])).tolist()
        [[False, False, True], [False, False, False]]
    """
    positives = shown[:, 1:]
    return nn.functional.pad(~positives & positives.any(1, keepdim=True), (1, 0))


def only_shown(scores: Float[Tensor, "B K H W"], shown: Bool[Tensor, "B K"]) -> Float[Tensor, "B K H W"]:
    """Set the scores of `unknown` labels to -inf: in testing, they take no pixels from the others."""
    return scores if scores.shape[1] == 2 else scores.masked_fill(unknown(shown)[:, :, None, None], -torch.inf)


def _join(parts: list[tuple[Tensor | slice, Tensor]], sizes: Tensor) -> Features:
    grids = sizes.new_empty(sizes.shape)
    for rows, maps in parts:
        grids[rows] = sizes.new_tensor(maps.shape[-2:])
    return Features(place(parts, len(sizes)), grids, sizes)

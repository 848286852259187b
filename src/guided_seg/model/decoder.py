"""Decoders: from maps on the feature grid to scores at a finer resolution (paper, section 4.1 on resolution)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from guided_seg.errors import CompositionError
from guided_seg.model.honour import Honour

SPREAD = 16
"""Number of maps to which `Carried` expands a score."""


class Decoder(nn.Module, ABC):
    """Score the maps of each label, at the same or a finer resolution. All labels share weights, so K may vary.

    Args:
        maps: E of the conditioning. Decoders that work on scores first reduce several maps to one score.

    Attributes:
        uses_skips: whether it reads the backbone's skip maps, which are then cached with the features.
        separable: whether the scores of a label depend only on its own maps.
        honour: corrects its scores at dots on the query; None if it does not.
    """

    uses_skips = False
    separable = True

    def __init__(self, maps: int = 1) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(maps, 1, 1, bias=False) if maps > 1 else None
        self.honour: Honour | None = None

    def scores(self, maps: Float[Tensor, "B K E h w"]) -> Float[Tensor, "B K h w"]:
        """Reduce the E maps of each label to one score per cell."""
        if self.weigh is None:
            return maps[:, :, 0]
        return self.weigh(maps.flatten(0, 1)).view(*maps.shape[:2], *maps.shape[3:])

    def prepare(self, skips: Sequence[Tensor]) -> list[Tensor]:
        """Process the query's skip maps (from coarse to fine), independent of guidance, so that it can be cached."""
        return list(skips)

    @abstractmethod
    def forward(self, maps: Float[Tensor, "B K E h w"], skips: Sequence[Tensor]) -> Float[Tensor, "B K y x"]:
        """Scores at the same or a finer resolution; ``skips`` are the output of `prepare`."""


class Bilinear(Decoder):
    """Bilinear interpolation of the scores to the image, as in the original. No decoder is learned.

    Args:
        maps: see `Decoder`.
    """

    def forward(
        self,
        maps: Float[Tensor, "B K E h w"],
        skips: Sequence[Tensor],
    ) -> Float[Tensor, "B K y x"]:
        """See `Decoder.forward`."""
        return self.scores(maps)


class Refine(Decoder):
    """Upsample the scores step by step and add a learned correction, with or without skip connections.

    With skips there is one step per skip map, to its resolution. Without, there are ``steps`` steps, each by a factor
    of two.

    Args:
        skip_channels: channels of the skip maps, from coarse to fine.
        skips: use skip connections.
        steps: number of steps without skips.
        hidden: channels of the correction.
        maps: see `Decoder`.
    """

    def __init__(
        self, skip_channels: Sequence[int], skips: bool = True, steps: int = 1, hidden: int = 16, maps: int = 1
    ) -> None:
        super().__init__(maps)
        self.uses_skips = skips
        channels = list(skip_channels) if skips else [0] * steps
        self.steps: Sequence[_Step] = nn.ModuleList(_Step(inputs, hidden) for inputs in channels)  # type: ignore[assignment]

    def prepare(self, skips: Sequence[Tensor]) -> list[Tensor]:
        """See `Decoder.prepare`."""
        return [step.project(skip) for step, skip in zip(self.steps, skips, strict=True)] if self.uses_skips else []

    def forward(self, maps: Float[Tensor, "B K E h w"], skips: Sequence[Tensor]) -> Float[Tensor, "B K y x"]:
        """See `Decoder.forward`."""
        scores = self.scores(maps)
        for i, step in enumerate(self.steps):
            scores = step(scores, skips[i] if self.uses_skips else None)
        return scores


class Carried(Decoder):
    """Upsample all maps of each label to the finest skip map, and score them only there.

    The maps carry more information than a score when they meet the edges in the skip maps. Each doubling of the
    resolution after the first halves the number of maps, to bound the cost of the finest. A positive label is scored by
    the difference of its maps from those of the negative, whose own score is 0.

    Args:
        skip_channels: channels of the skip maps, from coarse to fine.
        maps: E, the maps of each label. A single score is first expanded to `SPREAD` maps.
        unshuffle: compute at the second finest resolution. Each cell holds the four cells of the finest map as
            channels and gets four scores (after sub-pixel convolution, Shi et al., 2016). The finest map is processed
            once per image, so an edit costs the same for the finest scores as for the second finest.
        honour: give every dot on the query its label, see `Honour`.

    Raises:
        CompositionError: the backbone has no skip map, or only one with ``unshuffle``.
    """

    uses_skips = True
    separable = False

    def __init__(
        self, skip_channels: Sequence[int], maps: int = 1, unshuffle: bool = False, honour: bool = False
    ) -> None:
        super().__init__()
        self.spread = nn.Conv2d(1, SPREAD, 1) if maps == 1 else None
        maps = SPREAD if maps == 1 else maps
        if not skip_channels:
            raise CompositionError("decoder=carried needs an earlier map of the backbone; choose another backbone.")
        if unshuffle and len(skip_channels) < 2:
            raise CompositionError(
                "decoder.unshuffle=true needs two earlier maps of the backbone and there is one; set "
                "backbone.finest=0, or decoder.unshuffle=false."
            )
        self.unshuffle = unshuffle
        if unshuffle:
            *skip_channels, second, finest = skip_channels
            skip_channels.append(second + 4 * finest)
        widths = [max(maps >> step, 1) for step in range(len(skip_channels))]
        self.skips = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, width, 1, bias=False), nn.BatchNorm2d(width))
            for c, width in zip(skip_channels, widths, strict=True)
        )
        self.mix = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for width in widths)
        self.fewer = nn.ModuleList(nn.Conv2d(width, less, 1) for width, less in pairwise(widths))
        self.score = nn.Conv2d(widths[-1], 4 if unshuffle else 1, 3, padding=1)
        self.honour = Honour() if honour else None

    def prepare(self, skips: Sequence[Tensor]) -> list[Tensor]:
        """See `Decoder.prepare`."""
        if self.unshuffle:
            *skips, second, finest = skips
            # an odd last row or column is repeated; both grids span the image, so nothing is cropped later
            height, width = second.shape[-2:]
            even = F.pad(finest, (0, 2 * width - finest.shape[-1], 0, 2 * height - finest.shape[-2]), mode="replicate")
            skips.append(torch.cat([second, F.pixel_unshuffle(even, 2)], dim=1))
        return [project(skip) for project, skip in zip(self.skips, skips, strict=True)]

    def forward(self, maps: Float[Tensor, "B K E h w"], skips: Sequence[Tensor]) -> Float[Tensor, "B K y x"]:
        """See `Decoder.forward`."""
        batch, labels = maps.shape[0], maps.shape[1] - 1
        maps = (maps[:, 1:] - maps[:, :1]).flatten(0, 1)
        maps = maps if self.spread is None else self.spread(maps)
        for fewer, mix, skip in zip([nn.Identity(), *self.fewer], self.mix, skips, strict=True):
            maps = fewer(maps)
            up = F.interpolate(maps, skip.shape[-2:], mode="bilinear", align_corners=False)
            maps = (up.view(batch, labels, *up.shape[1:]) + skip[:, None]).relu_().flatten(0, 1)
            maps = maps + mix(maps).relu_()
        scores = self.score(maps)
        scores = F.pixel_shuffle(scores, 2) if self.unshuffle else scores
        scores = scores.view(batch, labels, *scores.shape[-2:])
        return F.pad(scores, (0, 0, 0, 0, 1, 0))


class _Step(nn.Module):
    """score + w · relu(3 x 3 (score) + 1 x 1 (skip)), at the resolution of the skip."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.skip = nn.Sequential(nn.Conv2d(inputs, hidden, 1, bias=False), nn.BatchNorm2d(hidden)) if inputs else None
        self.score = nn.Conv2d(1, hidden, 3, padding=1, padding_mode="replicate")
        self.last = nn.Conv2d(hidden, 1, 3, padding=1, padding_mode="replicate")

    def project(self, skip: Tensor) -> Tensor:
        """The skip map's part of the first layer."""
        assert self.skip is not None
        found: Tensor = self.skip(skip)
        return found

    def forward(self, scores: Float[Tensor, "B K h w"], skip: Tensor | None) -> Float[Tensor, "B K y x"]:
        height, width = scores.shape[-2:]
        size = skip.shape[-2:] if skip is not None else (2 * height, 2 * width)
        up = F.interpolate(scores, size=size, mode="bilinear", align_corners=False)
        hidden = self.score(up.flatten(0, 1)[:, None]).unflatten(0, scores.shape[:2])
        if skip is not None:
            hidden = hidden + skip[:, None]
        correction = self.last(torch.relu(hidden).flatten(0, 1))
        return up + correction.unflatten(0, scores.shape[:2])[:, :, 0]

"""Exact updates: an answer is kept in pieces, and an edit computes only those that it changes (concepts, rules 2-5).

Late fusion reads an image once. The guidance of an annotated image depends on that image's features and annotation,
z of a label on the images that annotate it, and the score map of a label, for most conditionings, on its own z. So a
new dot costs a gather, a mean over the images that show the label, and one map; the rest stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from guided_seg.episode import Batch
from guided_seg.model.conditioning import TwoStep
from guided_seg.model.features import Anchor, Features, upsample
from guided_seg.model.guide.fusion import Late
from guided_seg.model.guide.guide import Guidance
from guided_seg.model.network import GuidedNetwork, Network


class Prepared(NamedTuple):
    """What of a query is computed once: `TwoStep.prepare`, `Decoder.prepare`, its size, and where its grid lies."""

    query: tuple[Tensor, ...]
    skips: list[Tensor]
    size: tuple[int, int]
    grid: tuple[int, int]
    anchor: Anchor | None


class Pieces:
    """A late-fusion network's answer in pieces, each a pure function; together they are `Network.forward`.

    Args:
        network: of late fusion and a conditioning in two steps, in evaluation mode; see `has_pieces`.

    Attributes:
        separable: see `TwoStep.separable`; else `scores` takes all labels together.
        together: the guidance of a label depends on what else is annotated in the image (learned annotation).
        places: guidance says where it was annotated, which means something on its own image alone; see `elsewhere`.
    """

    def __init__(self, network: GuidedNetwork) -> None:
        assert isinstance(network.guide.fusion, Late)
        assert isinstance(network.conditioning, TwoStep)
        self.network, self.guide = network, network.guide
        self.fusion, self.conditioning = network.guide.fusion, network.conditioning
        self.separable, self.together = self.conditioning.separable, self.fusion.annotation.learned
        self.places, absent = self.guide.places, self.guide.absent
        self._absent = absent[:, None] if self.guide.keeps_all else absent

    def of_image(
        self,
        features: Features,
        points: Int[Tensor, "P 3"] | None,
        mask: UInt8[Tensor, "H W"] | None,
        num_labels: int,
    ) -> dict[int, Tensor]:
        """The guidance of one image for each label that it annotates; a vector, a map, or the annotated features.

        Args:
            features: of that image.
            points: its dots; or
            mask: a label per pixel, `guided_seg.episode.IGNORE` where none is annotated.
            num_labels: K.
        """
        rows = torch.nn.functional.pad(points, (1, 0)) if points is not None else None
        batch = shown(features, rows, mask, num_labels)
        if self.guide.keeps_all:
            found, _, label = self.guide.annotated(features, batch)
            return {k: found[label == k].T for k in range(num_labels) if (label == k).any()}
        z, annotated = self.fusion(features, batch)
        return {k: z[0, k] for k in range(num_labels) if annotated[0, k]}

    def elsewhere(self, part: Tensor) -> Tensor:
        """The guidance of one image, see `of_image`, for a query that is another image."""
        return torch.cat([part[:-1], torch.zeros_like(part[-1:])]) if self.places else part

    def of_label(self, images: Sequence[Tensor]) -> Tensor:
        """Z of a label from the guidance of the images that annotate it; the learned "no guidance" where none does."""
        if not images:
            return self._absent
        if self.guide.keeps_all:
            return torch.cat(list(images), dim=1)
        shots = torch.stack(list(images))[:, None]
        seen = torch.ones(len(images), 1, dtype=torch.bool, device=shots.device)
        episode = torch.zeros(len(images), dtype=torch.int64, device=shots.device)
        return self.guide.merge(shots, seen, episode, 1)[0][0, 0]

    def prepare(self, features: Features) -> Prepared:
        """The query's part, from the features of one image."""
        maps, skips = features.unpadded()
        height, width = features.sizes[0].tolist()
        grid = (maps.shape[-2], maps.shape[-1])
        # channel by channel in memory, in which a label is compared twice as fast
        query = tuple(part.contiguous() for part in self.conditioning.prepare(maps))
        return Prepared(query, self.network.decoder.prepare(skips), (height, width), grid, features.anchor)

    def scores(
        self, prepared: Prepared, z: Mapping[int, Tensor], previous: Float[Tensor, "1 K h w"] | None = None
    ) -> dict[int, Float[Tensor, "H W"]]:
        """The score map of each label of ``z`` at the query's size; all K of them unless `separable`.

        Args:
            prepared: of the query.
            z: of the labels.
            previous: see `Guidance.previous`; then ``z`` is of all labels.
        """
        labels = sorted(z)
        grids = self._compare(prepared, [z[label] for label in labels], previous)
        if labels[0] == 0:
            grids = self.conditioning.floor(grids)
        fine = self.network.decoder(grids, prepared.skips)
        anchor = prepared.anchor.finer(fine.shape[-1] / grids.shape[-1]) if prepared.anchor else None
        if not self.conditioning.carried:
            return dict(zip(labels, upsample(fine, prepared.size, anchor)[0], strict=True))
        # the negative, which the others are scored against, is 0 all over
        others = upsample(fine[:, 1:], prepared.size, anchor)[0]
        return dict(zip(labels, [others.new_zeros(1, 1).expand(prepared.size), *others], strict=True))

    def _compare(self, prepared: Prepared, z: Sequence[Tensor], previous: Tensor | None) -> Float[Tensor, "1 K *E h w"]:
        if not self.guide.keeps_all:
            if any(part.ndim == 3 for part in z):  # local: the learned vector stands at each position
                z = [part if part.ndim == 3 else part[:, None, None].expand(-1, *prepared.grid) for part in z]
            stacked = torch.stack(list(z))[None]
            seen = torch.ones(1, len(z), dtype=torch.bool, device=stacked.device)
            return self.conditioning.compare(prepared.query, Guidance(stacked, seen, previous=previous))
        if not self.separable:
            return self.conditioning.compare(prepared.query, replace(self._sets(z), previous=previous))
        # one by one, as rounding may depend on how many are compared
        return torch.cat([self.conditioning.compare(prepared.query, self._sets([part])) for part in z], dim=1)

    def _sets(self, z: Sequence[Tensor]) -> Guidance:
        """Sets of different sizes as one guidance."""
        most = max(part.shape[1] for part in z)
        padded = torch.stack([torch.nn.functional.pad(part, (0, most - part.shape[1])) for part in z])
        valid = torch.arange(most) < torch.tensor([part.shape[1] for part in z])[:, None]
        seen = torch.tensor([part is not self._absent for part in z])
        return Guidance(padded[None], seen[None].to(padded.device), valid[None].to(padded.device))


def has_pieces(network: Network) -> bool:
    """Whether the network can be cut into `Pieces`: late fusion and any conditioning in two steps."""
    return (
        isinstance(network, GuidedNetwork)
        and isinstance(network.guide.fusion, Late)
        and isinstance(network.conditioning, TwoStep)
    )


def shown(
    features: Features, points: Int[Tensor, "P 4"] | None, mask: UInt8[Tensor, "H W"] | None, num_labels: int
) -> Batch:
    """A batch of one task, shown on all images of ``features``; late fusion does not read their pixels.

    Args:
        features: of the annotated images.
        points: rows of (image, row, column, label); or
        mask: of the first image, a label per pixel.
        num_labels: K.
    """
    device = features.maps.device
    height, width = mask.shape if mask is not None else (0, 0)
    number = torch.arange(features.sizes.shape[0], device=device)
    return Batch(
        images=torch.zeros(1, 1, 1, 1, device=device).expand(features.sizes.shape[0], 3, height, width),
        sizes=features.sizes,
        target=torch.zeros(1, 1, 1, dtype=torch.uint8, device=device).expand(1, height, width),
        shot_image=number,
        shot_episode=torch.zeros_like(number),
        points=points if points is not None else torch.zeros(0, 4, dtype=torch.int64, device=device),
        masks=mask[None] if mask is not None else torch.zeros(0, 0, 0, dtype=torch.uint8, device=device),
        mask_shot=number[: int(mask is not None)],
        num_labels=num_labels,
        labels=(num_labels,),
        metas=({},),
    )

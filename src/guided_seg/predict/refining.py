"""Test-time refinement of one image from what is cached: the scores that `Refined` computes for a whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import UInt8
from torch import Tensor

from guided_seg.episode import IGNORE
from guided_seg.model.refine import SURE, Refined
from guided_seg.model.video.previous_frame import certain
from guided_seg.model.wrappers.connected import positives
from guided_seg.predict.encoder import threads
from guided_seg.predict.predictor import Maps, Predictor
from guided_seg.predict.support import Annotated, Image


def refined_maps(
    predictor: Predictor, ways: Refined, query: Image, support: Sequence[Annotated], num_labels: int
) -> Maps:
    """The refined score map of each label, at the size of the query. No image is encoded that is in the cache.

    Args:
        predictor: segments the query, once and then ``ways.again`` times.
        ways: the refinement, without zoom and mirror, which would need other images.
        query: the image to segment.
        support: see `Predictor.maps`.
        num_labels: K.
    """
    shown = _shown(query, support, predictor.features(query).maps.device)
    own: Annotated | None = None
    for passed in range(1 + ways.again):
        maps = predictor.maps(query, support, num_labels, further=own)
        with threads(1):  # several would wait for each other longer than they work
            scores = ways.strict(torch.stack(maps), shown)
            if passed < ways.again:
                own = certain_shot(predictor, query, certain(scores, SURE))
    return list(scores)


def certain_shot(predictor: Predictor, image: Image, labels: UInt8[Tensor, "H W"]) -> Annotated:
    """An image annotated by those of its labels that the network is certain of; `IGNORE` elsewhere."""
    # counting takes a tenth of the time of torch.unique, which sorts
    there = frozenset(torch.bincount(labels.flatten()).nonzero()[:, 0].tolist()) - {IGNORE}
    return Annotated(replace(image, features=predictor.features(image)), there, lambda: (None, labels))


def _shown(query: Image, support: Sequence[Annotated], device: torch.device) -> UInt8[Tensor, "H W"]:
    """The positive labels annotated on the query itself; 0 elsewhere."""
    none = torch.zeros(0, 3, dtype=torch.int64, device=device)
    own = [each.annotation() for each in support if each.image.key == query.key]
    dots = torch.cat([none, *(points for points, _ in own if points is not None)])
    blank = torch.zeros(query.size, dtype=torch.uint8, device=device)
    return positives(blank, dots, [mask for _, mask in own if mask is not None])

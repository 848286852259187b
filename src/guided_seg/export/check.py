"""Check that a network can be exported, and that the exported parts give the scores of a session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch

from guided_seg.errors import UserError
from guided_seg.export.graphs import Call
from guided_seg.export.parts import fixed_labels
from guided_seg.model.heads.fused import Fused
from guided_seg.model.network import GuidedNetwork, Network, unknown
from guided_seg.model.rules import named
from guided_seg.session import Session

TOLERANCE = 1e-3
"""Largest allowed difference from the session's scores."""


class Example(NamedTuple):
    """Input to compare on: images, uint8 ``[H, W, 3]``; dots (image, row, column, label), int64 ``[P, 4]``; and K."""

    images: list[np.ndarray]
    points: np.ndarray
    num_labels: int


def exportable(network: Network) -> GuidedNetwork:
    """Return the network if its parts can be traced.

    Raises:
        UserError: the network cannot be exported; the message says why and what to choose instead.
    """
    for sentence in _obstacles(network):
        raise UserError(f"This checkpoint cannot be exported: {sentence}.")
    assert isinstance(network, GuidedNetwork)
    return network


def _obstacles(network: Network) -> Iterator[str]:
    if not isinstance(network, GuidedNetwork):
        yield f"baseline={named(type(network))} has no guide; choose a checkpoint that was trained with baseline=none"
        return
    fusion = network.guide.fusion
    if fusion.early:
        yield (
            f"fusion={named(type(fusion))} with conditioning={named(type(network.conditioning))} encodes image and "
            "dots together, so no encoder runs once per image; train with fusion=late"
        )
        return
    if network.needs_same_image:
        yield (
            f"locality={named(type(fusion.locality))} keeps positions, which do not apply to other images; train "
            "with locality=global, or with locality=set and conditioning=nearest_neighbors"
        )
    if isinstance(network.conditioning, Fused):
        yield (
            f"conditioning={named(type(network.conditioning))} solves a system of equations for each prediction, for "
            "which ONNX has no operator; train with conditioning=nearest_neighbors"
        )
    if network.decoder.honour is not None:
        yield (
            "decoder.honour=true solves a system of equations for each prediction, for which ONNX has no operator; "
            "train with decoder.honour=false"
        )
    if network.backbone.longest is not None:
        yield "resolution.longest resizes only large images; train with resolution=native, and resize images beforehand"
    if network.backbone.border:
        yield "backbone.border=true pads small images more than large ones; train with backbone.border=false"
    if getattr(fusion, "interpolation", 1) > 1:
        yield f"resolution.interpolation={fusion.interpolation} works image by image; train with resolution=native"


def example(network: GuidedNetwork) -> Example:
    """Two images of different sizes with some dots, unlike the inputs used for tracing."""
    rng, sizes = np.random.default_rng(0), ((58, 83), (71, 46))
    num_labels = fixed_labels(network) or 3
    each = [[rng.integers(bound, size=6) for bound in (*size, num_labels)] for size in sizes]
    points = [(image, *dot) for image, columns in enumerate(each) for dot in zip(*columns, strict=True)]
    once = {dot[:3]: dot for dot in points}
    images = [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    return Example(images, np.array(list(once.values()), np.int64), num_labels)


def by_session(network: Network, given: Example) -> list[np.ndarray]:
    """The scores ``[K, H, W]`` of each image, from a session."""
    session = Session(network)
    labels = ["negative", *(session.add_label(f"label {number}") for number in range(1, given.num_labels))]
    for number, image in enumerate(given.images):
        session.add_image(str(number), image)
    for number, row, column, label in given.points.tolist():
        session.dot(str(number), row, column, labels[label])
    return [session.segment(name, return_scores=True)[1] for name in session.images]


def by_parts(parts: Mapping[str, Call], given: Example) -> list[np.ndarray]:
    """The scores ``[K, H, W]`` of each image, from the exported parts."""
    encoded = [parts["encoder"](_pixels(image)) for image in given.images]
    features = [maps[0] for maps in encoded]
    grids, sizes = (np.array([a.shape[i : i + 2] for a in of]) for i, of in ((2, features), (0, given.images)))
    height, width = grids.max(0)
    padded = [np.pad(f, ((0, 0), (0, 0), (0, height - f.shape[2]), (0, width - f.shape[3]))) for f in features]
    num_labels = np.array(given.num_labels)
    z, *valid, annotated = parts["guide"](np.concatenate(padded), grids, sizes, given.points, num_labels)
    found = (
        parts["segmentor"](maps[0], z, size, *valid, *maps[1:])[0] for maps, size in zip(encoded, sizes, strict=True)
    )
    absent = unknown(torch.from_numpy(annotated)[None])[0].numpy()[:, None, None]
    return [np.where(absent, np.float32(-np.inf), scores) for scores in found]


def difference(found: list[np.ndarray], wanted: list[np.ndarray]) -> float:
    """The largest absolute difference between two lists of scores.

    Raises:
        UserError: the difference is above `TOLERANCE`.
    """
    apart = (
        np.subtract(one, other, out=np.zeros_like(one), where=one != other)  # both may be -inf
        for one, other in zip(found, wanted, strict=True)
    )
    largest = max(float(np.abs(each).max()) for each in apart)
    if not largest <= TOLERANCE:
        raise UserError(
            f"The exported parts give scores that differ by {largest:.2g} from the session's, and {TOLERANCE:g} is "
            "allowed; nothing was written. Choose another format, or other versions of torch and onnxscript."
        )
    return largest


def _pixels(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None] / np.float32(255))

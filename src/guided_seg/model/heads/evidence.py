"""Evidence of one label versus the rest: annotated features, and the positions of dots on the query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from guided_seg.model.guide.guide import Guidance

SLACK = 1.5
"""Smallest standard deviation, in cells, of the region that dots on the query spread over."""


MANY = 64
"""Annotated features from which it pays to select the dots on the query first."""


class Sides(NamedTuple):
    """N annotated features of one label (side 0) and of all others (side 1).

    Attributes:
        features: the annotated features.
        places: row and column of each in cells, and 1 for a dot on the query itself (see `Guidance.places`).
        members: for each side, 1 for the features that belong to it.
        shown: for each side, whether anything is annotated; if not, it has only the learned vector.
        previous: the share of the label, and of all labels, in each cell of the previous prediction; or None.
    """

    features: Float[Tensor, "B N C"]
    places: Float[Tensor, "B N 3"]
    members: tuple[Float[Tensor, "B N"], Float[Tensor, "B N"]]
    shown: tuple[Bool[Tensor, " B"], Bool[Tensor, " B"]]
    previous: Float[Tensor, "B 2 h w"] | None


def each_label(guidance: Guidance) -> Iterator[Sides]:
    """Each positive label in turn, against all others."""
    assert guidance.valid is not None
    assert guidance.places is not None
    labels = guidance.z.shape[1]
    rows, places = (part.transpose(2, 3).flatten(1, 2).float() for part in (guidance.z, guidance.places))
    there = guidance.valid & guidance.annotated[..., None]
    for label in range(1, labels):
        own = torch.zeros(labels, dtype=torch.bool, device=rows.device)
        own[label] = True
        # a side without annotation uses the learned vector; the rest uses that of the negative
        rest = there & ~own[:, None]
        shown = guidance.annotated[:, label], (guidance.annotated & ~own).any(1)
        instead = torch.zeros_like(there)
        instead[:, 0] = guidance.valid[:, 0]
        rest = torch.where(shown[1][:, None, None], rest, instead)
        members = (guidance.valid & own[:, None]).flatten(1).to(rows), rest.flatten(1).to(rows)
        earlier = None if guidance.previous is None else of_label(guidance.previous, label)
        yield Sides(rows, places, members, shown, earlier)


def of_label(previous: Float[Tensor, "B K h w"], label: int) -> Float[Tensor, "B 2 h w"]:
    """The share of a label in each cell, and the sum over all labels."""
    return torch.stack([previous[:, label], previous.sum(1)], dim=1)


def bells(places: Float[Tensor, "B N 3"], reach: float, height: int, width: int) -> Float[Tensor, "B N h w"]:
    """A Gaussian bump around each place, with peak 1."""
    rows, columns = (
        torch.exp(-(torch.arange(cells, device=places.device) - places[..., axis, None]).square() / (2 * reach**2))
        for axis, cells in enumerate((height, width))
    )
    return rows[..., :, None] * columns[..., None, :]


def near_dots(sides: Sides, reaches: Sequence[float], height: int, width: int) -> Float[Tensor, "B m h w"]:
    """Gaussian of the distance to the nearest dot on the query, per side and reach; and whether there is any dot."""
    places, both = sides.places, sides.members
    if len(places) == 1 and places.shape[1] > MANY and not torch.compiler.is_compiling():
        # one episode needs no padding: cells of masks and dots of other images change nothing
        dots = places[0, :, 2] > 0
        dots[:1] = True  # for the minimum, where there are none
        places, both = places[:, dots], (both[0][:, dots], both[1][:, dots])
    rows, columns = (
        (torch.arange(cells, device=places.device) - places[..., axis, None]).square()
        for axis, cells in enumerate((height, width))
    )
    apart = rows[..., :, None] + columns[..., None, :]
    maps = []
    for members in both:
        # the nearest dot gives the highest Gaussian, for any reach
        absent = (members * places[..., 2] == 0)[..., None, None]
        nearest = apart.masked_fill(absent, torch.inf).amin(1)
        maps += [torch.exp(-nearest / (2 * reach**2)) for reach in reaches]
    any_ = (places[..., 2] > 0).any(1).to(places.dtype)
    return torch.stack([*maps, any_[:, None, None].expand(-1, height, width)], dim=1)


def spread_of_dots(sides: Sides, height: int, width: int) -> Float[Tensor, "B 2 h w"]:
    """A Gaussian with the mean and covariance of the label's dots on the query, and 1 / their number; 0 without dots.

    Several dots on one object show its extent.
    """
    places = sides.places[..., :2]
    weights = sides.members[0] * sides.places[..., 2]
    number = weights.sum(1)
    share = weights / number.clamp(min=1)[:, None]
    centre = (share[:, None] @ places)[:, 0]
    apart = places - centre[:, None]
    around = (share[..., None] * apart).transpose(1, 2) @ apart
    high, both, wide = around[:, 0, 0] + SLACK**2, around[:, 0, 1], around[:, 1, 1] + SLACK**2
    rows, columns = (
        torch.arange(cells, device=places.device) - centre[:, axis, None] for axis, cells in enumerate((height, width))
    )
    rows, columns = rows[:, :, None], columns[:, None]
    a, b, c = (value[:, None, None] / (high * wide - both**2)[:, None, None] for value in (wide, both, high))
    bell = torch.exp(-(a * rows**2 - 2 * b * rows * columns + c * columns**2) / 2)
    there = (number > 0).to(bell.dtype)[:, None, None]
    few = (there / number.clamp(min=1)[:, None, None]).expand_as(bell)
    return torch.stack([bell * there, few], dim=1)

"""The fused head: a small network on evidence maps of each label (mean, nearest features, ridge regression, places)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from guided_seg.errors import UserError
from guided_seg.model.backbones.neck import Block, Hourglass
from guided_seg.model.conditioning import Conditioning
from guided_seg.model.features import laid_out
from guided_seg.model.guide.guide import Guidance
from guided_seg.model.heads.evidence import Sides, bells, each_label, near_dots, spread_of_dots

FEW = 4
"""Number of nearest features averaged, in addition to the nearest one: a single dot may lie on an outlier."""

AROUND = (3.0, 10.0)
"""Reaches of a dot on the query in a local fit: standard deviations in cells."""


class Fused(Conditioning):
    """Score each positive label one-vs-rest, by a small network on evidence maps (after paper, section 4.2).

    The evidence of each cell, for the label and for the rest (everything annotated as another label):

    - its cosine to the mean of the annotated features (global guidance), and to the nearest of them (local guidance);
    - a linear classifier fitted to all annotated features in closed form (ridge regression on their cosines), so that
      guidance is discriminative without optimisation steps;
    - its distance to dots on the query itself;
    - the previous prediction, if there is one (see `Guidance.previous`).

    The network joins the evidence with the query's features. The query's part is computed once per image.

    Each label gets ``hidden`` maps, which a decoder scores. Positive labels are compared with the negative, so the maps
    of the negative are 0.

    Args:
        channels: C of features and guidance.
        hidden: E, the maps of each label.
        width: channels of the evidence network.
        context: dilations of its blocks; ignored if there are ``coarser`` grids.
        coarser: its channels on coarser grids, see `Hourglass`; empty for blocks on one grid.
        mean: read the cosine to the mean.
        nearest: read the cosine to the nearest features.
        ridge: read the linear classifier.
        places: read the places of dots on the query.
        near: standard deviations, in cells, of the Gaussians around these dots.
        spread: read a Gaussian with the mean and covariance of the label's dots on the query.
        local: read local classifiers, fitted with more weight on dots near the cell; for dots on the query.
        memory: read the previous prediction.

    Attributes:
        inputs: the source of each input map, in order: the name of an argument above, or ``shown`` (whether anything
            is annotated as the label, or as the rest).

    Raises:
        UserError: ``mean``, ``nearest`` and ``ridge`` are all false.
    """

    needs = "set"

    def __init__(
        self,
        channels: int,
        hidden: int = 24,
        width: int = 64,
        context: Sequence[int] = (1, 2, 4, 1),
        mean: bool = True,
        nearest: bool = True,
        ridge: bool = True,
        places: bool = True,
        memory: bool = True,
        local: bool = False,
        coarser: Sequence[int] = (),
        near: Sequence[float] = (1.5, 5.0),
        spread: bool = False,
    ) -> None:
        super().__init__()
        if not (mean or nearest or ridge):
            raise UserError("conditioning: expected at least one of mean, nearest and ridge to be true.")
        self.maps = hidden
        self.mean, self.nearest, self.memory = mean, nearest, memory
        self.reads_places, self.near, self.spread = places, tuple(near), spread
        self.penalty = nn.Parameter(torch.tensor(-3.0)) if ridge else None
        self.query = nn.Conv2d(channels, width, 1)
        self.local = Local() if local else None
        side = {"shown": 1, "mean": mean, "nearest": 2 * nearest}
        both = {"ridge": ridge, "local": len(AROUND) * local, "places": (2 * len(near) + 1) * places}
        both |= {"spread": 2 * spread, "memory": 2 * memory}
        maps = [*side.items(), *side.items(), *both.items()]
        self.inputs = tuple(kind for kind, number in maps for _ in range(number))
        self.evidence = nn.Conv2d(len(self.inputs), width, 1)
        self.norm = nn.BatchNorm2d(width)
        self.context = (
            Hourglass([width, *coarser])
            if coarser
            else nn.Sequential(*[Block(width, dilation) for dilation in context])
        )
        self.last = nn.Conv2d(width, hidden, 1)

    def prepare(self, query: Float[Tensor, "B C h w"]) -> tuple[Tensor, ...]:
        """Normalised features, and the query's part of the first layer; see `Conditioning.prepare`."""
        return F.normalize(query, dim=1), self.query(query)

    def compare(self, prepared: tuple[Tensor, ...], guidance: Guidance) -> Float[Tensor, "B K E h w"]:
        """See `Conditioning.compare`."""
        unit, query = prepared
        query = laid_out(query)  # makes blocks and pooling twice as fast
        each = []
        with torch.autocast(unit.device.type, enabled=False):
            asked = [torch.cat(list(self._maps(unit.float(), sides)), dim=1) for sides in each_label(guidance)]
        for maps in asked:
            known = self.evidence(laid_out(maps))
            mixed = torch.relu(self.norm(known + query))
            each.append(self.last(self.context(mixed)))
        return torch.stack([torch.zeros_like(each[0]), *each], dim=1)

    def _maps(self, unit: Float[Tensor, "B C h w"], sides: Sides) -> Iterator[Float[Tensor, "B n h w"]]:
        """The evidence maps of one label."""
        batch, _, height, width = unit.shape
        grid = (batch, -1, height, width)
        found = F.normalize(sides.features, dim=2)
        cosines = found @ unit.flatten(2)  # [B, N, cells]
        for members, shown in zip(sides.members, sides.shown, strict=True):
            yield shown.to(cosines.dtype)[:, None, None, None].expand(batch, 1, height, width)
            if self.mean:
                share = members / members.sum(1, keepdim=True).clamp(min=1)
                centre = F.normalize((share[:, None] @ sides.features)[:, 0], dim=1)
                yield (centre[:, None] @ unit.flatten(2)).view(grid)
            if self.nearest:
                yield _nearest(cosines, members > 0).view(grid)
        if self.penalty is not None:
            yield _fit(found, cosines, sides.members, self.penalty.exp()).view(grid)
        if self.local is not None:
            yield self.local(found, cosines, sides, height, width)
        if self.reads_places:
            yield near_dots(sides, self.near, height, width)
        if self.spread:
            yield spread_of_dots(sides, height, width)
        if self.memory:
            earlier = sides.previous
            yield unit.new_zeros(batch, 2, height, width) if earlier is None else earlier


class Local(nn.Module):
    """Kernel ridge regression on features and places: cells that are similar and close to a dot get its label.

    The kernel is exp(β (cosine - 1)) times a Gaussian of the distance, for each reach in `AROUND`. Far from all dots
    the prediction is 0. The penalty and β are learned.
    """

    def __init__(self) -> None:
        super().__init__()
        self.penalty = nn.Parameter(torch.tensor(-2.0))
        self.sharpness = nn.Parameter(torch.tensor(1.0))

    def forward(
        self,
        found: Float[Tensor, "B N C"],
        cosines: Float[Tensor, "B N n"],
        sides: Sides,
        height: int,
        width: int,
    ) -> Float[Tensor, "B m h w"]:
        """A map for each reach; 0 if there is no dot on the query."""
        places = sides.places
        members = tuple(side * places[..., 2] for side in sides.members)
        alike, like = (
            torch.exp(self.sharpness.exp() * (cosine - 1)) for cosine in (found @ found.transpose(1, 2), cosines)
        )
        apart = (places[:, :, None, :2] - places[:, None, :, :2]).square().sum(-1)
        maps = []
        for reach in AROUND:
            between = alike * torch.exp(-apart / (2 * reach**2))
            to_cells = like * bells(places, reach, height, width).flatten(2)
            maps.append(_regress(between, to_cells, members, self.penalty.exp()))
        return torch.stack(maps, dim=1).view(len(found), -1, height, width)


def _nearest(cosines: Float[Tensor, "B N n"], members: Bool[Tensor, "B N"]) -> Float[Tensor, "B 2 n"]:
    """The largest cosine of each cell to a side, and the mean of the `FEW` largest."""
    if len(cosines) == 1 and members.any() and not torch.compiler.is_compiling():
        # one episode needs no padding: dropping the other side halves the time
        cosines = cosines[:, members[0]]
    else:
        cosines = cosines.masked_fill(~members[..., None], -2.0)
    best = cosines.topk(min(FEW, cosines.shape[1]), dim=1).values
    there = (best > -1.5).to(best.dtype)
    return torch.stack([best[:, 0], (best * there).sum(1) / there.sum(1).clamp(min=1)], dim=1)


def _fit(
    found: Float[Tensor, "B N C"], cosines: Float[Tensor, "B N n"], members: tuple[Tensor, ...], penalty: Tensor
) -> Float[Tensor, "B n"]:
    """A linear classifier with a bias, fitted to the annotated features."""
    constant = 0.25
    return _regress(found @ found.transpose(1, 2) + constant, cosines + constant, members, penalty)


def _regress(
    between: Float[Tensor, "B N N"], to_cells: Float[Tensor, "B N n"], members: tuple[Tensor, ...], penalty: Tensor
) -> Float[Tensor, "B n"]:
    """Class-balanced ridge regression of 1 (the label) and -1 (the rest) on annotated features.

    It is solved in dual form, since annotated features are few: ``between`` is the kernel among them, ``to_cells`` the
    kernel from them to the cells.
    """
    own, rest = (side / (2 * side.sum(1, keepdim=True)).clamp(min=1) for side in members)
    root = (own + rest).sqrt()
    between = between * root[:, :, None] * root[:, None]
    between = between + penalty * torch.eye(between.shape[1], device=between.device)
    signs = torch.where(members[0] > 0, root, -root)
    weights = torch.linalg.solve(between, signs) * root
    return (weights[:, None] @ to_cells)[:, 0]

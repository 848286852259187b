"""One head that weighs all there is to know of a label: its mean, its single features, a fit to both, and places."""

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
"""Features of which the mean similarity is taken beside the best one: a single dot may lie on an odd pixel."""

AROUND = (3.0, 10.0)
"""How far a dot of the query's own image counts in a local fit, in cells, as standard deviations."""


class Fused(Conditioning):
    """Each positive label against all the rest, by a small network on maps of evidence (after paper, section 4.2).

    The evidence of a cell, for the label and for the rest (everything annotated as another label), is its cosine to the
    mean of the annotated features (global guidance) and to the nearest of them (local guidance); how a linear
    classifier that is fitted to all annotated features, in closed form, decides (ridge regression on their cosines,
    so that guidance is discriminative without any step of optimisation); how near a dot of the query's own image is;
    and what an earlier answer said, where there is one (see `Guidance.previous`). The network joins it with the
    query's features. What depends on the query alone is computed once an image, and all else is small.

    It gives ``hidden`` maps of each label, which a decoder scores. Positive labels are compared with the negative, so
    the maps of the negative are 0.

    Args:
        channels: C of features and guidance.
        hidden: maps of each label.
        width: of the network on the evidence.
        context: dilations of its blocks; or, where there are ``coarser`` grids, none.
        coarser: its widths on coarser grids, see `Hourglass`; none for blocks on one grid alone.
        mean: read the cosine to the mean.
        nearest: read the cosine to the nearest features.
        ridge: read the linear classifier.
        places: read the places of dots on the query itself.
        near: how far these reach, in cells: the standard deviations of the bells around them.
        spread: read over what region the label's dots on the query itself spread, by their mean and covariance.
        local: read what classifiers say that are fitted to dots near the cell more than to others, where the dots are
            on the query itself.
        memory: read an earlier answer.

    Attributes:
        inputs: of which evidence each map is that the network reads, in order: an argument of those above, or
            ``shown``, which says whether anything is annotated as the label, or as another.

    Raises:
        UserError: none of ``mean``, ``nearest`` and ``ridge``.
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
        """The directions of the features, and their part of the network's first layer; see `Conditioning.prepare`."""
        return F.normalize(query, dim=1), self.query(query)

    def compare(self, prepared: tuple[Tensor, ...], guidance: Guidance) -> Float[Tensor, "B K E h w"]:
        """See `Conditioning.compare`."""
        unit, query = prepared
        query = laid_out(query)  # in which blocks and pooling are twice as fast
        each = []
        with torch.autocast(unit.device.type, enabled=False):
            asked = [torch.cat(list(self._maps(unit.float(), sides)), dim=1) for sides in each_label(guidance)]
        for maps in asked:
            known = self.evidence(laid_out(maps))
            mixed = torch.relu(self.norm(known + query))
            each.append(self.last(self.context(mixed)))
        return torch.stack([torch.zeros_like(each[0]), *each], dim=1)

    def _maps(self, unit: Float[Tensor, "B C h w"], sides: Sides) -> Iterator[Float[Tensor, "B n h w"]]:
        """All evidence for one label."""
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
    """Kernel ridge regression on features and places: what is like a dot and near it is of its label.

    The kernel is the product of exp(β (cosine - 1)) and a bell of the distance, for each reach in `AROUND`; far from
    all dots the answer is 0. The penalty and β are learned.
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
        """A map for each reach; 0 where no dot is on the query's own image."""
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
    """The best cosine of a cell to a side, and the mean of the best few."""
    if len(cosines) == 1 and members.any() and not torch.compiler.is_compiling():
        # one episode needs no padding, and to sort the other side as well would take twice the time
        cosines, members = cosines[:, members[0]], members[:, members[0]]
    few = min(FEW, cosines.shape[1])
    best = cosines.masked_fill(~members[..., None], -2.0).topk(few, dim=1).values
    there = (best > -1.5).to(best.dtype)
    return torch.stack([best[:, 0], (best * there).sum(1) / there.sum(1).clamp(min=1)], dim=1)


def _fit(
    found: Float[Tensor, "B N C"], cosines: Float[Tensor, "B N n"], members: tuple[Tensor, ...], penalty: Tensor
) -> Float[Tensor, "B n"]:
    """A linear classifier on the annotated features, with a constant."""
    constant = 0.25
    return _regress(found @ found.transpose(1, 2) + constant, cosines + constant, members, penalty)


def _regress(
    between: Float[Tensor, "B N N"], to_cells: Float[Tensor, "B N n"], members: tuple[Tensor, ...], penalty: Tensor
) -> Float[Tensor, "B n"]:
    """Ridge regression of 1 (the label) and -1 (the rest) on annotated features, both sides weighing alike.

    In its dual form, by the kernel between annotated features and from them to the cells, since these are few.
    """
    own, rest = (side / (2 * side.sum(1, keepdim=True)).clamp(min=1) for side in members)
    root = (own + rest).sqrt()
    between = between * root[:, :, None] * root[:, None]
    between = between + penalty * torch.eye(between.shape[1], device=between.device)
    signs = torch.where(members[0] > 0, root, -root)
    weights = torch.linalg.solve(between, signs) * root
    return (weights[:, None] @ to_cells)[:, 0]

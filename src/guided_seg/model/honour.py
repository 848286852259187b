"""Honoured dots: correct the scores at dots on the query that they contradict, and nearby where it looks the same."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from guided_seg.model.guide.guide import Guidance
from guided_seg.model.heads.evidence import Sides, each_label

MARGIN = 2.0
"""Smallest score that a dot on the query gets for its label, and largest with the other sign for all others."""

NUGGET = 0.02
"""Added to the diagonal of the kernel. Without it, dots of different labels side by side would be honoured at any price
around them, and rounding would show. Scores up to `MARGIN` / `NUGGET` = 100 against a dot are still turned."""


class Honour(nn.Module):
    """Give every dot on the query its label, by interpolating what the scores lack there.

    A dot whose score has at least `MARGIN` in its favour lacks nothing. What the others lack is interpolated by kernel
    regression: the correction equals it at the dots, and elsewhere fades with the distance to them and with the
    difference in appearance. So it spreads over what cannot be told from the dot's own pixel. It is differentiable, so
    the network learns to leave little to correct.

    The kernel is exp(-d² / 2σ² + β (c - 1)), where d is the distance in cells and c the cosine of the appearance. σ and
    β are learned.

    Args:
        reach: initial σ, in cells of the map of appearance.
        sharpness: initial β.
    """

    def __init__(self, reach: float = 8.0, sharpness: float = 4.0) -> None:
        super().__init__()
        self.reach = nn.Parameter(torch.tensor(reach).log())
        self.sharpness = nn.Parameter(torch.tensor(sharpness).log())

    def forward(
        self,
        scores: Float[Tensor, "B K y x"],
        look: Float[Tensor, "B E v u"],
        guidance: Guidance,
        grid: tuple[int, int],
    ) -> Float[Tensor, "B K y x"]:
        """The scores with the correction of each positive label.

        Args:
            scores: scores at the finest resolution, 0 for the negative.
            look: the appearance of the query; its grid spans the same image.
            guidance: holds the dots.
            grid: rows and columns of the grid that `Guidance.places` refers to; it spans the image.
        """
        with torch.autocast(scores.device.type, enabled=False):
            unit = F.normalize(look.float(), dim=1)
            more = [
                self._correction(scores[:, label : label + 1].float(), unit, sides, grid)
                for label, sides in enumerate(each_label(guidance), 1)
            ]
        return torch.cat([scores[:, :1], *(scores[:, i : i + 1] + found for i, found in enumerate(more, 1))], dim=1)

    def _correction(
        self,
        scores: Float[Tensor, "B 1 y x"],
        unit: Float[Tensor, "B E v u"],
        sides: Sides,
        grid: tuple[int, int],
    ) -> Float[Tensor, "B 1 y x"] | float:
        on_query = sides.places[..., 2]
        dots = (on_query > 0).any(0)
        if not dots.any():
            return 0.0
        own, rest = (side[:, dots] for side in sides.members)
        there = on_query[:, dots] * (own + rest)
        signs = own - rest
        height, width = unit.shape[-2:]
        # a dot's place is a number of cells; 0 is the centre of the first
        share = (sides.places[:, dots, :2] + 0.5) / torch.tensor(grid, device=unit.device)
        lacking = F.relu(MARGIN - signs * _at(scores, share)[:, 0]) * signs * there
        if not lacking.any():
            return 0.0
        looks = F.normalize(_at(unit, share), dim=1)
        alike = torch.einsum("ben,bevu->bnvu", looks, unit)
        rows, columns = (
            (torch.arange(cells, device=unit.device) + 0.5 - share[..., axis, None] * cells).square()
            for axis, cells in enumerate((height, width))
        )
        apart = rows[..., :, None] + columns[..., None, :]
        kernel = torch.exp(self.sharpness.exp() * (alike - 1) - apart / (2 * (2 * self.reach).exp()))
        between = _at(kernel, share).transpose(1, 2) * there[:, :, None] * there[:, None]
        eye = torch.eye(between.shape[1], device=unit.device)
        weights = torch.linalg.solve(between + eye * (NUGGET + 1 - there[:, :, None]), lacking)
        found = torch.einsum("bn,bnvu->bvu", weights * there, kernel)[:, None]
        return F.interpolate(found, scores.shape[-2:], mode="bilinear", align_corners=False)


def _at(maps: Float[Tensor, "B E v u"], share: Float[Tensor, "B n 2"]) -> Float[Tensor, "B E n"]:
    """The maps at places given as shares of height and width."""
    where = (2 * share - 1).flip(-1)[:, None]
    return F.grid_sample(maps, where, mode="bilinear", padding_mode="border", align_corners=False)[:, :, 0]

"""IoU of the positives over episodes: pooled, per class or object, and with an interval (DESIGN 3.8)."""

from __future__ import annotations

import zlib
from typing import Literal, TypedDict

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from guided_seg.episode import IGNORE

Within = Literal["pool", "mean"]


class Scores(TypedDict):
    """The figures of one mode at one (S, P)."""

    positive_iou: float
    mean_iou: float
    ci95: list[float]
    episodes: int


def intersection_union(
    prediction: Int[Tensor, "B H W"] | UInt8[Tensor, "B H W"], target: UInt8[Tensor, "B H W"]
) -> Int[Tensor, "B 2"]:
    """Pixels of the intersection and the union of the positives of each episode; ignored pixels do not count.

    Example:
        >>> prediction, target = torch.tensor([[[1, 1, 0]]]), torch.tensor([[[1, 0, 255]]], dtype=torch.uint8)
        >>> intersection_union(prediction, target).tolist()
        [[1, 2]]
    """
    valid = target != IGNORE
    found, true = (prediction > 0) & valid, (target > 0) & valid
    both = found & true & (prediction == target)
    return torch.stack([both.flatten(1).sum(1), (found | true).flatten(1).sum(1)], dim=1)


class EpisodeIoU(Metric):
    """IoU of the positives over a set of episodes.

    Three views of the same counts: ``positive_iou`` is Σ intersection / Σ union over the whole set (the paper's);
    ``mean_iou`` is the mean over groups (classes, objects) of the IoU within each; ``ci95`` is the interval of
    ``positive_iou`` under a bootstrap over episodes, or over whole groups where a group's episodes are not
    independent (frames of a video).

    Every episode is kept by its number, so one that distributed evaluation repeats counts once.

    Args:
        within: the IoU of a group is pooled (``pool``), or the mean of its episodes' (``mean``: with one object as a
            group, and frames as episodes, ``mean_iou`` is the mean J of DAVIS; a frame with empty prediction and
            target counts as 1).
        resample: the bootstrap draws ``episodes`` or ``groups``.
        draws: of the bootstrap.

    Example:
        >>> metric = EpisodeIoU()
        >>> prediction, target = torch.tensor([[[1, 1]]]), torch.tensor([[[1, 0]]], dtype=torch.uint8)
        >>> metric.update(prediction, target, index=torch.tensor([0]), group=torch.tensor([7]))
        >>> metric.compute()["positive_iou"]
        0.5
    """

    full_state_update = False
    rows: list[Tensor]

    def __init__(
        self, within: Within = "pool", resample: Literal["episodes", "groups"] = "episodes", draws: int = 1000
    ) -> None:
        super().__init__()
        self.within, self.resample, self.draws = within, resample, draws
        self.add_state("rows", default=[], dist_reduce_fx="cat")
        self.reset()

    def reset(self) -> None:
        """Forget all episodes."""
        super().reset()
        # a process that gets no episode still has to join the others with a table of their shape
        self.rows.append(torch.zeros(0, 4, dtype=torch.int64, device=self.device))

    def update(
        self,
        prediction: Int[Tensor, "B H W"] | UInt8[Tensor, "B H W"],
        target: UInt8[Tensor, "B H W"],
        index: Int[Tensor, " B"],
        group: Int[Tensor, " B"],
    ) -> None:
        """Count B episodes, each with its number in the set and the number of its class or object."""
        counts = intersection_union(prediction, target)
        self.rows.append(torch.cat([torch.stack([index, group], 1).to(counts.device), counts], dim=1))

    def compute(self) -> Scores:
        """The scores of all episodes so far, of all processes."""
        rows = self.table()
        counts = rows[:, 2:].double()
        groups = torch.unique(rows[:, 1], return_inverse=True)[1]
        unit = groups if self.resample == "groups" else torch.arange(len(rows), device=rows.device)
        return {
            "positive_iou": _iou(counts.sum(0)).item(),
            "mean_iou": self._grouped(counts, groups).mean().item(),
            "ci95": self._interval(counts, unit),
            "episodes": len(rows),
        }

    def per_group(self) -> dict[int, float]:
        """The IoU within each group, by its number; under distribution every process must ask."""
        with self.sync_context(dist_sync_fn=self.dist_sync_fn):
            rows = self.table()
        numbers, groups = torch.unique(rows[:, 1], return_inverse=True)
        return dict(zip(numbers.tolist(), self._grouped(rows[:, 2:].double(), groups).tolist(), strict=True))

    def table(self) -> Int[Tensor, "E 4"]:
        """Rows of (index, group, intersection, union), once per episode and in their order."""
        rows = dim_zero_cat(self.rows)
        if not len(rows):
            raise ValueError("EpisodeIoU has seen no episode; call update first.")
        order = torch.argsort(rows[:, 0], stable=True)
        rows = rows[order]
        first = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
        first[1:] = rows[1:, 0] != rows[:-1, 0]
        return rows[first]

    def _grouped(self, counts: Float[Tensor, "E 2"], groups: Int[Tensor, " E"]) -> Float[Tensor, " G"]:
        number = int(groups.max()) + 1
        if self.within == "pool":
            return _iou(counts.new_zeros(number, 2).index_add(0, groups, counts))
        total = counts.new_zeros(number).index_add(0, groups, _iou(counts))
        return total / torch.bincount(groups, minlength=number)

    def _interval(self, counts: Float[Tensor, "E 2"], unit: Int[Tensor, " E"]) -> list[float]:
        number = int(unit.max()) + 1
        pooled = counts.new_zeros(number, 2).index_add(0, unit, counts).cpu()
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randint(number, (self.draws, number), generator=generator)
        values = _iou(pooled[drawn].sum(1))
        return torch.quantile(values, torch.tensor([0.025, 0.975], dtype=values.dtype)).tolist()


def _iou(counts: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
    """Intersection over union; 1 where both are empty, since nothing was asked and nothing claimed."""
    intersection, union = counts.unbind(-1)
    return torch.where(union > 0, intersection / union.clamp(min=1), torch.ones_like(union))


def group_number(name: str) -> int:
    """A number for the name of a class or object, the same on every process."""
    return zlib.crc32(name.encode())

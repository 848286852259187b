"""IoU of the positive labels over episodes: pooled, per class or object, with an interval (concepts, rule 8)."""

from __future__ import annotations

import zlib
from typing import Literal, TypedDict

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from guided_seg.episode import IGNORE
from guided_seg.metrics.intervals import DRAWS, bootstrap

Within = Literal["pool", "mean"]
NO_LABEL = -1
"""The group of a positive label that an episode lacks."""
_LABEL = 1 << 32  # added to an episode's number for each positive label after the first


class Scores(TypedDict):
    """The figures of one mode at one (S, P)."""

    positive_iou: float
    mean_iou: float
    ci95: list[float]
    episodes: int


def intersection_union(
    prediction: Int[Tensor, "B H W"] | UInt8[Tensor, "B H W"], target: UInt8[Tensor, "B H W"], num_labels: int = 2
) -> Int[Tensor, "B L 2"]:
    """Count the pixels of intersection and union for each of L = ``num_labels`` - 1 positive labels.

    Ignored pixels do not count. A pixel of one positive label that is predicted as another counts in the unions of
    both.

    Example:
        >>> prediction, target = torch.tensor([[[1, 1, 0]]]), torch.tensor([[[1, 0, 255]]], dtype=torch.uint8)
        >>> intersection_union(prediction, target).tolist()
        [[[1, 2]]]
    """
    valid = target != IGNORE
    counts = []
    for label in range(1, num_labels):
        found, true = (prediction == label) & valid, target == label
        counts.append(torch.stack([(found & true).flatten(1).sum(1), (found | true).flatten(1).sum(1)], dim=1))
    return torch.stack(counts, dim=1)


class EpisodeIoU(Metric):
    """IoU of the positives over a set of episodes.

    It computes three figures from the same counts. ``positive_iou`` is Σ intersection / Σ union over the whole set, as
    in the paper. ``mean_iou`` is the mean over groups (classes or objects) of the IoU within each. ``ci95`` is the
    bootstrap interval of ``positive_iou``. The bootstrap draws episodes, or whole groups if the episodes of a group
    depend on each other, as the frames of a video do.

    Each positive label of an episode counts separately and has its own group. The bootstrap draws the labels of an
    episode together.

    Episodes are stored by number, so an episode that distributed evaluation repeats counts once.

    Args:
        within: how the IoU of a group is computed: from summed pixels (``pool``), or as the mean over its episodes
            (``mean``). With objects as groups and frames as episodes, ``mean`` gives the mean J of DAVIS, where a
            frame with empty prediction and target counts as 1.
        resample: what the bootstrap draws, ``episodes`` or ``groups``.
        draws: how many times the bootstrap draws.

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
        self, within: Within = "pool", resample: Literal["episodes", "groups"] = "episodes", draws: int = DRAWS
    ) -> None:
        super().__init__()
        self.within, self.resample, self.draws = within, resample, draws
        self.add_state("rows", default=[], dist_reduce_fx="cat")
        self.reset()

    def reset(self) -> None:
        """Forget all episodes."""
        super().reset()
        # a process without episodes must still contribute a table of the same shape
        self.rows.append(torch.zeros(0, 4, dtype=torch.int64, device=self.device))

    def update(
        self,
        prediction: Int[Tensor, "B H W"] | UInt8[Tensor, "B H W"],
        target: UInt8[Tensor, "B H W"],
        index: Int[Tensor, " B"],
        group: Int[Tensor, " B"] | Int[Tensor, "B L"],
    ) -> None:
        """Add B episodes of up to L positive labels.

        Args:
            prediction: labels.
            target: labels.
            index: the number of each episode in the set, below 2^32.
            group: the number of the class or object of each positive label; `NO_LABEL` where an episode has fewer.
        """
        group = group[:, None] if group.ndim == 1 else group
        counts = intersection_union(prediction, target, group.shape[1] + 1)
        entry = index[:, None] + torch.arange(group.shape[1], device=index.device) * _LABEL
        rows = torch.cat([torch.stack([entry, group], 2).to(counts.device), counts], dim=2).flatten(0, 1)
        self.rows.append(rows[rows[:, 1] != NO_LABEL])

    def compute(self) -> Scores:
        """The scores of all episodes so far, over all processes."""
        rows = self.table()
        counts = rows[:, 2:].double()
        groups = torch.unique(rows[:, 1], return_inverse=True)[1]
        numbers, episodes = torch.unique(rows[:, 0] % _LABEL, return_inverse=True)
        unit = groups if self.resample == "groups" else episodes
        return {
            "positive_iou": _iou(counts.sum(0)).item(),
            "mean_iou": self._grouped(counts, groups).mean().item(),
            "ci95": self._interval(counts, unit),
            "episodes": len(numbers),
        }

    def counted(self) -> bool:
        """Whether any process has an episode. In distributed evaluation every process must call this."""
        with self.sync_context(dist_sync_fn=self.dist_sync_fn):
            return len(dim_zero_cat(self.rows)) > 0

    def per_group(self) -> dict[int, float]:
        """Group number -> IoU within the group. In distributed evaluation every process must call this."""
        with self.sync_context(dist_sync_fn=self.dist_sync_fn):
            rows = self.table()
        numbers, groups = torch.unique(rows[:, 1], return_inverse=True)
        return dict(zip(numbers.tolist(), self._grouped(rows[:, 2:].double(), groups).tolist(), strict=True))

    def table(self) -> Int[Tensor, "E 4"]:
        """Rows of (index, group, intersection, union), one per episode and label, sorted by label and then by index."""
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
        pooled = counts.new_zeros(number, 2).index_add(0, unit, counts).cpu().numpy()
        return bootstrap(lambda times: _iou(torch.from_numpy(times @ pooled)).numpy(), number, self.draws)


def _iou(counts: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
    """Intersection over union; 1 where both are empty, as nothing was missed and nothing invented."""
    intersection, union = counts.unbind(-1)
    return torch.where(union > 0, intersection / union.clamp(min=1), torch.ones_like(union))


def group_number(name: str) -> int:
    """A number for the name of a class or object, the same in every process."""
    return zlib.crc32(name.encode())

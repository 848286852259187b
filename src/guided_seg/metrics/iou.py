"""IoU of the positives over episodes: pooled, per class or object, and with an interval (concepts, rule 8)."""

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
"""Stands in for the group of a positive label that an episode does not have."""
_LABEL = 1 << 32  # an entry's number is that of its episode, plus this for each label after the first


class Scores(TypedDict):
    """The figures of one mode at one (S, P)."""

    positive_iou: float
    mean_iou: float
    ci95: list[float]
    episodes: int


def intersection_union(
    prediction: Int[Tensor, "B H W"] | UInt8[Tensor, "B H W"], target: UInt8[Tensor, "B H W"], num_labels: int = 2
) -> Int[Tensor, "B L 2"]:
    """Pixels of the intersection and the union of each of L = ``num_labels`` - 1 positive labels; ignored ones are out.

    Another positive label where one belongs is a miss of that one and a false alarm of the other.

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

    Three views of the same counts: ``positive_iou`` is Σ intersection / Σ union over the whole set (the paper's);
    ``mean_iou`` is the mean over groups (classes, objects) of the IoU within each; ``ci95`` is the interval of
    ``positive_iou`` under a bootstrap over episodes, or over whole groups where a group's episodes are not
    independent (frames of a video).

    With several positive labels, each counts on its own, with its own group: as if it were an episode in all of this,
    but for the interval, which keeps the labels of an episode together.

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
        self, within: Within = "pool", resample: Literal["episodes", "groups"] = "episodes", draws: int = DRAWS
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
        group: Int[Tensor, " B"] | Int[Tensor, "B L"],
    ) -> None:
        """Count B episodes of up to L positive labels.

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
        """The scores of all episodes so far, of all processes."""
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
        """Whether any process has counted an episode; under distribution every process must ask."""
        with self.sync_context(dist_sync_fn=self.dist_sync_fn):
            return len(dim_zero_cat(self.rows)) > 0

    def per_group(self) -> dict[int, float]:
        """The IoU within each group, by its number; under distribution every process must ask."""
        with self.sync_context(dist_sync_fn=self.dist_sync_fn):
            rows = self.table()
        numbers, groups = torch.unique(rows[:, 1], return_inverse=True)
        return dict(zip(numbers.tolist(), self._grouped(rows[:, 2:].double(), groups).tolist(), strict=True))

    def table(self) -> Int[Tensor, "E 4"]:
        """Rows of (index, group, intersection, union), once per episode and label; by label, and by index within it."""
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
    """Intersection over union; 1 where both are empty, since nothing was asked and nothing claimed."""
    intersection, union = counts.unbind(-1)
    return torch.where(union > 0, intersection / union.clamp(min=1), torch.ones_like(union))


def group_number(name: str) -> int:
    """A number for the name of a class or object, the same on every process."""
    return zlib.crc32(name.encode())

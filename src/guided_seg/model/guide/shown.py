"""Guidance per shot: what each annotated image shows of each label, before shots are merged into one z."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

PLACES = 3
"""Numbers that describe the place of an annotated feature: row, column, and whether they refer to the query."""


class Shown(ABC):
    """Guidance of K labels from T shots, before the merge. Parts of it can be cached and joined later."""

    @abstractmethod
    def label(self, label: int) -> Shown | None:
        """The guidance of one label (K = 1); None if no shot annotates it."""

    @abstractmethod
    def seen_from(self, on_query: Bool[Tensor, " T"]) -> Shown:
        """The same guidance, for a query that only the shots ``on_query`` annotate."""

    @classmethod
    @abstractmethod
    def join(cls, parts: Sequence[Any]) -> Shown:
        """Concatenate the shots of several parts with the same K."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes of its tensors."""


@dataclass(frozen=True, slots=True)
class Pooled(Shown):
    """One z for each shot and label (``locality=global`` or ``local``).

    Attributes:
        z: float ``[T, K, C]``, or ``[T, K, C, h, w]`` if positions are kept; K is 1 where one z stands for all labels.
        annotated: bool ``[T, K]`` which labels each shot annotates; z of the others is zero.
    """

    z: Float[Tensor, "T K C *grid"]
    annotated: Bool[Tensor, "T K"]

    def label(self, label: int) -> Pooled | None:
        """See `Shown.label`."""
        only = slice(label, label + 1)
        return Pooled(self.z[:, only], self.annotated[:, only]) if self.annotated[:, label].any() else None

    def seen_from(self, on_query: Bool[Tensor, " T"]) -> Pooled:
        """The same: z does not say where its image is."""
        return self

    @classmethod
    def join(cls, parts: Sequence[Any]) -> Pooled:
        """See `Shown.join`."""
        return cls(torch.cat([part.z for part in parts]), torch.cat([part.annotated for part in parts]))

    @property
    def nbytes(self) -> int:
        """See `Shown.nbytes`."""
        return self.z.nbytes + self.annotated.nbytes


@dataclass(frozen=True, slots=True)
class Rows(Shown):
    """The annotated features themselves (``locality=set``).

    Attributes:
        features: float ``[N, C]`` one row for each dot, or for each cell that a mask gives to a label.
        places: float ``[N, 3]`` row and column on the grid, in cells, and 1 if the row is a dot on the query. The
            cells of masks have no place: the query's own mask would give away the target in training.
        shot: int64 ``[N]`` the shot of each row.
        of_label: int64 ``[N]`` the label of each row.
        shots: T.
        labels: K.
    """

    features: Float[Tensor, "N C"]
    places: Float[Tensor, "N 3"]
    shot: Int[Tensor, " N"]
    of_label: Int[Tensor, " N"]
    shots: int
    labels: int

    def label(self, label: int) -> Rows | None:
        """See `Shown.label`."""
        mine = torch.nonzero(self.of_label == label)[:, 0]  # once, since each boolean index would look for it
        if not len(mine):
            return None
        shot = self.shot[mine]
        return Rows(self.features[mine], self.places[mine], shot, torch.zeros_like(shot), self.shots, 1)

    def seen_from(self, on_query: Bool[Tensor, " T"]) -> Rows:
        """See `Shown.seen_from`: places on other images are ignored."""
        here = self.places[:, 2:] * on_query[self.shot, None]
        return replace(self, places=torch.cat([self.places[:, :2], here], dim=1))

    @classmethod
    def join(cls, parts: Sequence[Any]) -> Rows:
        """See `Shown.join`."""
        if len(parts) == 1:
            return parts[0]
        shots, numbered = 0, []
        for part in parts:
            numbered.append(part.shot + shots)
            shots += part.shots
        features, places, labels = (
            torch.cat([getattr(part, name) for part in parts]) for name in ("features", "places", "of_label")
        )
        return cls(features, places, torch.cat(numbered), labels, shots, parts[0].labels)

    @property
    def nbytes(self) -> int:
        """See `Shown.nbytes`."""
        return self.features.nbytes + self.places.nbytes + self.shot.nbytes + self.of_label.nbytes

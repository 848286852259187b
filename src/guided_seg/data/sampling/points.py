"""Sample dots: the number per label (P) and the sparse annotation of a label map (paper, section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from guided_seg.data.source import Mode
from guided_seg.episode import IGNORE
from guided_seg.errors import DataError

DENSE = None
"""The P of a full mask."""

VARY = ("episode", "shot", "label")
"""Scopes within which P of a training episode is constant."""

SPACING = ("log", "uniform")
"""Distributions of P between its bounds."""

PLACES = ("uniform", "centre", "border", "distractor")
"""Placements of dots, see `guided_seg.data.sampling.placing`."""

Setting = tuple[int, int | None]
"""(S, P), where P counts dots per label and None is a dense mask."""

_DRAW, _TRIES = 256, 8


def settings_of(mode: Mode, settings: Iterable[Setting]) -> list[Setting]:
    """The settings that are valid in ``mode``: an interactive task has only one shot, the query itself."""
    return [setting for setting in settings if mode != "interactive" or setting[0] == 1]


def sample_points(
    mask: UInt8[np.ndarray, "H W"], points: int | Mapping[int, int], labels: tuple[int, ...], rng: np.random.Generator
) -> Int[Tensor, "D 3"]:
    """Sample up to ``points`` distinct pixels of each label uniformly; all pixels if a label has fewer.

    Rejection sampling takes microseconds at any image size; only rare labels are searched for in the whole mask. With
    equal generators, the dots of a smaller P are a subset of those of a larger P.

    Args:
        mask: a label per pixel.
        points: P, the number of dots per label, or that of each label.
        labels: the labels to annotate.
        rng: the source of randomness.

    Returns:
        Rows of (row, column, label), by label.

    Example:
        >>> mask = np.eye(4, dtype=np.uint8)
        >>> dots = sample_points(mask, 2, (0, 1), np.random.default_rng(0))
        >>> dots.shape, [int(mask[r, c]) for r, c, _ in dots]
        (torch.Size([4, 3]), [0, 0, 1, 1])
    """
    flat = mask.ravel()
    wanted = points if isinstance(points, Mapping) else dict.fromkeys(labels, points)
    found: dict[int, dict[int, None]] = {label: {} for label in labels}
    for _ in range(_TRIES):
        draw = rng.integers(flat.size, size=_DRAW)
        values = flat[draw]
        for label, hits in found.items():
            hits.update(dict.fromkeys(draw[values == label].tolist()))
        if all(len(hits) >= wanted[label] for label, hits in found.items()):
            break
    chosen = []
    seed = int(rng.integers(1 << 62))
    for label, hits in found.items():
        if len(hits) < wanted[label]:
            # a separate generator: whether another label is searched for depends on P
            order = np.random.default_rng((seed, label)).permutation(np.flatnonzero(flat == label))
            hits.update(dict.fromkeys(order.tolist()))
        chosen.append(list(hits)[: wanted[label]])
    indices = np.array([index for some in chosen for index in some], np.int64)
    of = np.repeat(np.array(list(found), np.int64), [len(some) for some in chosen])
    return torch.from_numpy(np.stack([*np.divmod(indices, mask.shape[1]), of], axis=1))


@dataclass(frozen=True)
class PointRange:
    """The distribution of P in training (concepts, rule 7): from ``low`` to ``high``, or dense.

    Attributes:
        low: fewest dots per label; 0 (no dots) is only valid if P is uniform.
        high: most dots per label.
        dense: share of episodes with full masks.
        missing: share of shots without one of the labels.
        vary: scope of P: all shots of an ``episode``, all labels of a ``shot``, or one ``label`` of a shot. The last
            two mix dots and masks within an episode.
        spacing: ``log``, so that 1 to 2 is as likely as 10 to 20, or ``uniform``, as in the original.
        place: weight of each of `PLACES` for the dots of a label in a shot.

    Raises:
        DataError: a range, share, ``vary``, ``spacing`` or ``place`` is invalid.

    Example:
        >>> PointRange(low=1, high=25, dense=0.0).draw(np.random.default_rng(0)) in range(1, 26)
        True
    """

    low: int = 1
    high: int = 64
    dense: float = 0.15
    missing: float = 0.05
    vary: str = "episode"
    spacing: str = "log"
    place: Mapping[str, float] = field(default_factory=lambda: {"uniform": 1.0})

    def __post_init__(self) -> None:
        if self.spacing not in SPACING:
            raise DataError(f"episode.points.spacing={self.spacing}: expected {' or '.join(SPACING)}.")
        least = 1 if self.spacing == "log" else 0
        if not least <= self.low <= self.high or self.high < 1:
            raise DataError(
                f"episode.points.low={self.low}, points.high={self.high}: expected {least} <= low <= high"
                f"{'' if least else ' and high >= 1'}."
            )
        if not (0 <= self.dense <= 1 and 0 <= self.missing <= 1):
            raise DataError(f"episode.points.dense={self.dense}, points.missing={self.missing}: shares lie in 0..1.")
        if self.vary not in VARY:
            raise DataError(f"episode.points.vary={self.vary}: expected {', '.join(VARY)}.")
        if not set(self.place) <= set(PLACES) or not any(self.place.values()) or min(self.place.values()) < 0:
            raise DataError(
                f"episode.points.place={dict(self.place)}: expected shares from 0 of {', '.join(PLACES)}, one above 0."
            )

    def draw(self, rng: np.random.Generator) -> int | None:
        """P of one episode; None for dense."""
        return DENSE if rng.random() < self.dense else self._dots(rng)

    def draw_shot(
        self, of_episode: int | None, labels: tuple[int, ...], rng: np.random.Generator
    ) -> int | Mapping[int, int] | None:
        """P of one shot, or of each of its ``labels``; None for dense. Uses no randomness if P is the episode's."""
        if self.vary == "episode":
            return of_episode
        of_shot = self.draw(rng)
        if self.vary == "shot" or of_shot is DENSE:
            return of_shot
        return {label: self._dots(rng) for label in labels}

    def draw_places(self, labels: tuple[int, ...], rng: np.random.Generator) -> dict[int, str]:
        """The placement for each of a shot's ``labels``. Uses no randomness if there is no choice."""
        shares = {place: share for place, share in self.place.items() if share > 0}
        if len(shares) == 1:
            return dict.fromkeys(labels, *shares)
        chances = np.array(list(shares.values())) / sum(shares.values())
        return {label: list(shares)[int(rng.choice(len(shares), p=chances))] for label in labels}

    def _dots(self, rng: np.random.Generator) -> int:
        if self.spacing == "uniform":
            return int(rng.integers(self.low, self.high + 1))
        exponent = rng.uniform(np.log(self.low), np.log(self.high + 1))
        return min(int(np.exp(exponent)), self.high)

    def labels(self, num_labels: int, rng: np.random.Generator) -> tuple[int, ...]:
        """The labels that one shot annotates: all, or sometimes all but one."""
        labels = tuple(range(num_labels))
        if rng.random() >= self.missing:
            return labels
        left_out = int(rng.integers(num_labels))
        return tuple(label for label in labels if label != left_out)


def binarize(labels: UInt8[np.ndarray, "H W"], values: tuple[int, ...]) -> UInt8[np.ndarray, "H W"]:
    """Map ``values`` to labels 1, 2, ..., void to `IGNORE`, and all other values to negative."""
    # comparisons run several times as fast as a table lookup, which takes a tenth of the time to decode the JPEG
    found = np.negative((labels == IGNORE).view(np.uint8))  # True is the byte 1, so void becomes 255
    for label, value in enumerate(values, start=1):
        found |= (labels == value).view(np.uint8) * np.uint8(label)
    return found


def keep_labels(mask: UInt8[np.ndarray, "H W"], labels: tuple[int, ...]) -> UInt8[np.ndarray, "H W"]:
    """Replace all but ``labels`` in the mask by `IGNORE`."""
    table = np.full(256, IGNORE, np.uint8)
    table[list(labels)] = labels
    return np.asarray(cv2.LUT(mask, table), np.uint8)  # five times as fast as table[mask]

"""Random episodes of every form, and networks small enough to be tried on hundreds of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor, nn

from guided_seg.episode import IGNORE, Episode, Shot
from guided_seg.model.backbone import Backbone
from guided_seg.model.guide.annotation import Interpolate
from guided_seg.model.guide.fusion import Late
from guided_seg.model.guide.guide import Guide
from guided_seg.model.guide.locality import Global, Local
from guided_seg.model.guide.merge import Mean

thorough = settings(max_examples=60, deadline=None)
brief = settings(max_examples=15, deadline=None)


class Grid(Backbone):
    """Random features of cells of ``stride`` pixels, so that any grid can be had in microseconds."""

    def __init__(self, channels: int = 5, stride: int = 4) -> None:
        super().__init__(False, (0.5,) * 3, (0.25,) * 3)
        self.channels, self.stride = channels, stride
        self.conv = nn.Conv2d(3, channels, 1)

    def stages(self) -> list[nn.Module]:
        return [self.conv]

    def maps(self, images: Tensor) -> list[Tensor]:
        return [self.conv(F.avg_pool2d(images, self.stride, ceil_mode=True))]


def guide(local: bool, channels: int = 5) -> Guide:
    return Guide(Late(Interpolate(), Local() if local else Global()), Mean(), channels)


def random_image(size: tuple[int, int], rng: torch.Generator) -> Tensor:
    return torch.rand(3, *size, generator=rng)


def random_mask(size: tuple[int, int], labels: Sequence[int], rng: torch.Generator) -> Tensor:
    """A label map of ``labels`` and of pixels that are not annotated."""
    values = torch.tensor([*labels, IGNORE], dtype=torch.uint8)
    return values[torch.randint(len(values), size, generator=rng)]


def random_points(size: tuple[int, int], labels: Sequence[int], number: int, rng: torch.Generator) -> Tensor:
    """``number`` dots on distinct pixels."""
    pixels = torch.randperm(size[0] * size[1], generator=rng)[: number if labels else 0]
    names = torch.tensor(labels or [0])[torch.randint(max(len(labels), 1), pixels.shape, generator=rng)]
    return torch.stack([pixels // size[1], pixels % size[1], names], dim=1)


def as_mask(shot: Shot) -> Shot:
    """The same annotation in the other form."""
    assert shot.points is not None
    mask = torch.full(tuple(shot.image.shape[1:]), IGNORE, dtype=torch.uint8)
    mask[shot.points[:, 0], shot.points[:, 1]] = shot.points[:, 2].to(torch.uint8)
    return Shot(shot.image, mask=mask, is_query=shot.is_query)


sizes = st.tuples(st.integers(3, 33), st.integers(3, 33))
seeds = st.integers(0, 2**32 - 1)


@dataclass(frozen=True)
class ShotPlan:
    """A shot to be made: its own image or the query's (size None), the labels that it annotates, dots or a mask."""

    size: tuple[int, int] | None
    labels: list[int]
    dots: int | None

    def make(self, query: Tensor, rng: torch.Generator) -> Shot:
        size = self.size or (query.shape[1], query.shape[2])
        image = random_image(size, rng) if self.size else query
        if self.dots is None:
            return Shot(image, mask=random_mask(size, self.labels, rng), is_query=not self.size)
        return Shot(image, points=random_points(size, self.labels, self.dots, rng), is_query=not self.size)


@dataclass(frozen=True)
class Plan:
    """An episode to be made; Hypothesis draws the plan, since making it calls the type checker's own `random`."""

    seed: int
    size: tuple[int, int]
    num_labels: int
    shots: list[ShotPlan]

    def make(self) -> Episode:
        rng = torch.Generator().manual_seed(self.seed)
        query = random_image(self.size, rng)
        support = [shot.make(query, rng) for shot in self.shots]
        return Episode(query, random_mask(self.size, range(self.num_labels), rng), support, num_labels=self.num_labels)


def plans(num_labels: int = 2, same_image: bool = False, dots_only: bool = False) -> st.SearchStrategy[Plan]:
    """Any S (0 included), P (0 included), image sizes, labels missing here and there, points and masks mixed.

    Args:
        num_labels: K.
        same_image: every shot is of the query itself.
        dots_only: no shot has a mask.
    """
    shot = st.builds(
        ShotPlan,
        size=st.none() if same_image else st.none() | sizes,
        labels=st.sets(st.integers(0, num_labels - 1)).map(sorted),
        dots=st.integers(0, 6) if dots_only else st.none() | st.integers(0, 6),
    )
    return st.builds(Plan, seeds, sizes, st.just(num_labels), st.lists(shot, max_size=3))

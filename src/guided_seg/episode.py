"""Episode, Shot and Batch: the contract between data and model (paper, section 3).

An **episode** is one few-shot segmentation task: a *support* of S annotated images (shots) that defines what to
segment, a *query* image and its *target*. The mode (interactive, semantic, video) only decides how they are sampled.

Annotations have two equivalent forms: ``points``, rows of ``(row, column, label)``, or a dense ``mask`` with a label
per pixel. Labels are ``0`` for the negative, ``1..K-1`` for the positives, and `IGNORE` for pixels that are not
annotated (support) or not scored (target).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from guided_seg.errors import UserError

IGNORE = 255
"""The label of pixels that are not annotated (support) or not scored (target)."""

Meta = dict[str, Any]
"""The origin of an image or episode: source, image, class, instance, video and frame ids."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One annotated support image.

    Attributes:
        image: float32 ``[3, H, W]`` in ``[0, 1]``, RGB.
        points: int64 ``[P, 3]`` rows of (row, column, label), or None if the annotation is a mask. A repeated dot
            counts twice in the average over dots. A mask cannot express this.
        mask: uint8 ``[H, W]`` a label per pixel, `IGNORE` if not annotated, or None if the annotation is points.
        is_query: whether the image is the query itself (interactive mode), so that it is encoded once.
        meta: origin of the shot.

    Raises:
        UserError: neither or both annotations are given, the sizes of mask and image differ, or a dot lies outside the
            image or has an invalid label.

    Example:
        >>> shot = Shot(torch.zeros(3, 4, 6), points=torch.tensor([[1, 2, 1], [3, 5, 0]]))
        >>> shot.labels()
        (0, 1)
    """

    image: Float[Tensor, "3 H W"]
    points: Int[Tensor, "P 3"] | None = None
    mask: UInt8[Tensor, "H W"] | None = None
    is_query: bool = False
    meta: Meta = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.points is None) == (self.mask is None):
            raise UserError("A shot takes either points or a mask, not both and not neither; give exactly one.")
        height, width = self.image.shape[-2:]
        if self.mask is not None and self.mask.shape != (height, width):
            raise UserError(
                f"The mask is {tuple(self.mask.shape)} but its image is {(height, width)}; they must have one size."
            )
        if self.points is not None:
            check_points(self.points, height, width)

    def labels(self) -> tuple[int, ...]:
        """The labels that this shot annotates, sorted, without `IGNORE`."""
        source = self.points[:, 2] if self.points is not None else self.mask
        assert source is not None
        return tuple(label for label in torch.unique(source).tolist() if label != IGNORE)


@dataclass(frozen=True, slots=True)
class Episode:
    """One task: segment the query as the support shows (paper, section 3).

    Attributes:
        query: float32 ``[3, H, W]`` in ``[0, 1]``, RGB.
        target: uint8 ``[H, W]``: 0 negative, 1..K-1 positive, `IGNORE` not scored.
        support: any number of shots, of any size.
        meta: origin of the task; ``group`` names the class or object by which IoU is grouped.
        num_labels: K, including the negative. Labels in target and support are below K. A positive label need not
            be in every shot, nor in the query.
        previous: uint8 ``[H, W]`` the previous prediction on a similar frame, `IGNORE` if unknown; or None. It is an
            optional hint: z defines what to segment, ``previous`` where it may be.

    Raises:
        UserError: target, ``previous`` or a shot with ``is_query`` differs in size from the query, or a dot, a mask or
            the target has a label from K on.
    """

    query: Float[Tensor, "3 H W"]
    target: UInt8[Tensor, "H W"]
    support: Sequence[Shot]
    meta: Meta = field(default_factory=dict)
    num_labels: int = 2
    previous: UInt8[Tensor, "H W"] | None = None

    def __post_init__(self) -> None:
        if self.target.shape != self.query.shape[-2:]:
            found, expected = tuple(self.target.shape), tuple(self.query.shape[-2:])
            raise UserError(f"The target is {found} but the query is {expected}; they must have one size.")
        if self.previous is not None and self.previous.shape != self.target.shape:
            found, expected = tuple(self.previous.shape), tuple(self.target.shape)
            raise UserError(f"The earlier answer is {found} but the query is {expected}; they must have one size.")
        self._check_labels("The target", _highest(self.target))
        for shot in self.support:
            if shot.is_query and shot.image.shape != self.query.shape:
                raise UserError("A shot flagged is_query must hold the query image itself; its size differs.")
            if shot.mask is not None and shot.mask is not self.target:
                self._check_labels("A mask", _highest(shot.mask))
            if shot.points is not None and len(shot.points):
                self._check_labels("A dot", int(shot.points[:, 2].max()))

    def _check_labels(self, what: str, highest: int) -> None:
        if highest >= self.num_labels:
            raise UserError(
                f"{what} has label {highest} but the episode has num_labels={self.num_labels}; "
                f"labels go from 0 to {self.num_labels - 1}, and {IGNORE} is for pixels without one."
            )


@dataclass(frozen=True, slots=True)
class Shots:
    """The annotations of T shots of any number of episodes: all that a guide reads besides the images.

    Attributes:
        shot_image: int64 ``[T]`` the index of the image that each shot annotates.
        shot_episode: int64 ``[T]`` the episode of each shot. The query of episode b is image b.
        points: int64 ``[D, 4]`` all dots, rows of (shot, row, column, label).
        masks: uint8 ``[M, H, W]`` the masks, `IGNORE` in the padding.
        mask_shot: int64 ``[M]`` the shot of each mask.
        num_labels: K, the maximum over the episodes.

    Example:
        >>> Shots.of_image(torch.tensor([[1, 2, 1]]), None, 2).points.tolist()
        [[0, 1, 2, 1]]
    """

    shot_image: Int[Tensor, " T"]
    shot_episode: Int[Tensor, " T"]
    points: Int[Tensor, "D 4"]
    masks: UInt8[Tensor, "M H W"]
    mask_shot: Int[Tensor, " M"]
    num_labels: int

    @classmethod
    def of_image(cls, points: Int[Tensor, "P 3"] | None, mask: UInt8[Tensor, "H W"] | None, num_labels: int) -> Shots:
        """The dots, rows of (row, column, label), or the mask of one image that is also the query."""
        device = points.device if points is not None else mask.device if mask is not None else None
        number = torch.zeros(1, dtype=torch.int64, device=device)
        none = torch.zeros(0, 4, dtype=torch.int64, device=device)
        return Shots(
            shot_image=number,
            shot_episode=number,
            points=none if points is None else torch.nn.functional.pad(points, (1, 0)),
            masks=torch.zeros(0, 0, 0, dtype=torch.uint8, device=device) if mask is None else mask[None],
            mask_shot=number[: int(mask is not None)],
            num_labels=num_labels,
        )

    @property
    def on_query(self) -> Bool[Tensor, " T"]:
        """Which shots annotate the query itself."""
        return self.shot_image == self.shot_episode


@dataclass(frozen=True, slots=True)
class Batch(Shots):
    """B episodes with any number of shots, points and image sizes; padded, never resized.

    The images are the B queries, then the support images other than queries, each once (but see ``first``). Padding is
    at the bottom and right. ``sizes`` holds the true sizes, so a batch of n gives the same scores as n batches of one.

    Attributes:
        images: float32 ``[N, 3, H, W]``, N ≥ B.
        sizes: int64 ``[N, 2]`` height and width of each image before padding.
        target: uint8 ``[B, H, W]``, `IGNORE` in the padding.
        labels: K of each episode; labels from K on get the score -inf.
        metas: the meta of each episode.
        previous: uint8 ``[B, H, W]`` previous predictions, `IGNORE` for episodes without one; None if no episode has
            one.
        first: int64 ``[N]`` the first index in ``images`` of the same tensor, so that it is encoded once; None if all
            are different.
    """

    images: Float[Tensor, "N 3 H W"]
    sizes: Int[Tensor, "N 2"]
    target: UInt8[Tensor, "B H W"]
    labels: tuple[int, ...]
    metas: tuple[Meta, ...]
    previous: UInt8[Tensor, "B H W"] | None = None
    first: Int[Tensor, " N"] | None = None

    def __len__(self) -> int:
        return self.target.shape[0]

    @property
    def shown(self) -> Bool[Tensor, "B K"]:
        """The labels that the support of each episode annotates."""
        found = torch.zeros(len(self), self.num_labels, dtype=torch.bool, device=self.target.device)
        found[self.shot_episode[self.points[:, 0]], self.points[:, 3]] = True
        episodes = self.shot_episode[self.mask_shot]
        for label in range(self.num_labels):
            found[episodes[(self.masks == label).flatten(1).any(1)], label] = True
        return found

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The same batch with its tensors on ``device`` (Lightning calls this)."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory (the DataLoader calls this)."""
        return self._map(lambda tensor: tensor.pin_memory())

    def clone(self) -> Batch:
        """A copy of the batch with its own memory."""
        return self._map(lambda tensor: tensor.clone())

    def _map(self, function: Any) -> Batch:
        names = (each.name for each in fields(self) if isinstance(getattr(self, each.name), Tensor))
        return replace(self, **{name: function(getattr(self, name)) for name in names})


def collate(episodes: Sequence[Episode]) -> Batch:
    """Collate episodes with any number of shots and points, and any image sizes, into a `Batch`.

    Raises:
        UserError: the list is empty.

    Example:
        >>> image, target = torch.zeros(3, 4, 4), torch.zeros(4, 4, dtype=torch.uint8)
        >>> dots = torch.tensor([[0, 0, 0], [3, 3, 1]])
        >>> batch = collate([Episode(image, target, [Shot(image, points=dots, is_query=True)])])
        >>> len(batch), batch.images.shape, batch.points.tolist()
        (1, torch.Size([1, 3, 4, 4]), [[0, 0, 0, 0], [0, 3, 3, 1]])
    """
    if not episodes:
        raise UserError("collate got no episodes; a batch needs at least one.")
    images = [episode.query for episode in episodes]
    # support images that several episodes share (the same tensor) are stored and encoded once
    rows: dict[int, int] = {}
    shot_image: list[int] = []
    shot_episode: list[int] = []
    points, masks, mask_shot = [], [], []
    for index, episode in enumerate(episodes):
        for shot in episode.support:
            number = len(shot_image)
            row = index if shot.is_query else rows.setdefault(id(shot.image), len(images))
            if row == len(images):
                images.append(shot.image)
            shot_image.append(row)
            shot_episode.append(index)
            if shot.points is not None:
                points.append(torch.nn.functional.pad(shot.points, (1, 0), value=number))
            if shot.mask is not None:
                masks.append(shot.mask)
                mask_shot.append(number)
    seen: dict[int, int] = {}
    first = [seen.setdefault(id(image), row) for row, image in enumerate(images)]
    height = max(image.shape[1] for image in images)
    width = max(image.shape[2] for image in images)
    empty = torch.zeros(0, height, width, dtype=torch.uint8)
    return Batch(
        images=_pad(images, height, width, 0.0),
        sizes=torch.tensor([image.shape[1:] for image in images]),
        target=_pad([episode.target for episode in episodes], height, width, IGNORE),
        shot_image=torch.tensor(shot_image, dtype=torch.int64),
        shot_episode=torch.tensor(shot_episode, dtype=torch.int64),
        points=torch.cat(points) if points else torch.zeros(0, 4, dtype=torch.int64),
        masks=_pad(masks, height, width, IGNORE) if masks else empty,
        mask_shot=torch.tensor(mask_shot, dtype=torch.int64),
        num_labels=max(episode.num_labels for episode in episodes),
        labels=tuple(episode.num_labels for episode in episodes),
        metas=tuple(episode.meta for episode in episodes),
        previous=_earlier(episodes, height, width),
        first=torch.tensor(first) if len(seen) < len(images) else None,
    )


def _earlier(episodes: Sequence[Episode], height: int, width: int) -> UInt8[Tensor, "B H W"] | None:
    """The previous predictions, all `IGNORE` for episodes without one; None if no episode has one."""
    found = [episode.previous for episode in episodes]
    if all(previous is None for previous in found):
        return None
    blank = (torch.full_like(e.target, IGNORE) if e.previous is None else e.previous for e in episodes)
    return _pad(blank, height, width, IGNORE)


def check_points(points: Tensor, height: int, width: int) -> None:
    """Raise `UserError` unless ``points`` is ``[P, 3]``, all dots lie inside the image, and all labels are valid."""
    if points.ndim != 2 or points.shape[1] != 3:
        raise UserError(f"Points are {tuple(points.shape)}; expected [P, 3] rows of (row, column, label).")
    ends = height, width, IGNORE
    if not len(points) or (
        min(points.amin(0).tolist()) >= 0
        and all(high < end for high, end in zip(points.amax(0).tolist(), ends, strict=True))
    ):
        return  # fast path; the code below finds the invalid dot
    outside = (points[:, :2] < 0).any(1) | (points[:, 0] >= height) | (points[:, 1] >= width)
    if outside.any():
        row, column, _ = points[outside][0].tolist()
        raise UserError(
            f"The dot at row {row}, column {column} lies outside its {height} x {width} image; "
            f"rows go from 0 to {height - 1} and columns from 0 to {width - 1}."
        )
    row, column, label = points[(points[:, 2] < 0) | (points[:, 2] >= IGNORE)][0].tolist()
    raise UserError(
        f"The dot at row {row}, column {column} has label {label}; expected 0 for a negative, or 1 to {IGNORE - 1} "
        "for a positive; leave out what is not annotated."
    )


def _highest(labels: UInt8[Tensor, "H W"]) -> int:
    """The highest label other than `IGNORE`, or -1. In uint8, 255 + 1 wraps to 0."""
    return int((labels + 1).max()) - 1 if labels.numel() else -1


def _pad(tensors: Iterable[Tensor], height: int, width: int, value: float) -> Tensor:
    tensors = list(tensors)
    if all(tensor.shape[-2:] == (height, width) for tensor in tensors):
        return torch.stack(tensors)
    out = tensors[0].new_full((len(tensors), *tensors[0].shape[:-2], height, width), value)
    for row, tensor in zip(out, tensors, strict=True):
        row[..., : tensor.shape[-2], : tensor.shape[-1]] = tensor
    return out

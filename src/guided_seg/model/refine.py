"""Test-time refinement: spend more compute to improve a prediction. Nothing is trained.

The network is run again with its own confident prediction as one more shot, on a zoomed crop, or on mirrored images.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor

from guided_seg.episode import IGNORE, Batch, Episode, Shot, collate
from guided_seg.errors import UserError
from guided_seg.model.features import Features
from guided_seg.model.network import Network, UpdateCost, encode_once
from guided_seg.model.video.previous_frame import certain
from guided_seg.model.wrappers.connected import BEYOND, annotated, connected
from guided_seg.model.wrappers.wrapper import Wrapper

SURE = 0.6
"""Probability from which a predicted label becomes an annotation. Chosen on classes held out of training, on images
that are not in the test set (`experiments/released_model`)."""

SMALLEST = 32
"""Smallest longer side of a zoomed crop, in pixels."""

WHOLE = 0.85
"""A crop that covers a larger share of the image than this is not zoomed."""


class Box(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` of an image, without the last ones."""

    top: int
    left: int
    bottom: int
    right: int

    def of(self, pixels: Tensor) -> Tensor:
        """The box of a tensor whose last two dimensions are rows and columns."""
        return pixels[..., self.top : self.bottom, self.left : self.right]


class Refined(Wrapper):
    """A network with test-time refinement.

    - *Again*: the pixels that the network is confident about become one more annotated image of the support, so the
      object in the query shows what it looks like (self-support; Fan et al., 2022).
    - *Zoom*, if the query itself is annotated: the region around the prediction is segmented as an image of its own,
      with the annotations inside it, and both scores are averaged. Regions without a positive dot or mask are left out.
      This costs one more pass of the encoder.
    - *Mirror*: test-time augmentation. All of this is done for the mirrored images too, and both scores are averaged.
    - *Margin* and *connected*, if the query itself is annotated: positive labels must beat the negative by a margin,
      which helps where a network finds too much; and connected components without an annotation of their label become
      negative (see `connected`).

    Args:
        network: the network, the only part with parameters.
        again: how many times the prediction becomes a shot.
        zoom: side of the crop, as a multiple of the side of what was found; None for no crop.
        mirror: average with mirrored images.
        margin: subtracted from the scores of positive labels.
        connected: keep only components that hold a dot, or a part of a mask, of their label.

    Raises:
        UserError: a value is out of range; ``again`` for a network that is guided by dots on the query only; or
            ``zoom`` for a network that takes images at their own size.
    """

    def __init__(
        self,
        network: Network,
        again: Any = 0,
        zoom: Any = None,
        mirror: Any = False,
        margin: Any = 0.0,
        connected: Any = False,
    ) -> None:
        super().__init__(network)
        if type(again) is not int or again < 0:
            raise UserError(f"again={again}: expected a whole number from 0.")
        if zoom is not None and (type(zoom) not in (int, float) or not zoom >= 1):
            raise UserError(f"zoom={zoom}: expected a number from 1, such as 2.0, or null.")
        for name, value in {"mirror": mirror, "connected": connected}.items():
            if not isinstance(value, bool):
                raise UserError(f"{name}={value}: expected true or false.")
        if type(margin) not in (int, float) or not margin >= 0:
            raise UserError(f"margin={margin}: expected a number from 0, such as 0.7.")
        if again and network.needs_same_image:
            raise UserError(
                f"again={again}: this network is guided by dots on the query itself alone, so that answers tell it "
                "nothing new; choose again=0."
            )
        if zoom is not None and not network.backbone.enlarge:
            raise UserError(
                f"zoom={zoom}: this network takes images at their own size, so a part of one shows it nothing more; "
                "leave zoom out, or take a model that enlarges them (resolution.longest=512 resolution.enlarge=true)."
            )
        self.again, self.zoom, self.mirror = again, zoom, mirror
        self.margin, self.connected = margin, connected

    @property
    def update_cost(self) -> UpdateCost:  # type: ignore[override]
        """See `Network`."""
        return "full"

    def forward(self, batch: Batch, features: Features | None = None) -> Float[Tensor, "B K H W"]:
        """See `Network.forward`."""
        scores = self._ask(batch, encode_once(self.encode, batch) if features is None else features)
        if not self.mirror:
            return scores
        other = mirrored(batch)
        back = self._ask(other, encode_once(self.encode, other))
        return (scores + mirrored_maps(back, batch.sizes[: len(batch), 1])) / 2

    def _ask(self, batch: Batch, features: Features) -> Float[Tensor, "B K H W"]:
        scores = self._whole(batch, features)
        if self.zoom is None:
            return scores
        return torch.stack([self._closer(batch, index, scores[index]) for index in range(len(batch))])

    def _whole(self, batch: Batch, features: Features) -> Float[Tensor, "B K H W"]:
        shown = [annotated(batch, index) for index in range(len(batch))]
        scores = self._once(batch, features, shown)
        for _ in range(self.again):
            scores = self._once(with_own_answer(batch, scores), features, shown)
        return scores

    def _once(self, batch: Batch, features: Features, shown: list[Tensor]) -> Float[Tensor, "B K H W"]:
        """The scores of one pass, with margin and connected components where something is ``shown`` on the query."""
        scores = self.network(batch, features)
        if not (self.margin or self.connected):
            return scores
        scores = scores.clone()
        for own, labels, (height, width) in zip(scores, shown, batch.sizes.tolist(), strict=False):
            inside = Box(0, 0, height, width).of(own)
            inside.copy_(self.strict(inside, labels[:height, :width]))
        return scores

    def strict(self, scores: Float[Tensor, "K H W"], shown: UInt8[Tensor, "H W"]) -> Float[Tensor, "K H W"]:
        """The scores of one image with margin and connected components, if something is annotated on it.

        Args:
            scores: the network's.
            shown: the positive labels annotated on the image, see `guided_seg.model.wrappers.connected.positives`.
        """
        if not shown.any():
            return scores
        scores = scores.clone()
        scores[1:] -= self.margin
        return connected(scores, shown) if self.connected else scores

    def _closer(self, batch: Batch, index: int, scores: Float[Tensor, "K H W"]) -> Float[Tensor, "K H W"]:
        """The scores of an episode, averaged with those of a crop around its object."""
        assert self.zoom is not None
        shown = annotated(batch, index) > 0
        if not shown.any():
            return scores
        height, width = (int(side) for side in batch.sizes[index])
        found = (scores.argmax(0) > 0)[:height, :width]
        box = region(found.cpu().numpy(), shown.cpu().numpy()[:height, :width], self.zoom)
        if (box.bottom - box.top) * (box.right - box.left) > WHOLE * height * width:
            return scores
        part = collate([cut(batch, index, box)]).to(scores.device)
        closer = self._whole(part, encode_once(self.encode, part))
        out = torch.cat([scores[:1], torch.minimum(scores[1:], scores[:1] - BEYOND)])
        box.of(out).copy_((box.of(scores) + closer[0]) / 2)
        return out


def refined(network: Network, **ways: Any) -> Network:
    """The network, wrapped in `Refined` if any refinement is on."""
    wrapped = Refined(network, **ways)
    return wrapped if any(value not in (None, False, 0) for value in ways.values()) else network


def patient(network: Network) -> Refined:
    """The refinement of a session's `refined` answers, which encodes no image again.

    A network that is guided by dots on the query alone is not run again, since its answer tells it nothing new.
    """
    return Refined(network, again=0 if network.needs_same_image else 1, margin=0.7, connected=True)


def with_own_answer(batch: Batch, scores: Float[Tensor, "B K H W"]) -> Batch:
    """The batch with one more shot for each query: the query, annotated by its confident prediction.

    Args:
        batch: B episodes.
        scores: the network's.
    """
    number = len(batch)
    own = torch.stack([certain(each, SURE) for each in scores])
    rows, columns = (torch.arange(side, device=own.device) for side in own.shape[1:])
    inside = (rows[:, None] < batch.sizes[:number, 0, None, None]) & (columns < batch.sizes[:number, 1, None, None])
    each = torch.arange(number, device=own.device)
    return replace(
        batch,
        shot_image=torch.cat([batch.shot_image, each]),
        shot_episode=torch.cat([batch.shot_episode, each]),
        masks=torch.cat([batch.masks, own.masked_fill(~inside, IGNORE)]),
        mask_shot=torch.cat([batch.mask_shot, each + len(batch.shot_image)]),
    )


def mirrored(batch: Batch) -> Batch:
    """The batch with left and right exchanged; padding stays where it is."""
    shots = batch.sizes[batch.shot_image, 1]
    points = batch.points.clone()
    points[:, 2] = shots[points[:, 0]] - 1 - points[:, 2]
    queries = batch.sizes[: len(batch), 1]
    return replace(
        batch,
        images=mirrored_maps(batch.images, batch.sizes[:, 1]),
        target=mirrored_maps(batch.target, queries),
        points=points,
        masks=mirrored_maps(batch.masks, shots[batch.mask_shot]),
        previous=None if batch.previous is None else mirrored_maps(batch.previous, queries),
    )


def mirrored_maps(maps: Shaped[Tensor, "N *C H W"], widths: Int[Tensor, " N"]) -> Shaped[Tensor, "N *C H W"]:
    """Each map with the order of its columns reversed, up to its own width.

    Example:
        >>> mirrored_maps(torch.tensor([[[1, 2, 3]], [[1, 2, 0]]]), torch.tensor([3, 2])).tolist()
        [[[3, 2, 1]], [[2, 1, 0]]]
    """
    columns = torch.arange(maps.shape[-1], device=maps.device)
    order = torch.where(columns < widths[:, None], widths[:, None] - 1 - columns, columns)
    return maps.gather(-1, order.view(len(maps), *(1,) * (maps.ndim - 2), maps.shape[-1]).expand_as(maps))


def region(found: Bool[np.ndarray, "H W"], shown: Bool[np.ndarray, "H W"], factor: float) -> Box:
    """The box around the found regions that are annotated.

    Its sides are ``factor`` times those of the regions, the shorter at least three quarters of the longer, and it lies
    within the image.

    Args:
        found: pixels predicted as positive; components without a pixel of ``shown`` are ignored.
        shown: pixels annotated as positive, at least one.
        factor: from 1.

    Example:
        >>> shown = np.zeros((100, 100), bool)
        >>> shown[50, 50] = True
        >>> found = np.zeros((100, 100), bool)
        >>> found[40:60, 45:55] = found[:5, :5] = True
        >>> region(found, shown, 2.0)
        Box(top=30, left=35, bottom=70, right=65)
    """
    number, regions = cv2.connectedComponents(found.astype(np.uint8))
    touched = np.zeros(number, bool)
    touched[regions[shown]] = True
    touched[0] = False
    rows, columns = np.nonzero(touched[regions] | shown)
    sides = [(places.min(), places.max() + 1) for places in (rows, columns)]
    lengths = [factor * (end - start) for start, end in sides]
    longer = max(*lengths, SMALLEST)
    bounds = []
    for (start, end), length, limit in zip(sides, lengths, found.shape, strict=True):
        side = min(round(max(length, 0.75 * longer)), limit)
        first = min(max(round((start + end - side) / 2), 0), limit - side)
        bounds.append((int(first), int(first + side)))
    (top, bottom), (left, right) = bounds
    return Box(top, left, bottom, right)


def cut(batch: Batch, index: int, box: Box) -> Episode:
    """An episode cropped to a box of its query, with the annotations inside; other support images stay whole."""
    shots = []
    for number in (batch.shot_episode == index).nonzero().flatten().tolist():
        row = int(batch.shot_image[number])
        height, width = (int(side) for side in batch.sizes[row])
        part = box if row == index else Box(0, 0, height, width)
        annotation: dict[str, Any] = {}
        masks = batch.masks[batch.mask_shot == number]
        if len(masks):
            annotation["mask"] = part.of(masks[0])
        else:
            annotation["points"] = _inside(batch.points[batch.points[:, 0] == number, 1:], part)
        shots.append(Shot(part.of(batch.images[row]), is_query=row == index, **annotation))
    previous = None if batch.previous is None else box.of(batch.previous[index])
    return Episode(
        box.of(batch.images[index]), box.of(batch.target[index]), shots, num_labels=batch.num_labels, previous=previous
    )


def _inside(dots: Int[Tensor, "P 3"], box: Box) -> Int[Tensor, "D 3"]:
    """The dots that lie in the box, in its coordinates."""
    moved = dots - dots.new_tensor([box.top, box.left, 0])
    limits = moved.new_tensor([box.bottom - box.top, box.right - box.left])
    return moved[((moved[:, :2] >= 0) & (moved[:, :2] < limits)).all(1)]

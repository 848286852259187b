"""Class mIoU and FB-IoU, the figures of few-shot segmentation on PASCAL-5i and COCO-20i.

Both sum intersections and unions over all episodes before they divide. mIoU does so within each class (Shaban et al.,
"One-Shot Learning for Semantic Segmentation", BMVC 2017). FB-IoU does so over all classes, once for the foreground and
once for the background (Rakelly et al., "Conditional Networks for Few-Shot Semantic Segmentation", ICLR workshop 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from guided_seg.episode import IGNORE


def count(
    prediction: Bool[np.ndarray, "H W"] | UInt8[np.ndarray, "H W"], target: UInt8[np.ndarray, "H W"]
) -> tuple[int, int, int, int]:
    """Count the pixels of one episode: foreground intersection and union, background intersection and union.

    Args:
        prediction: 0 for the background, any other value for the class.
        target: 0 for the background, `IGNORE` for void, which is not scored, any other value for the class.

    Example:
        >>> count(np.array([[True, True, False, True]]), np.array([[1, 0, 0, 255]], np.uint8))
        (1, 2, 1, 2)
    """
    scored = target != IGNORE
    found, true = (prediction != 0) & scored, (target != 0) & scored
    intersection, union, pixels = (int(np.count_nonzero(mask)) for mask in (found & true, found | true, scored))
    # a pixel in neither mask is background in both; a pixel that is not in both is background in at least one
    return intersection, union, pixels - union, pixels - intersection


def class_miou(
    names: Sequence[str] | np.ndarray, counts: Int64[np.ndarray, "E 4"], times: Float64[np.ndarray, "D E"] | None = None
) -> Float64[np.ndarray, " D"]:
    """The mean over classes of the foreground IoU within each class, in [0, 1].

    Args:
        names: the class of each of E episodes.
        counts: rows of `count`.
        times: how often each episode counts, in each of D draws; by default one draw, with every episode once.

    Returns:
        The figure of each draw, over the classes that have an episode in it; 0 for a draw without any.

    Raises:
        ValueError: there are no episodes, or not as many names.

    Example:
        >>> float(class_miou(["cow", "cow", "dog"], np.array([[1, 2, 0, 0], [2, 4, 0, 0], [1, 1, 0, 0]]))[0])
        0.75
    """
    if len(names) != len(counts):
        raise ValueError(f"There are {len(names)} names of classes for {len(counts)} episodes; give one for each.")
    times = _times(counts, times)
    classes, own = np.unique(np.asarray(names), return_inverse=True)
    member = np.eye(len(classes))[own]
    inside, union = (times @ (member * counts[:, [column]]) for column in (0, 1))
    drawn = times @ member > 0
    return np.where(drawn, _iou(inside, union), 0).sum(1) / np.maximum(drawn.sum(1), 1)


def fb_iou(
    counts: Int64[np.ndarray, "E 4"], times: Float64[np.ndarray, "D E"] | None = None
) -> Float64[np.ndarray, " D"]:
    """The mean of foreground IoU and background IoU over all episodes, in [0, 1].

    Args:
        counts: rows of `count`, one for each of E episodes.
        times: see `class_miou`.

    Returns:
        The figure of each draw.

    Raises:
        ValueError: there are no episodes.

    Example:
        >>> float(fb_iou(np.array([[1, 2, 6, 8], [0, 2, 0, 0]]))[0])
        0.5
    """
    sums = _times(counts, times) @ counts
    return _iou(sums[:, ::2], sums[:, 1::2]).mean(1)


def _times(counts: Int64[np.ndarray, "E 4"], times: Float64[np.ndarray, "D E"] | None) -> Float64[np.ndarray, "D E"]:
    if not len(counts):
        raise ValueError("There are no episodes to score; give the counts of at least one.")
    return np.ones((1, len(counts))) if times is None else times


def _iou(inside: Float64[np.ndarray, "D C"], union: Float64[np.ndarray, "D C"]) -> Float64[np.ndarray, "D C"]:
    """Intersection over union; 1 where both are empty."""
    return np.where(union > 0, inside / np.maximum(union, 1), 1.0)

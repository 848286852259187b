"""Class-wise mIoU and FB-IoU, by which few-shot segmentation is compared on PASCAL-5i and COCO-20i.

Both sum the pixels of intersections and unions over all episodes before they divide: mIoU within each class (Shaban
et al., "One-Shot Learning for Semantic Segmentation", BMVC 2017), FB-IoU over all classes, for the foreground and the
background each (Rakelly et al., "Conditional Networks for Few-Shot Semantic Segmentation", ICLR workshop 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from guided_seg.episode import IGNORE


def count(
    prediction: Bool[np.ndarray, "H W"] | UInt8[np.ndarray, "H W"], target: UInt8[np.ndarray, "H W"]
) -> tuple[int, int, int, int]:
    """Pixels of one episode: foreground intersection and union, background intersection and union; void is out.

    Args:
        prediction: not 0 where the class is found.
        target: 0 background, `IGNORE` not scored, any other value the class.

    Example:
        >>> count(np.array([[True, True, False, True]]), np.array([[1, 0, 0, 255]], np.uint8))
        (1, 2, 1, 2)
    """
    scored = target != IGNORE
    found, true = (prediction != 0) & scored, (target != 0) & scored
    intersection, union, pixels = (int(np.count_nonzero(mask)) for mask in (found & true, found | true, scored))
    # what is in neither is the background of both, and what is not in both is the background of one
    return intersection, union, pixels - union, pixels - intersection


def class_miou(names: Sequence[str] | np.ndarray, counts: Int64[np.ndarray, "E 4"]) -> float:
    """The mean over classes of the foreground IoU within each class, in [0, 1].

    Args:
        names: the class of each of E episodes.
        counts: rows of `count`.

    Raises:
        ValueError: there are no episodes.

    Example:
        >>> class_miou(["cow", "cow", "dog"], np.array([[1, 2, 0, 0], [2, 4, 0, 0], [1, 1, 0, 0]]))
        0.75
    """
    _check_some(counts)
    classes = np.asarray(names)
    sums = np.stack([counts[classes == name].sum(0) for name in np.unique(classes)])
    return float(_iou(sums)[:, 0].mean())


def fb_iou(counts: Int64[np.ndarray, "E 4"]) -> float:
    """The mean of foreground IoU and background IoU over all episodes, in [0, 1].

    Args:
        counts: rows of `count`, one for each of E episodes.

    Raises:
        ValueError: there are no episodes.

    Example:
        >>> fb_iou(np.array([[1, 2, 6, 8], [0, 2, 0, 0]]))
        0.5
    """
    _check_some(counts)
    return float(_iou(counts.sum(0)).mean())


def _check_some(counts: Int64[np.ndarray, "E 4"]) -> None:
    if not len(counts):
        raise ValueError("There are no episodes to score; give the counts of at least one.")


def _iou(counts: Int64[np.ndarray, "*batch 4"]) -> Float64[np.ndarray, "*batch 2"]:
    """IoU of foreground and background; 1 where both are empty, since nothing was asked and nothing claimed."""
    intersection, union = counts[..., ::2], counts[..., 1::2]
    return np.where(union > 0, intersection / np.maximum(union, 1), 1.0)

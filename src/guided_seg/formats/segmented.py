"""What a format gets, a segmented image, and what it says about itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from guided_seg.session.arguments import RGB
from guided_seg.session.store import Labels


class Segmented(NamedTuple):
    """An image or a frame with its label map.

    Attributes:
        image: its id in the session.
        name: its file name without a suffix, unique in the result; ``VIDEO/00012`` for a frame of a whole video.
        pixels: uint8 ``[H, W, 3]`` RGB.
        labels: uint8 ``[H, W]``, indices into the labels of the session.
        rate: frames per second of its video.
        file: the image file that it was read from; None for frames and arrays.
    """

    image: str
    name: str
    pixels: RGB
    labels: Labels
    rate: float = 25.0
    file: Path | None = None


def present(labels: Labels) -> list[int]:
    """The labels that an image has an object of, without the negative.

    Example:
        >>> present(np.array([[0, 3], [3, 1]], np.uint8))
        [1, 3]
    """
    return [number for number in np.unique(labels).tolist() if number]


Write = Callable[[Path, Iterable[Segmented], Sequence[str]], Iterator[Path]]
"""Writes images to a folder and yields each file once it is whole. The names of the labels begin with the negative."""


def _any(labels: Labels) -> str:  # noqa: ARG001
    return ""


@dataclass(frozen=True, slots=True)
class Format:
    """A format that `guided_seg.formats.write` can write.

    Attributes:
        name: how it is called.
        about: what it writes, in one sentence for a menu.
        write: the writer. It takes one image after another, and keeps none.
        of: whether it writes images, or whole videos.
        refuses: why a label map cannot be part of the result; empty if it can.
        listed: whether names are listed in files that programs split at spaces, so that they may hold none.
    """

    name: str
    about: str
    write: Write
    of: Literal["images", "videos"] = "images"
    refuses: Callable[[Labels], str] = _any
    listed: bool = False

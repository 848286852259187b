"""How the previous frame's prediction is fed back in video (see `guided_seg.predict.tracker`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from guided_seg.episode import IGNORE
from guided_seg.errors import UserError
from guided_seg.model.network import GuidedNetwork, Network

Memory = Literal["none", "map", "moved", "shot", "both"]
"""What the next frame is given.

- ``map``: the predicted label map, for a conditioning that reads one (see `Guidance.previous`).
- ``moved``: the label map warped by optical flow; predicted regions far from it are dropped (`model.video.motion`).
- ``shot``: the frame with its confident labels, as one more annotated image of the support.
- ``both``: map and shot. ``none``: nothing.
"""

CERTAIN = 0.8
"""Probability from which a label counts as certain."""


def likeliest(maps: Sequence[Float[Tensor, "H W"]]) -> UInt8[Tensor, "H W"]:
    """The label with the highest score at each pixel; the first one of a tie.

    On a CPU it takes a tenth of the time of ``argmax``.

    Args:
        maps: the score map of each label, at least two.

    Example:
        >>> likeliest([torch.tensor([[0.0, 2.0, 1.0]]), torch.tensor([[1.0, 0.0, 1.0]])]).tolist()
        [[1, 0, 0]]
    """
    if maps[0].device.type != "cpu":
        return torch.stack(list(maps)).argmax(0).to(torch.uint8)
    highest, *others = (scores.detach().numpy() for scores in maps)  # numpy compares three times as fast as torch
    labels = np.greater(others[0], highest).view(np.uint8)
    for label, scores in enumerate(others[1:], 2):
        highest = np.maximum(highest, others[label - 2])
        # later labels are larger, so a maximum sets them; seven times as fast as filling where they are better
        np.maximum(labels, np.greater(scores, highest) * np.uint8(label), out=labels)
    return torch.from_numpy(labels)


def certain(scores: Float[Tensor, "K H W"], least: float = CERTAIN) -> UInt8[Tensor, "H W"]:
    """The label of each pixel whose probability is at least ``least``, `IGNORE` elsewhere.

    Example:
        >>> certain(torch.tensor([[[0.0, 2.0]], [[1.0, 0.0]]])).tolist()
        [[255, 0]]
    """
    share = torch.softmax(scores, dim=0).amax(0)
    return torch.where(share >= least, likeliest(list(scores)), IGNORE)


def reads_map(memory: str) -> bool:
    """Whether a memory holds a label map."""
    return memory in ("map", "moved", "both")


def reads_shot(memory: str) -> bool:
    """Whether a memory holds an annotated frame."""
    return memory in ("shot", "both")


def check_memory(memory: object, network: Network | None = None) -> Memory:
    """Return the memory. Raise `UserError` if it is unknown, or if the network cannot read it."""
    found: Memory | None = next((each for each in get_args(Memory) if isinstance(memory, str) and each == memory), None)
    if found is None:
        raise UserError(f"memory={memory}: expected one of {', '.join(get_args(Memory))}.")
    if network is None:
        return found
    if reads_map(found) and not (isinstance(network, GuidedNetwork) and network.conditioning.memory):
        raise UserError(
            f"memory={memory}, but this network reads no map of an earlier answer (conditioning.memory is for "
            "conditioning=fused); choose shot or none."
        )
    if reads_shot(found) and network.needs_same_image:
        raise UserError(
            f"memory={memory}, but this network is guided by dots on the frame itself alone, so another frame tells it "
            "nothing; choose none."
        )
    return found

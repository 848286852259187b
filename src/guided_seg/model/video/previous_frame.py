"""How the previous frame's prediction is fed back in video (see `guided_seg.predict.tracker`)."""

from __future__ import annotations

from typing import Literal, get_args

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


def certain(scores: Float[Tensor, "K H W"], least: float = CERTAIN) -> UInt8[Tensor, "H W"]:
    """The label of each pixel whose probability is at least ``least``, `IGNORE` elsewhere.

    Example:
        >>> certain(torch.tensor([[[0.0, 2.0]], [[1.0, 0.0]]])).tolist()
        [[255, 0]]
    """
    share, label = torch.softmax(scores, dim=0).max(0)
    return torch.where(share >= least, label, IGNORE).to(torch.uint8)


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

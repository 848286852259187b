"""What a network is told of its answer to the frame before, in a video.

It comes beside what annotations show: z alone is enough to answer, and a network can do without it.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from guided_seg.episode import IGNORE
from guided_seg.errors import UserError
from guided_seg.model.network import GuidedNetwork, Network

Memory = Literal["none", "map", "moved", "shot", "both"]
"""``map``: where each label was, for a conditioning that reads it (see `Guidance.previous`). ``moved``: the same, moved
along by optical flow, and regions of the answer that are far from there are not of the object
(`model.video.motion`). ``shot``: the frame and those of its labels that the network is certain of, as one more
annotated image of the support. ``both``, map and shot; or ``none``.

Where the next frame has another size, the map is resized to it by nearest neighbour (`Places.at`), and a shot keeps the
size of its own frame. Sessions and protocols do the same.
"""

CERTAIN = 0.8
"""The probability from which on a label is taken for certain."""


def certain(scores: Float[Tensor, "K H W"], least: float = CERTAIN) -> UInt8[Tensor, "H W"]:
    """The label of each pixel whose probability is at least ``least``, `IGNORE` elsewhere.

    Example:
        >>> certain(torch.tensor([[[0.0, 2.0]], [[1.0, 0.0]]])).tolist()
        [[255, 0]]
    """
    share, label = torch.softmax(scores, dim=0).max(0)
    return torch.where(share >= least, label, IGNORE).to(torch.uint8)


def reads_map(memory: str) -> bool:
    """Whether it has a map."""
    return memory in ("map", "moved", "both")


def reads_shot(memory: str) -> bool:
    """Whether it has a shot."""
    return memory in ("shot", "both")


def check_memory(memory: object, network: Network | None = None) -> None:
    """Refuse a memory that is none, or that the network cannot read.

    Raises:
        UserError: see there.
    """
    if not isinstance(memory, str) or memory not in get_args(Memory):
        raise UserError(f"memory={memory}: expected one of {', '.join(get_args(Memory))}.")
    if network is None:
        return
    if reads_map(memory) and not (isinstance(network, GuidedNetwork) and network.conditioning.memory):
        raise UserError(
            f"memory={memory}, but this network reads no map of an earlier answer (conditioning.memory is for "
            "conditioning=fused); choose shot or none."
        )
    if reads_shot(memory) and network.needs_same_image:
        raise UserError(
            f"memory={memory}, but this network is guided by dots on the frame itself alone, so another frame tells it "
            "nothing; choose none."
        )

"""What a session remembers of a frame, for the answer to the next one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from guided_seg.model.features import Features
from guided_seg.model.video.motion import Places
from guided_seg.model.video.previous_frame import Memory, certain, reads_map, reads_shot
from guided_seg.session.arguments import RGB

Labels = UInt8[np.ndarray, "H W"]


class Earlier(NamedTuple):
    """What the network is given of its answer to the previous frame (see `guided_seg.model.video.previous_frame`).

    Attributes:
        places: of its labels, or None.
        shot: what is certain of them, with the frame's pixels and features; or None.
    """

    places: Places | None
    shot: tuple[Labels, RGB, Features] | None

    @classmethod
    def of(
        cls, memory: Memory, pixels: RGB, labels: Labels, maps: list[Float[Tensor, "H W"]], features: Features
    ) -> Earlier:
        """What ``memory`` keeps of a frame; labels are copied, as what is given away may be painted on.

        Args:
            memory: anything but ``none``.
            pixels: of the frame.
            labels: the answer.
            maps: the score of each label.
            features: of the frame.
        """
        places = Places(labels.copy(), pixels if memory == "moved" else None) if reads_map(memory) else None
        if not reads_shot(memory):
            return cls(places, None)
        return cls(places, (certain(torch.stack(maps)).cpu().numpy(), pixels, features))

    def at(self, frame: RGB) -> Earlier:
        """The same, moved or resized to fit the next frame."""
        return self if self.places is None else self._replace(places=self.places.at(frame))

    def keep(self, labels: Labels) -> Labels:
        """What of the answer to that frame remains."""
        return labels if self.places is None else self.places.keep(labels)

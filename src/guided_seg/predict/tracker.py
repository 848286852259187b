"""Previous-frame propagation: the answer to a frame of a video helps with the next one.

The rules, the same for sessions and protocols:

- A frame annotated by a mask is remembered as that mask. The network's answer fills what the mask leaves open.
- Any other frame is remembered as the network's answer.
- Where the next frame has another size, the label map is resized to it by nearest neighbour. A shot keeps the size of
  its own frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from guided_seg.episode import IGNORE
from guided_seg.model.video.motion import Places
from guided_seg.model.video.previous_frame import Memory, certain, reads_map, reads_shot
from guided_seg.predict.predictor import Labels, Maps, Predictor, best
from guided_seg.predict.refining import certain_shot
from guided_seg.predict.support import Annotated, Image


class PreviousFrame(NamedTuple):
    """What is remembered of a frame.

    Attributes:
        places: its labels, for memories that read a map; else None.
        shot: the frame with those of its labels that the network is certain of, as one more annotated image, for
            memories that read a shot; else None. A frame that is annotated by a mask is in the support already.
    """

    places: Places | None
    shot: Annotated | None


class Tracker:
    """Segments the frames of one video in order.

    Args:
        predictor: segments each frame.
        memory: what the next frame is given.
    """

    def __init__(self, predictor: Predictor, memory: Memory) -> None:
        self.predictor, self.memory = predictor, memory
        self._previous: PreviousFrame | None = None

    def forget(self) -> None:
        """Forget the previous frame, for instance after a change of annotations."""
        self._previous = None

    def start(self, frame: Annotated, num_labels: int) -> None:
        """Remember an annotated frame as the one before the first."""
        self.forget()
        _, mask = frame.annotation()
        if mask is not None and bool((mask != IGNORE).all()):
            self._remember(frame.image, mask.cpu().numpy(), None)
        else:
            self.segment(frame.image, [frame], num_labels)

    def segment(self, frame: Image, support: Sequence[Annotated], num_labels: int) -> tuple[Labels, Maps]:
        """The label of each pixel of the next frame, and the score map of each label.

        Args:
            frame: the frame.
            support: see `Predictor.maps`.
            num_labels: K.
        """
        places, shot = self._previous or PreviousFrame(None, None)
        if places is not None:
            places = places.at(frame.rgb())
        maps = self.predictor.maps(frame, support, num_labels, None if places is None else places.labels, shot)
        labels = best(maps) if places is None else places.keep(best(maps))
        if self.memory != "none":
            own = [each for each in support if each.image.key == frame.key]
            mask = own[0].annotation()[1] if own else None
            if mask is None:
                self._remember(frame, labels, maps)
            else:
                given = mask.cpu().numpy()
                self._remember(frame, np.where(given == IGNORE, labels, given), None)
        return labels, maps

    def _remember(self, frame: Image, labels: Labels, maps: Maps | None) -> None:
        # a copy: the caller may paint on the labels
        places = Places(labels.copy(), frame.rgb() if self.memory == "moved" else None)
        shot = None
        if maps is not None and reads_shot(self.memory):
            shot = certain_shot(self.predictor, frame, certain(torch.stack(maps)))
        self._previous = PreviousFrame(places if reads_map(self.memory) else None, shot)

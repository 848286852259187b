"""A network's answers to questions, every image encoded once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import replace
from operator import attrgetter

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from guided_seg.data.cache import Cache
from guided_seg.data.questions import Question
from guided_seg.episode import Episode, collate
from guided_seg.model.features import Features, stack
from guided_seg.model.network import Network


class Answers:
    """Segments episodes with a network.

    Images are encoded one by one and kept, so an answer depends on nothing but its question (`remember`: on those
    before it in the video): not on the others, on the number of workers or processes, or on where an interrupted
    evaluation went on.

    Args:
        network: in evaluation mode.
        device: where it runs.
        cache_mb: megabytes of encoded images that are kept.
    """

    def __init__(self, network: Network, device: torch.device | str = "cpu", cache_mb: float = 1024) -> None:
        self.network, self.device = network.to(device).eval(), torch.device(device)
        self._features: Cache[Features] = Cache(attrgetter("nbytes"), cache_mb)
        self._video: Hashable = None
        self._earlier: dict[str, UInt8[np.ndarray, "H W"]] = {}

    def remember(self, question: Question, episode: Episode, setting: str) -> UInt8[np.ndarray, "H W"]:
        """As `segment`, with the answer to the last question of the same video at hand.

        The first question of a video has the mask of its last shot, or the answer to that shot's own image.

        Args:
            question: what ``episode`` is a version of; the questions of a video come in the order of its frames.
            episode: of `Question.ask`.
            setting: its (S, P); each remembers for itself.
        """
        video = (question.frozen.groups, question.frozen.seed)
        if video != self._video:
            self._video, self._earlier = video, {}
        if setting not in self._earlier:
            self._earlier[setting] = self._shown(question, episode)
        earlier = torch.from_numpy(self._earlier[setting])
        if earlier.shape == episode.target.shape:
            episode = replace(episode, previous=earlier)
        self._earlier[setting] = self.segment(question, episode)
        return self._earlier[setting]

    def _shown(self, question: Question, episode: Episode) -> UInt8[np.ndarray, "H W"]:
        shot = episode.support[-1]
        if shot.mask is not None:
            return shot.mask.numpy()
        blank = torch.zeros(shot.image.shape[1:], dtype=torch.uint8)
        own = Episode(shot.image, blank, [replace(shot, is_query=True)], num_labels=episode.num_labels)
        # as the view of its support, so that its features are kept
        view = question.frozen.support[len(episode.support) - 1]
        frozen = replace(question.frozen, query=view, support=(view,))
        return self.segment(replace(question, frozen=frozen), own)

    @torch.inference_mode()
    def segment(self, question: Question, episode: Episode) -> UInt8[np.ndarray, "H W"]:
        """The label of each pixel of the query.

        Args:
            question: what ``episode`` is a version of.
            episode: of `Question.ask` or `Question.with_support`.
        """
        batch = collate([episode]).to(self.device)
        features = stack([self._encode(key, image) for key, image in _images(question, episode)])
        height, width = episode.query.shape[1:]
        # a larger image of the support pads the batch
        labels = self.network(batch, features)[0].argmax(0)[:height, :width]
        return labels.to(torch.uint8).cpu().numpy()

    def _encode(self, key: Hashable, image: Tensor) -> Features:
        def encode() -> Features:
            sizes = torch.tensor([image.shape[1:]], device=self.device)
            return self.network.encode(image[None].to(self.device), sizes)

        return self._features.get((key, tuple(image.shape[1:])), encode)


def _images(question: Question, episode: Episode) -> Iterator[tuple[Hashable, Tensor]]:
    """The query and then each further image once, in the order of `collate`."""
    seen: set[int] = set()
    yield question.frozen.query.key, episode.query
    for view, shot in zip(question.frozen.support, episode.support, strict=False):
        if not shot.is_query and id(shot.image) not in seen:
            seen.add(id(shot.image))
            yield view.key, shot.image

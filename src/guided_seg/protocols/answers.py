"""A network's answers to questions, every image encoded once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import replace
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from guided_seg.data.files.cache import Cache
from guided_seg.data.frozen.episode_file import FrozenView
from guided_seg.data.frozen.questions import Question
from guided_seg.episode import Episode, Shot, collate
from guided_seg.model.features import Features, stack
from guided_seg.model.network import Network
from guided_seg.model.video.motion import Places
from guided_seg.model.video.previous_frame import Memory, certain, reads_map, reads_shot

Labels = UInt8[np.ndarray, "H W"]


class _Earlier(NamedTuple):
    """The answer to a frame: where its labels are, those that are certain (None where it has none), and the frame."""

    places: Places
    certain: UInt8[Tensor, "H W"] | None
    image: Float[Tensor, "3 H W"]
    view: FrozenView


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
        self._earlier: dict[str, _Earlier] = {}

    def remember(self, question: Question, episode: Episode, setting: str, memory: Memory) -> Labels:
        """As `segment`, with the answer to the last question of the same video at hand.

        The first question of a video has what is known of its last shot: its mask, or the answer to its own image.

        Args:
            question: what ``episode`` is a version of; the questions of a video come in the order of its frames.
            episode: of `Question.ask`.
            setting: its (S, P); each remembers for itself.
            memory: what of that answer is told.
        """
        video = (question.frozen.groups, question.frozen.seed)
        if video != self._video:
            self._video, self._earlier = video, {}
        earlier = self._earlier[setting] if setting in self._earlier else self._shown(question, episode, memory)
        asked = question
        places = earlier.places.at(_pixels(episode.query)) if reads_map(memory) else None
        if places:
            episode = replace(episode, previous=torch.from_numpy(places.labels))
        if reads_shot(memory) and earlier.certain is not None:
            number = len(episode.support)
            views = (*question.frozen.support[:number], earlier.view)
            asked = replace(question, frozen=replace(question.frozen, support=views))
            episode = replace(episode, support=[*episode.support, Shot(earlier.image, mask=earlier.certain)])
        scores = self._scores(asked, episode)
        labels = _labels(scores).numpy()
        if places:
            labels = places.keep(labels)
        self._earlier[setting] = _earlier(labels, scores, episode.query, question.frozen.query, memory)
        return labels

    def _shown(self, question: Question, episode: Episode, memory: Memory) -> _Earlier:
        shot = episode.support[-1]
        view = question.frozen.support[len(episode.support) - 1]
        if shot.mask is not None:  # which is in the support already
            return _earlier(shot.mask.numpy(), None, shot.image, view, memory)
        blank = torch.zeros(shot.image.shape[1:], dtype=torch.uint8)
        own = Episode(shot.image, blank, [replace(shot, is_query=True)], num_labels=episode.num_labels)
        # as the view of its support, so that its features are kept
        frozen = replace(question.frozen, query=view, support=(view,))
        scores = self._scores(replace(question, frozen=frozen), own)
        return _earlier(_labels(scores).numpy(), scores, shot.image, view, memory)

    def segment(self, question: Question, episode: Episode) -> Labels:
        """The label of each pixel of the query.

        Args:
            question: what ``episode`` is a version of.
            episode: of `Question.ask` or `Question.with_support`.
        """
        return _labels(self._scores(question, episode)).numpy()

    @torch.inference_mode()
    def _scores(self, question: Question, episode: Episode) -> Float[Tensor, "K H W"]:
        batch = collate([episode]).to(self.device)
        features = stack([self._encode(key, image) for key, image in _images(question, episode)])
        height, width = episode.query.shape[1:]
        # a larger image of the support pads the batch
        return self.network(batch, features)[0, :, :height, :width]

    def _encode(self, key: Hashable, image: Tensor) -> Features:
        def encode() -> Features:
            sizes = torch.tensor([image.shape[1:]], device=self.device)
            return self.network.encode(image[None].to(self.device), sizes)

        return self._features.get((key, tuple(image.shape[1:])), encode)


def _earlier(
    labels: Labels,
    scores: Float[Tensor, "K H W"] | None,
    image: Float[Tensor, "3 H W"],
    view: FrozenView,
    memory: Memory,
) -> _Earlier:
    sure = certain(scores).cpu() if scores is not None and reads_shot(memory) else None
    return _Earlier(Places(labels, _pixels(image) if memory == "moved" else None), sure, image, view)


def _labels(scores: Float[Tensor, "K H W"]) -> UInt8[Tensor, "H W"]:
    return scores.argmax(0).to(torch.uint8).cpu()


def _pixels(image: Float[Tensor, "3 H W"]) -> UInt8[np.ndarray, "H W 3"]:
    return (image.permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy()


def _images(question: Question, episode: Episode) -> Iterator[tuple[Hashable, Tensor]]:
    """The query and then each further image once, in the order of `collate`."""
    seen: set[int] = set()
    yield question.frozen.query.key, episode.query
    for view, shot in zip(question.frozen.support, episode.support, strict=False):
        if not shot.is_query and id(shot.image) not in seen:
            seen.add(id(shot.image))
            yield view.key, shot.image

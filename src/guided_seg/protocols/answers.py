"""Predictions for the episodes of a protocol, by the same predictor as in sessions."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

from guided_seg.data.frozen.questions import Question
from guided_seg.episode import Episode
from guided_seg.model.features import Features
from guided_seg.model.network import Network
from guided_seg.model.video.previous_frame import Memory
from guided_seg.predict.predictor import Labels, best, predictor_for
from guided_seg.predict.support import Annotated, Image
from guided_seg.predict.tracker import Tracker


class Answers:
    """Segments episodes with a network.

    Images are encoded one by one and cached. So a prediction depends only on its episode (with `remember`, also on
    earlier frames of the video), not on other episodes, the number of workers or processes, or a resume.

    Args:
        network: in evaluation mode.
        device: where it runs.
        cache_mb: size of the cache in megabytes.
    """

    def __init__(self, network: Network, device: torch.device | str = "cpu", cache_mb: float = 1024) -> None:
        self.network, self.device = network.to(device).eval(), torch.device(device)
        self._predictor = predictor_for(self.network, self._encode, cache_mb)
        self._video: Hashable = None
        self._trackers: dict[str, Tracker] = {}

    @torch.inference_mode()
    def remember(self, question: Question, episode: Episode, setting: str, memory: Memory) -> Labels:
        """As `segment`, with previous-frame propagation within a video (see `guided_seg.predict.tracker`).

        The frame before the first one is the last shot: its mask, or the prediction for its own image.

        Args:
            question: the frozen episode; the frames of a video must come in order.
            episode: of `Question.ask`.
            setting: its (S, P); each has a memory of its own.
            memory: what the next frame is given.
        """
        video = (question.frozen.groups, question.frozen.seed)
        if video != self._video:
            self._video, self._trackers = video, {}
        query, support = self._query(question, episode), self._support(question, episode)
        if setting not in self._trackers:
            self._trackers[setting] = Tracker(self._predictor, memory)
            self._trackers[setting].start(support[-1], episode.num_labels)
        return self._trackers[setting].segment(query, support, episode.num_labels)[0]

    @torch.inference_mode()
    def segment(self, question: Question, episode: Episode) -> Labels:
        """The label of each pixel of the query.

        Args:
            question: the frozen episode.
            episode: of `Question.ask` or `Question.with_support`.
        """
        query, support = self._query(question, episode), self._support(question, episode)
        previous = None if episode.previous is None else episode.previous.numpy()
        return best(self._predictor.maps(query, support, episode.num_labels, previous))

    def _query(self, question: Question, episode: Episode) -> Image:
        return self._image(question.frozen.query.key, episode.query)

    def _support(self, question: Question, episode: Episode) -> list[Annotated]:
        views = zip(question.frozen.support, episode.support, strict=False)
        return [Annotated.of_shot(self._image(view.key, shot.image), shot, self.device) for view, shot in views]

    def _image(self, key: Hashable, image: Tensor) -> Image:
        height, width = image.shape[1:]
        return Image((key, height, width), (height, width), lambda: image.to(self.device))

    def _encode(self, images: Tensor) -> list[Features]:
        sizes = torch.tensor([images.shape[-2:]] * len(images), device=self.device)
        features = self.network.encode(images, sizes)
        return [features[slice(row, row + 1)] for row in range(len(images))]

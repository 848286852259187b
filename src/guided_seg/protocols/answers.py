"""Predictions for the episodes of a protocol, by the same predictor as in sessions."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from hashlib import blake2b

import torch
from jaxtyping import Float, Int
from torch import Tensor

from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisode
from guided_seg.episode import Episode, Shot
from guided_seg.model.features import Features
from guided_seg.model.network import Network
from guided_seg.model.video.previous_frame import Memory
from guided_seg.predict.predictor import Labels, best, predictor_for
from guided_seg.predict.support import Annotated, Image
from guided_seg.predict.tracker import Tracker

Encode = Callable[[Float[Tensor, "N 3 H W"], Int[Tensor, "N 2"]], Features]
"""`Network.encode`, or an encoder to use instead, such as a feature cache."""


class Answers:
    """Segments episodes with a network.

    The features of images are cached. A prediction depends only on its episode (with `remember`, also on earlier frames
    of the video), not on other episodes, the number of workers or processes, or a resume.

    Args:
        network: in evaluation mode.
        device: where it runs.
        cache_mb: size of the cache in megabytes.
        encode: encodes images; `Network.encode` by default.
    """

    def __init__(
        self,
        network: Network,
        device: torch.device | str = "cpu",
        cache_mb: float = 256,
        encode: Encode | None = None,
    ) -> None:
        self.network, self.device = network.to(device).eval(), torch.device(device)
        self._encode_images = encode or self.network.encode
        self._predictor = predictor_for(self.network, self._encode, cache_mb)
        self._video: Hashable = None
        self._trackers: dict[str, Tracker] = {}

    @torch.inference_mode()
    def remember(self, item: EvaluationEpisode, episode: Episode, setting: str, memory: Memory) -> Labels:
        """As `segment`, with previous-frame propagation within a video (see `guided_seg.predict.tracker`).

        The frame before the first one is the last shot: its mask, or the prediction for its own image.

        Args:
            item: the frozen episode; the frames of a video must come in order.
            episode: of `EvaluationEpisode.with_setting`.
            setting: its (S, P); each has a memory of its own.
            memory: what the next frame is given.
        """
        video = (item.frozen.groups, item.frozen.seed)
        if video != self._video:
            self._video, self._trackers = video, {}
        query, support = self._query(item, episode), self._support(item, episode)
        if setting not in self._trackers:
            self._trackers[setting] = Tracker(self._predictor, memory)
            self._trackers[setting].start(support[-1], episode.num_labels)
        return self._trackers[setting].segment(query, support, episode.num_labels)[0]

    @torch.inference_mode()
    def segment(self, item: EvaluationEpisode, episode: Episode) -> Labels:
        """The label of each pixel of the query.

        Args:
            item: the frozen episode.
            episode: of `EvaluationEpisode.with_setting` or `EvaluationEpisode.with_support`.
        """
        query, support = self._query(item, episode), self._support(item, episode)
        previous = None if episode.previous is None else episode.previous.numpy()
        maps = self._predictor.maps(query, support, episode.num_labels, previous)
        return best([scores.float() for scores in maps])  # mixed precision may give bfloat16, which numpy lacks

    @torch.inference_mode()
    def encode(self, item: EvaluationEpisode, shots: int) -> None:
        """Encode the images of an episode with its first ``shots`` shots, all images of one size at once.

        Args:
            item: the frozen episode.
            shots: the largest S at which it is segmented.
        """
        views = item.frozen.support[: shots * item.frozen.ways]
        support = [self._image(view.key, shot.image) for view, shot in zip(views, item.dense.support, strict=False)]
        images = [self._query(item, item.dense), *support]
        self._predictor.encode_all(list({image.key: image for image in images}.values()))

    def _query(self, item: EvaluationEpisode, episode: Episode) -> Image:
        return self._image(item.frozen.query.key, episode.query)

    def _support(self, item: EvaluationEpisode, episode: Episode) -> list[Annotated]:
        views = zip(item.frozen.support, episode.support, strict=False)
        return [self._annotated(self._image(view.key, shot.image), shot, episode.num_labels) for view, shot in views]

    def _annotated(self, image: Image, shot: Shot, num_labels: int) -> Annotated:
        annotation = shot.points if shot.mask is None else shot.mask
        assert annotation is not None
        # the same annotation in another setting of the episode is not computed again
        content = blake2b(annotation.numpy().tobytes(), digest_size=16).digest()
        version = (num_labels, shot.mask is None, content)
        return replace(Annotated.of_shot(image, shot, self.device), version=lambda _: version)

    def _image(self, key: Hashable, image: Tensor) -> Image:
        height, width = image.shape[1:]
        return Image((key, height, width), (height, width), lambda: image.to(self.device))

    def _encode(self, images: Tensor) -> list[Features]:
        sizes = torch.tensor([images.shape[-2:]] * len(images), device=self.device)
        features = self._encode_images(images, sizes)
        return [features[slice(row, row + 1)] for row in range(len(images))]

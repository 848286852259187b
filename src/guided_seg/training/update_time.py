"""Measure the time to encode an image and to add a dot, on the device of the test (paper, section 5.4)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from statistics import median
from typing import Any

import torch
from torch import Tensor

from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisodes
from guided_seg.data.frozen.freeze import Plan, select
from guided_seg.data.source import Source
from guided_seg.episode import Batch, collate
from guided_seg.errors import BrokenFile
from guided_seg.model.features import Features
from guided_seg.model.network import Network
from guided_seg.predict.predictor import predictor_for
from guided_seg.predict.support import Annotated, Image

SHOTS, POINTS = 1, 5
"""The setting of the episode that is timed: one annotated image with five dots per label."""

_WARM_UP, _REPETITIONS = 3, 20
_ROOM = 2.0**20  # megabytes: nothing is evicted
_PATIENCE, _LEAST = 20.0, 3  # after this many seconds, 3 repetitions suffice (fine-tuning takes seconds per dot)


def timed_episode(source: Source, plan: Plan) -> Batch:
    """The first episode of a plan with readable files, with `SHOTS` and `POINTS`, as a batch of one.

    Raises:
        BrokenFile: no episode can be read.
    """
    data = EvaluationEpisodes(source, select(source, "test", replace(plan, shots=SHOTS, points=POINTS)))
    fault = None
    for number in range(len(data)):
        try:
            episode = data[number].with_setting(SHOTS, POINTS)
        except BrokenFile as error:
            fault = error
        else:
            if episode is not None:
                return collate([episode])
    raise fault or BrokenFile("No episode is there to time.")


def update_times(network: Network, batch: Batch) -> dict[str, float]:
    """Measure median times in milliseconds over 20 repetitions after a warm-up, on the device of network and batch.

    After 20 seconds, three repetitions suffice.

    Args:
        network: a network in evaluation mode.
        batch: one episode.

    Returns:
                ``encode_ms``, the time to encode the query image, and ``update_ms``, the time to predict after one more
                dot of the first positive label. As in a session, features and everything else that the dot does not
                change are cached.
    """

    def encode(images: Tensor) -> list[Features]:
        return [network.encode(images, batch.sizes.new_tensor([images.shape[-2:]]))]

    predictor, changes = predictor_for(network, encode, _ROOM), count()
    query = _image(batch, 0)
    support = [_annotated(batch, shot, changes) for shot in range(len(batch.shot_image))]
    with torch.inference_mode():
        predictor.maps(query, support, batch.num_labels)
        return {
            "encode_ms": _median_ms(lambda: encode(query.read()[None]), batch.images),
            "update_ms": _median_ms(lambda: predictor.maps(query, support, batch.num_labels), batch.images),
        }


def _image(batch: Batch, row: int) -> Image:
    height, width = batch.sizes[row].tolist()
    return Image(row, (height, width), lambda: batch.images[row, :, :height, :width])


def _annotated(batch: Batch, shot: int, changes: Iterator[int]) -> Annotated:
    """A shot whose label 1 has a new annotation in each call, so that it is never cached."""
    dots = batch.points[batch.points[:, 0] == shot, 1:]
    labels = frozenset(dots[:, 2].tolist())
    image = _image(batch, int(batch.shot_image[shot]))
    return Annotated(image, labels, lambda: (dots, None), lambda label: next(changes) if label == 1 else 0)


def _median_ms(work: Callable[[], Any], place: Tensor) -> float:
    times: list[float] = []
    while len(times) < _WARM_UP + _REPETITIONS and (len(times) < _LEAST or sum(times) < _PATIENCE):
        times.append(_seconds(work, place))
    return round(1000 * median(times[_WARM_UP:] or times), 4)


def _seconds(work: Callable[[], Any], place: Tensor) -> float:
    _wait(place)
    began = time.perf_counter()
    work()
    _wait(place)
    return time.perf_counter() - began


def _wait(place: Tensor) -> None:
    """Wait until the device is done, as GPU kernels run asynchronously."""
    if place.device.type == "cuda":
        torch.cuda.synchronize(place.device)
    elif place.device.type == "mps":
        torch.mps.synchronize()

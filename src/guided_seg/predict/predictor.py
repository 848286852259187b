"""The predictor: runs the stages of a network with a byte-limited cache between them (concepts, rules 2-5).

A late-fusion network reads an image once. What an annotated image shows depends on its features and annotation, z of a
label on the images that annotate it, and for most conditionings the score map of a label on its own z. So a new dot
costs a gather, a mean over the images that show the label, and one map. Everything else is kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from guided_seg.episode import Episode, Shot, Shots, collate
from guided_seg.files.cache import Cache
from guided_seg.model.features import Features, stack
from guided_seg.model.guide.fusion import Late
from guided_seg.model.guide.guide import Guidance
from guided_seg.model.guide.locality import Set
from guided_seg.model.guide.shown import Shown
from guided_seg.model.network import GuidedNetwork, Network, cell_shares, unknown
from guided_seg.model.segmentor import Prepared
from guided_seg.model.video.previous_frame import likeliest
from guided_seg.predict.encoder import threads
from guided_seg.predict.support import Annotated, Image

Labels = UInt8[np.ndarray, "H W"]
Maps = list[Float[Tensor, "H W"]]
Encode = Callable[[Float[Tensor, "N 3 H W"]], list[Features]]
"""Computes the features of each of N images of one size."""

SMALL = 2**21
"""Bytes of a prepared query up to which one thread is as fast as several."""


class Predictor(ABC):
    """Scores of images, given annotated images.

    Args:
        network: in evaluation mode.
        encode: its encoder.
        cache_mb: size of the cache in megabytes, for features and everything computed from them.

    Attributes:
        on_encode: called with each encoded image and its features.
    """

    def __init__(self, network: Network, encode: Encode, cache_mb: float) -> None:
        self.network, self.encode = network, encode
        self.cache: Cache[Any] = Cache(_bytes, cache_mb)
        self.on_encode: Callable[[Image, Features], None] = lambda *_: None
        self._all_threads: int | None = None

    def maps(
        self,
        query: Image,
        support: Sequence[Annotated],
        num_labels: int,
        previous: Labels | None = None,
        further: Annotated | None = None,
    ) -> Maps:
        """The score map of each label, at the size of the query.

        Args:
            query: the image to segment.
            support: the annotated images, in the same order at each call.
            num_labels: K.
            previous: the label map of the previous frame (`Guidance.previous`). Maps that depend on it are not cached.
            further: one more annotated image, which is not cached.
        """
        guides = self.guides(query, support)
        return self._maps(query, guides if further is None else [*guides, further], num_labels, previous)

    def guides(self, query: Image, support: Sequence[Annotated]) -> Sequence[Annotated]:
        """The annotated images that can guide a query."""
        if not self.network.needs_same_image:
            return support
        return [each for each in support if each.image.key == query.key]

    @abstractmethod
    def _maps(self, query: Image, support: Sequence[Annotated], num_labels: int, previous: Labels | None) -> Maps: ...

    def features(self, image: Image) -> Features:
        """φ of an image, from the cache or computed from its pixels."""
        if image.features is not None:
            return image.features
        found: Features | None = self.cache.find(("features", image.key))
        return self._encode([image])[0] if found is None else found

    def encode_all(self, images: Sequence[Image]) -> None:
        """Encode the images that are not in the cache, all images of one size at once."""
        missing = [image for image in images if self.cache.find(("features", image.key)) is None]
        for size in dict.fromkeys(image.size for image in missing):
            self._encode([image for image in missing if image.size == size])

    def _encode(self, images: Sequence[Image]) -> list[Features]:
        with threads(self._all_threads or torch.get_num_threads()):
            pixels = [image.read()[None] for image in images]
            # a single image keeps its memory layout, channels last
            encoded = self.encode(torch.cat(pixels) if len(pixels) > 1 else pixels[0])
        for image, features in zip(images, encoded, strict=True):
            self.on_encode(image, features)
            self.cache.keep(("features", image.key), features)
        return encoded

    def forget(self, key: Hashable) -> None:
        """Drop an image and everything computed from it from the cache."""
        for entry in self.cache.kept():
            if entry[1] == key:
                self.cache.drop(entry)


class Scored(NamedTuple):
    """Score maps of L labels.

    Attributes:
        maps: the maps.
        shown: whether anything is shown of each label.
    """

    maps: Float[Tensor, "L H W"]
    shown: list[bool]

    @property
    def nbytes(self) -> int:
        """Bytes of the maps."""
        return self.maps.nbytes


class ByLabel(Predictor):
    """Late fusion: a change of one label costs its own guidance and its own score map (concepts, rule 4)."""

    network: GuidedNetwork
    _latest: tuple[Annotated, int, Shown] | None = None

    def _maps(self, query: Image, support: Sequence[Annotated], num_labels: int, previous: Labels | None) -> Maps:
        with self._forgetting():
            return self._by_label(query, support, num_labels, previous)

    def _by_label(self, query: Image, support: Sequence[Annotated], num_labels: int, previous: Labels | None) -> Maps:
        previous = previous if self.network.conditioning.memory else None
        # one by one: joint sums are rounded differently, and undo would no longer be exact to the bit
        separable = self.network.segmentor.separable
        groups = [[label] for label in range(num_labels)] if separable else [list(range(num_labels))]
        versions: dict[int, Hashable] = {label: _version(support, label, num_labels) for label in range(num_labels)}
        found: Maps = []
        shown: list[bool] = []
        for group in groups:
            stored = None not in (version := tuple(versions[label] for label in group)) and previous is None
            key = ("map", query.key, group[0])
            scored: Scored | None = self._find(key, version if stored else None)
            if scored is None:
                scored = self._scores(query, support, group, num_labels, previous)
                self._keep(key, scored, version if stored else None)
            found.extend(scored.maps)
            shown.extend(scored.shown)
        absent = unknown(torch.tensor([shown]))[0].tolist()
        return [torch.full_like(scores, -torch.inf) if absent[label] else scores for label, scores in enumerate(found)]

    def _scores(
        self, query: Image, support: Sequence[Annotated], group: list[int], num_labels: int, previous: Labels | None
    ) -> Scored:
        """The score maps of the labels in ``group``."""
        prepared = self._prepared(query)
        with self._threads_for(prepared):
            guidance = Guidance.join([self._guidance(query, support, label, num_labels) for label in group])
            if previous is not None:
                guidance = replace(guidance, previous=self._shares(query, previous, num_labels))
            return Scored(self.network.score(prepared, guidance, group[0])[0], guidance.annotated[0].tolist())

    def _prepared(self, query: Image) -> Prepared:
        key = ("prepared", query.key)
        prepared: Prepared = self.cache.get(key, lambda: self.network.prepare(self.features(query)).contiguous())
        return prepared

    def _shares(self, query: Image, labels: Labels, num_labels: int) -> Float[Tensor, "1 K h w"]:
        features = self.features(query)
        return cell_shares(features, torch.from_numpy(labels)[None].to(features.maps.device), num_labels)

    def guidance(self, query: Image, support: Sequence[Annotated], label: int, num_labels: int) -> Guidance:
        """The guidance z of one label, from the annotated images that `guides` returns."""
        with self._forgetting():
            return self._guidance(query, support, label, num_labels)

    def _guidance(self, query: Image, support: Sequence[Annotated], label: int, num_labels: int) -> Guidance:
        guides = [each for each in support if label in each.labels]
        version = _version(guides, label, num_labels)
        # z is the same for any query, unless it says where things are in that query
        placed = self.network.needs_same_image or isinstance(self.network.guide.fusion.locality, Set)
        own = placed and any(each.image.key == query.key for each in guides)
        if version is None:
            return self._merged(query, guides, label, num_labels)
        found: Guidance = self.cache.get(
            ("z", label),
            lambda: self._merged(query, guides, label, num_labels),
            (version, query.key if own else None),
        )
        return found

    def _merged(self, query: Image, guides: Sequence[Annotated], label: int, num_labels: int) -> Guidance:
        # dots may cover the whole mask of a label
        parts = [part for each in guides if (part := self._seen_from(query, each, label, num_labels)) is not None]
        if not parts:
            return self.network.guide.nothing()
        shown = type(parts[0]).join(parts)
        episode = torch.zeros(len(parts), dtype=torch.int64, device=self.network.guide.no_guidance.device)
        return self.network.merge(shown, episode, 1)

    def _seen_from(self, query: Image, guide: Annotated, label: int, num_labels: int) -> Shown | None:
        part = self._part(guide, label, num_labels)
        if part is None or guide.image.key == query.key:
            return part
        return part.seen_from(torch.zeros(1, dtype=torch.bool, device=self.network.guide.no_guidance.device))

    def _part(self, guide: Annotated, label: int, num_labels: int) -> Shown | None:
        """What one annotated image shows of one label."""

        def version(each: int) -> Hashable:
            return _version([guide], each, num_labels)

        found: Shown | None = self._find(("part", guide.image.key, label), version(label))
        if found is not None:
            return found
        shown = self._shown(guide, num_labels)
        stale = [each for each in guide.labels if self._find(("part", guide.image.key, each), version(each)) is None]
        parts = {other: shown.label(other) for other in stale}
        for other, part in parts.items():
            if part is not None:
                self._keep(("part", guide.image.key, other), part, version(other))
        return parts[label]

    def _shown(self, guide: Annotated, num_labels: int) -> Shown:
        """What one annotated image shows of all labels. It is kept until the next image, as each label asks for it."""
        if self._latest is None or self._latest[:2] != (guide, num_labels):
            shots = Shots.of_image(*guide.annotation(), num_labels)
            self._latest = guide, num_labels, self.network.show(self.features(guide.image), shots)
        return self._latest[2]

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        """Keep what an image shows only while the block runs: it holds pixels, and cannot be pickled."""
        try:
            yield
        finally:
            self._latest = None

    def _find(self, key: Hashable, version: Hashable) -> Any:
        return None if version is None else self.cache.find(key, version)

    def _keep(self, key: Hashable, thing: Any, version: Hashable) -> Any:
        return thing if version is None else self.cache.keep(key, thing, version)

    @contextmanager
    def _threads_for(self, prepared: Prepared) -> Iterator[None]:
        """One for a small head: several threads would wait for each other longer than they work."""
        if prepared.nbytes > SMALL:
            yield
            return
        self._all_threads = torch.get_num_threads()
        try:
            with threads(1):
                yield
        finally:
            self._all_threads = None


class Whole(Predictor):
    """Any network: the whole episode is computed again, from features that are kept."""

    def _maps(self, query: Image, support: Sequence[Annotated], num_labels: int, previous: Labels | None) -> Maps:
        versions = [(each.image.key, *map(each.version, each.labels)) for each in support]
        if previous is not None or any(None in version for version in versions):
            return self._ask(query, support, num_labels, previous)
        version = (num_labels, tuple(versions))
        maps: Maps = self.cache.get(("maps", query.key), lambda: self._ask(query, support, num_labels, None), version)
        return maps

    def _ask(self, query: Image, support: Sequence[Annotated], num_labels: int, previous: Labels | None) -> Maps:
        # the order in which collate puts them: the query, then every other image once
        images = {query.key: query} | {each.image.key: each.image for each in support}
        images[query.key] = query
        pixels = {key: image.read() for key, image in images.items()}
        shots = [_shot(each, pixels[each.image.key], each.image.key == query.key) for each in support]
        device = pixels[query.key].device
        target = torch.zeros(query.size, dtype=torch.uint8, device=device)
        before = None if previous is None else torch.from_numpy(previous).to(device)
        batch = collate([Episode(pixels[query.key], target, shots, num_labels=num_labels, previous=before)]).to(device)
        height, width = query.size  # a larger image of the support pads the batch
        scores = self.network(batch, stack([self.features(image) for image in images.values()]))
        return list(scores[0, :, :height, :width].clone())


def predictor_for(network: Network, encode: Encode, cache_mb: float) -> Predictor:
    """The predictor with the cheapest edits for a network; see `Predictor` for the arguments."""
    late = isinstance(network, GuidedNetwork) and not network.guide.fusion.early
    return (ByLabel if late else Whole)(network, encode, cache_mb)


def labels_touch_each_other(network: Network) -> bool:
    """Whether the guidance of a label depends on other labels annotated in the same image (learned annotation)."""
    fusion = network.guide.fusion if isinstance(network, GuidedNetwork) else None
    return isinstance(fusion, Late) and fusion.annotation.learned


def best(maps: Maps) -> Labels:
    """The label with the highest score at each pixel; the first one of a tie."""
    return likeliest(maps).cpu().numpy()


def _version(support: Sequence[Annotated], label: int, num_labels: int) -> Hashable:
    """A value that changes with the annotations of a label; None if some annotation of it has no version.

    It changes with the number of labels too. All labels of an image are computed at once, and sums over more of them
    may be rounded differently, so that an undo after a new label would not be exact to the bit.
    """
    versions = [(each.image.key, each.version(label)) for each in support if label in each.labels]
    return None if any(version is None for _, version in versions) else (num_labels, *versions)


def _shot(annotated: Annotated, pixels: Float[Tensor, "3 H W"], is_query: bool) -> Shot:
    points, mask = annotated.annotation()
    return Shot(pixels, points=points, mask=mask, is_query=is_query)


def _bytes(thing: Any) -> int:
    """Bytes of a tensor or of anything with ``nbytes``, or of a list of these."""
    return sum(map(_bytes, thing)) if isinstance(thing, list) else int(thing.nbytes)

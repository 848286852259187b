"""From annotated images to score maps, with as much kept as the memory allows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from guided_seg.data.files.cache import Cache
from guided_seg.episode import Episode, Shot, collate
from guided_seg.errors import UserError
from guided_seg.model.features import Features, stack
from guided_seg.model.incremental import Pieces, Prepared, has_pieces
from guided_seg.model.network import GuidedNetwork, Network, cell_shares
from guided_seg.session.annotations import Annotations
from guided_seg.session.arguments import RGB
from guided_seg.session.earlier import Earlier, Labels
from guided_seg.session.encoder import Encoder, threads
from guided_seg.session.pictures import Picture

Maps = list[Float[Tensor, "H W"]]

SMALL = 2**21
"""Bytes of a query, as a head reads it, that one thread compares as fast as several."""


class Engine(ABC):
    """Scores of a session's images.

    Args:
        network: in evaluation mode.
        encoder: of the same network.
        images: by name; they come and go.
        annotations: of them.
        cache_mb: megabytes of features, and of what is made of them, that are kept.

    Attributes:
        encodes: how often each image, or some frame of each video, went through the encoder.
        hidden: annotated images that guide nothing for now.
    """

    def __init__(
        self,
        network: Network,
        encoder: Encoder,
        images: Mapping[str, Picture],
        annotations: Annotations,
        cache_mb: float,
    ) -> None:
        self.network, self.encoder, self.device = network, encoder, encoder.device
        self.images, self.annotations = images, annotations
        self.encodes: Counter[str] = Counter()
        self.cache: Cache[Any] = Cache(_bytes, cache_mb)
        self.hidden: frozenset[str] = frozenset()
        self._all_threads: int | None = None

    @abstractmethod
    def maps(self, name: str, num_labels: int, earlier: Earlier | None = None) -> Maps:
        """The score map of each label for an image, at its size.

        Args:
            name: of the image.
            num_labels: K.
            earlier: what is known of the frame before; no answer with it is kept.
        """

    def features(self, name: str, pixels: RGB | None = None) -> Features:
        """φ of an image: what is kept, or computed from its pixels.

        Raises:
            UserError: its pixels cannot be had, or its features alone are more than the cache may hold.
        """
        found: Features | None = self.cache.find(("features", name))
        if found is not None:
            return found
        return self._encode([name], [self.images[name].read() if pixels is None else pixels])[0]

    def encode(self, names: Sequence[str]) -> None:
        """Encode those of the images whose features are not kept, all of one size at once."""
        missing = [name for name in names if self.cache.find(("features", name)) is None]
        for size in dict.fromkeys(self.images[name].size for name in missing):
            alike = [name for name in missing if self.images[name].size == size]
            self._encode(alike, [self.images[name].read() for name in alike])

    def _encode(self, names: Sequence[str], pixels: Sequence[RGB]) -> list[Features]:
        with threads(self._all_threads or torch.get_num_threads()):
            images = [self.tensor(each)[None] for each in pixels]
            # one alone stays as it lies in memory, channels last
            encoded = self.encoder(torch.cat(images) if len(images) > 1 else images[0])
        self.encodes.update(self.images[name].counted_as for name in names)
        for name, features in zip(names, encoded, strict=True):
            if not self.cache.fits(features):
                raise UserError(
                    f"The features of {name!r} take {features.nbytes / 2**20:,.1f} MB and the session may keep "
                    f"{self.cache.megabytes:,g}; give it more (cache_mb), or a smaller image."
                )
            self.cache.keep(("features", name), features)
        return encoded

    def tensor(self, pixels: RGB) -> Float[Tensor, "3 H W"]:
        """Pixels as a network takes them."""
        return torch.from_numpy(pixels).to(self.device).permute(2, 0, 1) / 255

    def forget(self, name: str) -> None:
        """Drop all that is kept of an image."""
        for key in self.cache.kept():
            if key[1] == name:
                self.cache.drop(key)

    def guides(self, name: str, label: int | None = None) -> list[str]:
        """The annotated images that guide an image, those of some label or all, in the order in which they came."""
        own = self.network.needs_same_image
        return [i for i in self.annotations.images(label) if i not in self.hidden and (i == name or not own)]

    def annotation(self, name: str) -> tuple[Tensor | None, Tensor | None]:
        """An image's dots, or its mask."""
        mask = self.annotations.mask(name)
        if mask is not None:
            return None, torch.from_numpy(mask).to(self.device)
        points = torch.tensor(self.annotations.points(name), dtype=torch.int64, device=self.device)
        return points.reshape(-1, 3), None


class ByLabel(Engine):
    """Late fusion: a change of one label costs its own guidance and its own score map (concepts, rule 4)."""

    def __init__(self, network: Network, *rest: Any) -> None:
        assert isinstance(network, GuidedNetwork)
        super().__init__(network, *rest)
        self.pieces = Pieces(network)

    def maps(self, name: str, num_labels: int, earlier: Earlier | None = None) -> Maps:
        """See `Engine.maps`."""
        if earlier is not None:
            return self._after(name, num_labels, earlier)
        labels = range(num_labels)
        found = [self.cache.find(("map", name, label), self._version(name, label, num_labels)) for label in labels]
        stale = [label for label in labels if found[label] is None]
        # one by one: sums of several at once are rounded in another way, and undo would be exact only within that
        groups = [[label] for label in stale] if self.pieces.separable else [list(labels)] if stale else []
        for group in groups:
            prepared = self.cache.get(("prepared", name), lambda: self.pieces.prepare(self.features(name)))
            with self._threads_for(prepared):
                scores = self.pieces.scores(prepared, {label: self._z(name, label, num_labels) for label in group})
            for label, own in scores.items():
                # a view would keep the maps of all labels in memory; that of a constant keeps one value
                kept = own.clone() if own.untyped_storage().nbytes() > own.nbytes else own
                found[label] = self.cache.keep(("map", name, label), kept, self._version(name, label, num_labels))
        return [scores for scores in found if scores is not None]

    def _after(self, name: str, num_labels: int, earlier: Earlier) -> Maps:
        """The score maps of a frame after another."""
        shot, previous, features = {}, None, self.features(name)
        if earlier.shot:
            mask = torch.from_numpy(earlier.shot[0]).to(self.device)
            shot = self.pieces.of_image(earlier.shot[2], None, mask, num_labels)
        if earlier.places is not None:
            previous = cell_shares(features, torch.from_numpy(earlier.places.labels)[None].to(self.device), num_labels)
        z = {label: self._z(name, label, num_labels, shot.get(label)) for label in range(num_labels)}
        prepared = self.pieces.prepare(features)
        with self._threads_for(prepared):
            return list(self.pieces.scores(prepared, z, previous).values())

    @contextmanager
    def _threads_for(self, prepared: Prepared) -> Iterator[None]:
        """One for a small head, which is done sooner than several threads have waited for each other."""
        if _bytes([prepared.query, prepared.skips]) > SMALL:
            yield
            return
        self._all_threads = torch.get_num_threads()
        try:
            with threads(1):
                yield
        finally:
            self._all_threads = None

    def _version(self, name: str, label: int, num_labels: int) -> Hashable:
        """Another one where what the map depends on is another."""
        changed, own = self.annotations.changed, name if self.network.needs_same_image else None
        labels = (label,) if self.pieces.separable else range(num_labels)
        return (*(changed(each, own) for each in labels), self.hidden)

    def _z(self, name: str, label: int, num_labels: int, further: Tensor | None = None) -> Tensor:
        guides = self.guides(name, label)

        def make() -> Tensor:
            parts = {image: self._part(image, label, num_labels) for image in guides}
            there = [p if i == name else self.pieces.elsewhere(p) for i, p in parts.items()]
            return self.pieces.of_label(there if further is None else [*there, self.pieces.elsewhere(further)])

        if further is not None or self.network.needs_same_image or (self.pieces.places and name in guides):
            return make()
        z: Tensor = self.cache.get(("z", label), make, (self.annotations.changed(label), self.hidden))
        return z

    def _part(self, name: str, label: int, num_labels: int) -> Tensor:
        """The guidance of one image for one label."""
        version = self.annotations.changed(label, name)
        found: Tensor | None = self.cache.find(("part", name, label), version)
        if found is not None:
            return found
        parts = self.pieces.of_image(self.features(name), *self.annotation(name), num_labels)
        for other, part in parts.items():
            self.cache.keep(("part", name, other), part, self.annotations.changed(other, name))
        return parts[label]


class Whole(Engine):
    """Any network: the whole episode is asked again, on features that are kept."""

    def maps(self, name: str, num_labels: int, earlier: Earlier | None = None) -> Maps:
        """See `Engine.maps`."""
        if earlier is not None:
            return self._ask(name, num_labels, earlier)
        version = (self.annotations.clock, num_labels, self.hidden)
        maps: Maps = self.cache.get(("maps", name), lambda: self._ask(name, num_labels, _NOTHING), version)
        return maps

    def _ask(self, name: str, num_labels: int, earlier: Earlier) -> Maps:
        support = self.guides(name)
        tensors = {image: self.tensor(self.images[image].read()) for image in {name, *support}}
        shots = [self._shot(image, tensors[image], image == name) for image in support]
        query = tensors[name]
        target = torch.zeros(query.shape[1:], dtype=torch.uint8, device=self.device)
        previous = torch.from_numpy(earlier.places.labels).to(self.device) if earlier.places else None
        # as collate orders the images: the query, then what else is annotated
        known = [self.features(image) for image in (name, *(i for i in support if i != name))]
        if earlier.shot:
            mask, pixels, features = earlier.shot
            shots.append(Shot(self.tensor(pixels), mask=torch.from_numpy(mask).to(self.device)))
            known.append(features)
        batch = collate([Episode(query, target, shots, num_labels=num_labels, previous=previous)]).to(self.device)
        features = stack(known)
        height, width = query.shape[1:]  # a larger image of the support pads the batch
        return list(self.network(batch, features)[0, :, :height, :width].clone())

    def _shot(self, name: str, image: Tensor, is_query: bool) -> Shot:
        points, mask = self.annotation(name)
        return Shot(image, points=points, mask=mask, is_query=is_query)


_NOTHING = Earlier(None, None)


def engine_for(network: Network, *rest: Any) -> Engine:
    """The engine for which an edit costs least; see `Engine` for the arguments."""
    return (ByLabel if has_pieces(network) else Whole)(network, *rest)


def labels_touch_each_other(network: Network) -> bool:
    """Whether the guidance of a label depends on what else is annotated in its image; see `Pieces`."""
    return isinstance(network, GuidedNetwork) and has_pieces(network) and Pieces(network).together


def best(maps: Maps) -> Labels:
    """The label of the highest score at each pixel; of equal ones the first."""
    if maps[0].device.type != "cpu":
        return torch.stack(maps).argmax(0).to(torch.uint8).cpu().numpy()
    highest, *others = (scores.numpy() for scores in maps)  # numpy compares three times as fast as torch
    labels = np.greater(others[0], highest).view(np.uint8)
    for label, scores in enumerate(others[1:], 2):
        highest = np.maximum(highest, others[label - 2])
        # later labels are larger, so a maximum sets them; seven times as fast as filling where they are better
        np.maximum(labels, np.greater(scores, highest) * np.uint8(label), out=labels)
    return labels


def _bytes(thing: Any) -> int:
    """Of a tensor, features, or tuples and lists of them."""
    if isinstance(thing, (tuple, list)):
        return sum(_bytes(part) for part in thing)
    return int(getattr(thing, "nbytes", 0))

"""Caches that are limited in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from guided_seg.data.source import Sample

T = TypeVar("T")


class Cache(Generic[T]):
    """What was expensive to make, at most ``megabytes`` of it; the least recently used go first.

    It belongs to one process: each data-loading worker has its own, and a copy sent to a worker starts empty.
    What it holds is shared, so whoever changes it works on a copy.

    Args:
        size: the bytes of a thing.
        megabytes: 0 keeps nothing.

    Example:
        >>> cache = Cache(len, 1.0)
        >>> cache.get("a", lambda: b"made"), cache.get("a", lambda: b"made again")
        (b'made', b'made')
    """

    def __init__(self, size: Callable[[T], int], megabytes: float = 0.0) -> None:
        self.megabytes = megabytes
        self._size, self._free = size, int(megabytes * 2**20)
        self._kept: OrderedDict[Hashable, T] = OrderedDict()

    def __reduce__(self) -> tuple[type[Cache[T]], tuple[Callable[[T], int], float]]:
        return type(self), (self._size, self.megabytes)

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is kept under ``key``, or what ``make`` returns."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        thing = make()
        if self._size(thing) <= self.megabytes * 2**20:
            self._kept[key] = thing
            self._free -= self._size(thing)
        while self._free < 0:
            self._free += self._size(self._kept.popitem(last=False)[1])
        return thing


def sample_bytes(sample: Sample) -> int:
    """The bytes of an image and its label map."""
    return int(sample.image.nbytes + sample.labels.nbytes)

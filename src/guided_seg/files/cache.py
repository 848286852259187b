"""LRU caches with a limit in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Cache(Generic[T]):
    """An LRU cache of at most ``megabytes``.

    It belongs to one process: each data-loading worker has its own, and a copy sent to a worker starts empty. Cached
    objects are shared, so copy them before changing them.

    Args:
        size: function that returns the bytes of an object.
        megabytes: the limit; 0 caches nothing.

    Example:
        >>> cache = Cache(len, 1.0)
        >>> cache.get("a", lambda: b"made"), cache.get("a", lambda: b"made again")
        (b'made', b'made')
    """

    def __init__(self, size: Callable[[T], int], megabytes: float = 0.0) -> None:
        self.megabytes = megabytes
        self._size, self._free = size, int(megabytes * 2**20)
        self._kept: OrderedDict[Hashable, tuple[T, Hashable]] = OrderedDict()

    def __reduce__(self) -> tuple[type[Cache[T]], tuple[Callable[[T], int], float]]:
        return type(self), (self._size, self.megabytes)

    def __len__(self) -> int:
        return len(self._kept)

    def kept(self) -> list[Any]:
        """All cached objects, the least recently used first."""
        return list(self._kept)

    def get(self, key: Hashable, make: Callable[[], T], version: Hashable = None) -> T:
        """The object under ``key`` in that version; otherwise the result of ``make``, which is cached."""
        found = self.find(key, version)
        return self.keep(key, make(), version) if found is None else found

    def find(self, key: Hashable, version: Hashable = None) -> T | None:
        """The object under ``key`` in that version, if any."""
        thing, found = self._kept.get(key, (None, None))
        if thing is None or found != version:
            return None
        self._kept.move_to_end(key)
        return thing

    def keep(self, key: Hashable, thing: T, version: Hashable = None) -> T:
        """Cache an object, replacing other versions of it; return it."""
        self.drop(key)
        if self.fits(thing):
            self._kept[key] = thing, version
            self._free -= self._size(thing)
        while self._free < 0:
            self._free += self._size(self._kept.popitem(last=False)[1][0])
        return thing

    def drop(self, key: Hashable) -> None:
        """Remove the object under ``key``."""
        if (kept := self._kept.pop(key, None)) is not None:
            self._free += self._size(kept[0])

    def fits(self, thing: T) -> bool:
        """Whether the object is small enough for the cache."""
        return self._size(thing) <= self.megabytes * 2**20

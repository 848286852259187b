"""A cache of decoded samples, limited in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

from guided_seg.data.source import Sample


class SampleCache:
    """Decoded samples, at most ``megabytes`` of them; the least recently used go first.

    It belongs to one process: each data-loading worker has its own, and a copy sent to a worker starts empty.
    Samples are shared, so whoever changes pixels works on a copy.

    Args:
        megabytes: 0 keeps nothing.
    """

    def __init__(self, megabytes: float = 0.0) -> None:
        self.megabytes = megabytes
        self._free = int(megabytes * 2**20)
        self._samples: OrderedDict[Hashable, Sample] = OrderedDict()

    def __reduce__(self) -> tuple[type[SampleCache], tuple[float]]:
        return SampleCache, (self.megabytes,)

    def __len__(self) -> int:
        return len(self._samples)

    def get(self, key: Hashable, read: Callable[[], Sample]) -> Sample:
        """The sample kept under ``key``, or what ``read`` returns."""
        if key in self._samples:
            self._samples.move_to_end(key)
            return self._samples[key]
        sample = read()
        if _size(sample) <= self.megabytes * 2**20:
            self._samples[key] = sample
            self._free -= _size(sample)
        while self._free < 0:
            self._free += _size(self._samples.popitem(last=False)[1])
        return sample


def _size(sample: Sample) -> int:
    return int(sample.image.nbytes + sample.labels.nbytes)

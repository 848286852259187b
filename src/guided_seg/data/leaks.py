"""Leaks: what training must not see of the test."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from guided_seg.data.indexed import IndexedSource
from guided_seg.data.source import Source, Target
from guided_seg.errors import DataError


def leaks(train: IndexedSource, held_out: Collection[str]) -> list[str]:
    """The keys of images that are shown with the label of a held-out class; none in a sound train or val.

    Args:
        train: a source of train or val.
        held_out: names of classes.
    """
    return sorted({str(target.key) for group, target in _targets(train) if group in held_out})


def check_unseen(train: Source, test: Source) -> None:
    """Raise `DataError` where an image file of the test is in training; sources without files are passed over."""
    both = sorted(train.image_files() & test.image_files())
    if both:
        raise DataError(
            f"Training would see {len(both)} images that are tested, such as {both[0]}; give train and test images of "
            "their own (data.whole=true is for evaluation alone)."
        )


def _targets(source: IndexedSource) -> Iterator[tuple[str, Target]]:
    yield from source.objects
    for table in (source.classes, source.videos):
        for group, targets in table.items():
            yield from ((group, target) for target in targets)

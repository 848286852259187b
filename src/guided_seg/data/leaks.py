"""Check that training and test data do not overlap."""

from __future__ import annotations

from guided_seg.data.source import Source
from guided_seg.errors import DataError


def check_unseen(train: Source, test: Source) -> None:
    """Raise `DataError` if a test image file is also in training. Sources without files are not checked."""
    both = sorted(train.image_files() & test.image_files())
    if both:
        raise DataError(
            f"Training would see {len(both)} images that are tested, such as {both[0]}; give train and test images of "
            "their own (data.whole=true is for evaluation alone)."
        )

"""Workers start wherever OpenCV was used before, which does not survive a fork by itself."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from torch.utils.data import DataLoader

from guided_seg.data.workers import workers


class Resized(list[int]):
    """Items that OpenCV makes."""

    def __getitem__(self, number: int) -> int:  # type: ignore[override]
        return int(cv2.resize(np.full((300, 400), number, np.uint8), (900, 800)).mean())


@pytest.mark.parametrize("number", [0, 1])
def test_workers_load_although_threads_were_used(number: int) -> None:
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        for _ in range(5):
            cv2.resize(np.zeros((400, 500, 3), np.uint8), (800, 700))
        # a worker that hangs is given up
        loader = DataLoader(Resized([0] * 3), batch_size=None, timeout=30 if number else 0, **workers(number))
        assert [int(item) for item in loader] == [0, 1, 2]
        # in the process itself OpenCV may go on as it likes
        assert cv2.getNumThreads() == (1 if number else 2)
    finally:
        cv2.setNumThreads(before)

"""How large answers are beside the objects, by the share of the photo's longest side that these take.

On photos of COCO that are for validation: python experiments/released_model/tried/extents.py DATA/coco [MODEL [POINTS]]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np

import guided_seg
from guided_seg.data.coco.coco import Coco
from guided_seg.data.sampling.points import binarize, sample_points
from guided_seg.report.table import Table, columns
from guided_seg.session import NEGATIVE, Session

BOUNDS = (0.0, 0.07, 0.15, 0.3, 0.6, 1.01)


def answers(root: str, model: str, points: int) -> Iterator[tuple[float, float, float]]:
    """Of each object its extent, the IoU, and the size of the answer in proportion to its own."""
    source = Coco(root, "val", test_classes="all", test_images=20)
    network = guided_seg.load(model)
    for index in range(source.count("interactive")):
        view = source.fixed("interactive", index, 1, np.random.default_rng(0)).query
        sample = source.load(view.key)
        mask = binarize(sample.labels, view.values)
        session = Session(network)
        session.add_image("photo", sample.image)
        names = {0: NEGATIVE, 1: session.add_label("object")}
        for row, column, label in sample_points(mask, points, (0, 1), np.random.default_rng(index)).tolist():
            session.dot("photo", row, column, names[label])
        found, true, scored = session.segment("photo") == 1, mask == 1, mask != 255
        *_, width, height = cv2.boundingRect(true.view(np.uint8))
        iou = (found & true).sum() / ((found | true) & scored).sum()
        yield max(width, height) / max(mask.shape), iou, (found & scored).sum() / true.sum()


if __name__ == "__main__":
    root, model, points = [*sys.argv[1:], *("guided-lite0", "1")[len(sys.argv) - 2 :]][:3]
    table = np.array(list(answers(root, model, int(points))))
    shown = []
    for low, high in pairwise(BOUNDS):
        rows = table[(table[:, 0] >= low) & (table[:, 0] < high)]
        figures = f"{rows[:, 1].mean():.2f}", f"{np.median(rows[:, 2]):.1f}"
        shown.append((f"{low:g} to {min(high, 1):g}", len(rows), *figures))
    head = columns(("extent", "objects", "mean IoU", "median size of the answer / the object"))
    sys.stdout.write(Table(head, shown).markdown("bare"))

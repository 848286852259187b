"""What the frame before adds, on videos that are not for the test: J without memory, by the map, by the shot, by both.

python experiments/released_model/tried/memory.py DATA/davis VIDEO,VIDEO... [MODEL [FRAMES]]
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import get_args

import numpy as np

import guided_seg
from guided_seg.data.images import read_image
from guided_seg.metrics.j_and_f import region_similarity
from guided_seg.model.network import Network
from guided_seg.model.video.previous_frame import Memory
from guided_seg.session import NEGATIVE, Session


def mean_j(network: Network, root: Path, video: str, points: int | None, memory: Memory, most: int | None) -> float:
    """Mean J over the frames of a video but the first and the last, shown by dots or by a mask on the first."""
    session = Session(network)
    label = session.add_label("object")
    session.add_video("video", root / "JPEGImages/240p" / video)
    masks = [read_image(path)[..., 0] > 0 for path in sorted((root / "Annotations/240p" / video).glob("*.png"))][:most]
    rng, first = np.random.default_rng(7), session.frame("video", 0)
    for name, inside in ((NEGATIVE, ~masks[0]), (label, masks[0])):
        if points is None:
            session.mask(first, inside, name)
            continue
        places = np.argwhere(inside)
        for row, column in places[rng.choice(len(places), points, replace=False)].tolist():
            session.dot(first, row, column, name)
    answers = islice(session.segment_video("video", memory=memory), len(masks))
    found = [region_similarity(labels == 1, masks[index]) for index, labels in answers]
    return float(np.mean(found[1:-1]))


if __name__ == "__main__":
    folder, videos = Path(sys.argv[1]), sys.argv[2].split(",")
    model = guided_seg.load(sys.argv[3] if len(sys.argv) > 3 else "guided-lite0")
    limit = int(sys.argv[4]) if len(sys.argv) > 4 else None
    for dots in (1, None):
        for kind in get_args(Memory):
            each = [mean_j(model, folder, video, dots, kind, limit) for video in videos]
            by_video = ", ".join(f"{video} {j:.3f}" for video, j in zip(videos, each, strict=True))
            sys.stdout.write(f"{dots or 'dense'}, memory={kind}: {np.mean(each):.3f} ({by_video})\n")
            sys.stdout.flush()

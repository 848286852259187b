"""Whether a second question helps: interactive validation tasks, asked again with something of the first answer.

python experiments/released_model/tried/asked_again.py DATA [MODEL [NUMBER]]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import guided_seg
from guided_seg.data.coco.coco import Coco
from guided_seg.data.evaluation_episodes import FixedEpisodes
from guided_seg.data.source import Source
from guided_seg.data.sources.voc import Voc
from guided_seg.episode import IGNORE, Episode, Shot, collate
from guided_seg.model.network import Network
from guided_seg.model.video.previous_frame import certain

WAYS = ("once", "again with what is certain", "again with the map", "mean with the mirrored image")


def dots_on(target: Tensor, number: int, rng: np.random.Generator) -> Tensor:
    """So many random dots of the object and of the rest."""
    rows = []
    for label in (0, 1):
        places = np.argwhere(target.numpy() == label)
        chosen = places[rng.choice(len(places), number, replace=False)]
        rows.append(np.column_stack([chosen, np.full(number, label)]))
    return torch.from_numpy(np.concatenate(rows))


def iou(scores: Tensor, target: Tensor) -> float:
    """Of the object."""
    found, true = (scores.argmax(0) == 1) & (target != IGNORE), target == 1
    return float((found & true).sum() / max(1, int((found | true).sum())))


@torch.inference_mode()
def ways(network: Network, episode: Episode, dots: Tensor) -> list[float]:
    """The IoU of each of `WAYS`."""
    query, target = episode.query, episode.target
    features = network.encode(query[None], torch.tensor([query.shape[1:]]))
    shot = Shot(query, points=dots, is_query=True)

    def ask(*support: Shot, previous: Tensor | None = None) -> Tensor:
        return network(collate([Episode(query, target, support, previous=previous)]), features)[0]

    once = ask(shot)
    again = ask(shot, Shot(query, mask=certain(once), is_query=True))
    by_map = ask(shot, previous=once.argmax(0).to(torch.uint8))
    mirrored = torch.stack([dots[:, 0], query.shape[2] - 1 - dots[:, 1], dots[:, 2]], 1)
    image = query.flip(2)
    other = network(collate([Episode(image, target.flip(1), [Shot(image, points=mirrored, is_query=True)])]))[0].flip(2)
    return [iou(scores, target) for scores in (once, again, by_map, once.softmax(0) + other.softmax(0))]


def measure(network: Network, source: Source, number: int, points: int) -> np.ndarray:
    """The mean IoU of each of `WAYS` over tasks."""
    episodes, found = FixedEpisodes(source, "interactive", 1, number, 0), []
    for index in range(len(episodes)):
        episode, rng = episodes[0, index], np.random.default_rng(index)
        if min(int((episode.target == label).sum()) for label in (0, 1)) >= points:
            found.append(ways(network, episode, dots_on(episode.target, points, rng)))
    return np.mean(found, axis=0)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    model = guided_seg.load(sys.argv[2] if len(sys.argv) > 2 else "guided-lite0")
    sources: dict[str, Source] = {
        "COCO": Coco(root / "coco", "val", test_classes="all", test_images=20),
        "VOC without cows": Voc(root / "voc2012", "val", ["cow"]),
    }
    for name, source in sources.items():
        for points in (1, 5):
            means = measure(model, source, int(sys.argv[3]) if len(sys.argv) > 3 else 80, points)
            told = "; ".join(f"{way} {mean:.3f}" for way, mean in zip(WAYS, means, strict=True))
            sys.stdout.write(f"{name}, {points} + {points} dots: {told}\n")
            sys.stdout.flush()

"""Whether an image's own answer helps with a class that was held out of training, shown by one other image of it.

On photos for validation, which no training has used where it left the class out:
python experiments/released_model/tried/across_images.py DATA/voc2012 MODEL CLASS [NUMBER]
"""

from __future__ import annotations

import sys

import numpy as np
import torch

import guided_seg
from guided_seg.data.evaluation_episodes import FixedEpisodes
from guided_seg.data.sampling.points import restrict
from guided_seg.data.sources.voc import Voc
from guided_seg.episode import IGNORE, collate
from guided_seg.model.refine import refined

POINTS = 5


def main(root: str, model: str, held_out: str, number: int) -> None:
    """Print the positive IoU of each number of times that the question is put again."""
    source = Voc(root, "val", [held_out], oracle=True)
    episodes = FixedEpisodes(source, "semantic", 1, None, 0)
    numbers = [n for n in range(len(episodes)) if episodes[0, n].meta["group"] == held_out]
    chosen = [numbers[n] for n in np.unique(np.linspace(0, len(numbers) - 1, number).astype(int))]
    network = guided_seg.load(model)
    for again in range(4):
        asked, sums = refined(network, again=again), np.zeros(2)
        for n in chosen:
            batch = restrict(collate([episodes[0, n]]), 1, POINTS, seed=0)
            with torch.inference_mode():
                found = asked(batch)[0].argmax(0) == 1
            true, scored = batch.target[0] == 1, batch.target[0] != IGNORE
            sums += [int((found & true).sum()), int(((found | true) & scored).sum())]
        sys.stdout.write(f"{held_out}, {len(chosen)} images, again={again}: {sums[0] / sums[1]:.3f}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:4], int(sys.argv[4]) if len(sys.argv) > 4 else 30)

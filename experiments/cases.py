"""The ten best, median and worst predictions of an evaluation as pictures: support, query, answer, truth.

python experiments/cases.py CHECKPOINT EVALUATION PROTOCOL POINTS OUT

EVALUATION is the folder that guided_seg.evaluate left. Frames of one video that are shown are at least ten apart.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
from hydra.utils import instantiate
from omegaconf import OmegaConf

import guided_seg
from guided_seg.data.frozen.episode_file import FrozenEpisodes
from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisodes
from guided_seg.protocols.answers import Answers
from guided_seg.protocols.protocol import Row
from guided_seg.protocols.records import read_records
from guided_seg.report.panels import Panel, panels

NUMBER, APART = 10, 10
WIDTH, QUALITY = 720, 60
"""Pixels and JPEG quality of the pictures."""


def main(checkpoint: str, folder: Path, protocol: str, points: str, out: Path) -> None:
    """Select episodes, predict again, and draw."""
    cfg = OmegaConf.load(folder / "config.yaml")
    source = instantiate(cfg.data.source)(split=cfg.split)
    frozen = FrozenEpisodes.read(folder / f"episodes_{protocol}.json.gz")
    _, rows = read_records(folder / f"records_{protocol}.jsonl")
    asked = [row for row in rows if (row["points"], row["shots"], row["seed"]) == (points, 1, 0)]
    ranked = sorted(asked, key=lambda row: row["j"])
    items, answers = EvaluationEpisodes(source, frozen), Answers(guided_seg.load(checkpoint))
    for name, start in (("worst", 0), ("median", len(ranked) // 2 - NUMBER // 2), ("best", -1)):
        chosen = list(spaced(ranked[::-1] if start < 0 else ranked[start:]))
        shown = []
        for row in chosen:
            item = items[row["episode"]]
            episode = item.with_setting(1, None if points == "dense" else int(points))
            assert episode is not None
            title = f"{row['group']}, IoU {row['j']:.2f}"
            shown.append(Panel.of(episode, answers.segment(item, episode), title))
        picture = cv2.imread(str(panels(shown, out / f"{name}.png")))
        size = WIDTH, round(picture.shape[0] * WIDTH / picture.shape[1])
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(out / f"{name}.jpg"), small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        (out / f"{name}.png").unlink()


def spaced(rows: Sequence[Row]) -> Iterator[Row]:
    """The first ten without neighbouring frames of a video."""
    taken: list[Row] = []
    for row in rows:
        near = (other for other in taken if other["group"] == row["group"])
        if all(abs(other["episode"] - row["episode"]) >= APART for other in near):
            taken.append(row)
            yield row
        if len(taken) == NUMBER:
            return


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4], Path(sys.argv[5]))

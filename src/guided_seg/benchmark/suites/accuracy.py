"""Accuracy against time: the IoU after a number of seconds of computation, click by click.

Simulated clicks on objects of test images fall on the largest error (see `metrics.simulated_clicks`). A session runs
the encoder once and then edits; the same predictions from scratch repeat everything for each click.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from guided_seg.benchmark.models import composed
from guided_seg.benchmark.timing import Row, row
from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisodes
from guided_seg.data.frozen.freeze import Plan, select
from guided_seg.episode import IGNORE, Episode, Shot, collate
from guided_seg.metrics.j_and_f import region_similarity
from guided_seg.metrics.simulated_clicks import Click, next_click
from guided_seg.model.network import Network
from guided_seg.release.load import load_network
from guided_seg.report.drawing import COLOURS, STYLE, new_figure, save
from guided_seg.session import NEGATIVE, Session
from guided_seg.training.train import train

LIMIT = 20
"""Clicks per object."""
TRAINING = (
    "+experiment=late_global",
    "trainer.max_steps=300",
    "evaluation.points=[5]",
    "evaluation.shots=[1]",
    "evaluation.episodes=8",
    "logger=none",
)
"""The network if no checkpoint is given, trained in one to two minutes."""


class Course(NamedTuple):
    """One object after each click.

    Args:
        ious: IoU of the object.
        session: cumulative seconds of computation with edits.
        scratch: cumulative seconds with computation from scratch for each click.
    """

    ious: list[float]
    session: list[float]
    scratch: list[float]


def rows(cfg: DictConfig) -> Iterator[Row]:
    """Measure accuracy against time; also write ``accuracy.csv`` and ``accuracy.png``."""
    out = Path(cfg.output_dir)
    network = load_network(cfg.checkpoint or _trained(cfg, out / "accuracy"))[0]
    source = instantiate(cfg.data.source)(split="test")
    data = EvaluationEpisodes(source, select(source, "test", Plan(["interactive"], cfg.objects, seeds=[cfg.seed])))
    courses = [_course(network, data[number].dense) for number in range(len(data))]
    ious, session, scratch = (np.mean([getattr(course, part) for course in courses], 0) for part in Course._fields)
    _write(out, ious, session, scratch)
    _draw(out / "accuracy.png", cfg.data.name, ious, session, scratch)
    of = f"of {len(courses)} objects of {cfg.data.name} (test)"
    for clicks in dict.fromkeys((1, min(5, LIMIT), LIMIT)):
        after, before = 1e3 * session[clicks - 1], 1e3 * scratch[clicks - 1]
        yield row(f"accuracy_iou_{clicks}", ious[clicks - 1], "IoU", f"mean {of} after {clicks} clicks on errors")
        what = f"computing time, encoder and {clicks} edits; reference: from scratch for each click"
        yield row(f"accuracy_ms_{clicks}", after, "ms", what, before)


def _trained(cfg: DictConfig, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with redirect_stdout(StringIO()):  # hide its own tables
        train(composed(*TRAINING, f"seed={cfg.seed}", f"output_dir='{folder}'"), folder)
    return folder


def _course(network: Network, episode: Episode) -> Course:
    """Click until the limit. An object without errors keeps its IoU and takes no more time."""
    target = episode.target.numpy()
    image = (episode.query * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    session = Session(network)
    session.add_image("image", image)
    label = session.add_label("object")
    session.warm_up(*target.shape)
    prediction, clicks = np.zeros_like(target), list[Click]()
    ious, edits, scratch = list[float](), list[float](), list[float]()
    while len(ious) < LIMIT and (click := next_click(prediction, target, clicks)):
        clicks.append(click)
        began = time.perf_counter()
        session.dot("image", click.row, click.column, label if click.positive else NEGATIVE)
        prediction = session.segment("image")
        edits.append(sum(edits[-1:]) + time.perf_counter() - began)
        scratch.append(sum(scratch[-1:]) + _from_scratch(network, episode, clicks))
        ious.append(region_similarity(prediction == 1, target == 1, target == IGNORE))
    return Course(*(values + values[-1:] * (LIMIT - len(values)) for values in (ious, edits, scratch)))


@torch.inference_mode()
def _from_scratch(network: Network, episode: Episode, clicks: list[Click]) -> float:
    began = time.perf_counter()
    shot = Shot(episode.query, points=torch.tensor(clicks, dtype=torch.int64), is_query=True)
    network(collate([Episode(episode.query, episode.target, [shot])])).argmax(1)
    return time.perf_counter() - began


def _write(out: Path, *columns: np.ndarray) -> None:
    with (out / "accuracy.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("clicks", "mean_iou", "session_ms", "scratch_ms"))
        for clicks, (iou, *seconds) in enumerate(zip(*columns, strict=True), 1):
            writer.writerow((clicks, f"{iou:.4f}", *(f"{1e3 * value:.2f}" for value in seconds)))


def _draw(path: Path, data: str, ious: np.ndarray, session: np.ndarray, scratch: np.ndarray) -> None:
    with mpl.rc_context(STYLE):
        figure = new_figure(5.2, 3.2)
        axes = figure.add_subplot(xscale="log", xlabel="milliseconds of computing", ylabel="mean IoU", ylim=(0, 1))
        axes.set_title(f"{data}: {len(ious)} clicks, a mark each")
        for colour, name, seconds in zip(
            COLOURS, ("session: encode once, edit", "all again"), (session, scratch), strict=False
        ):
            axes.plot(1e3 * seconds, ious, marker="o", markersize=3, color=colour, label=name)
        axes.legend(loc="lower right")
        save(figure, path)

"""Time of an edit, and its difference from computation from scratch (paper, 5.4; concepts, rule 4)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
import torch
from omegaconf import DictConfig

from guided_seg.benchmark.models import REVOLVER_LITE, build
from guided_seg.benchmark.timing import Row, Way, by_turns, row
from guided_seg.episode import Episode, Shot, collate
from guided_seg.model.network import Network
from guided_seg.session import NEGATIVE, Session

SHOTS, LABELS = 20, 8
CHECKS = 100
"""Comparisons with computation from scratch, evenly spread over the edits."""


def rows(cfg: DictConfig) -> Iterator[Row]:
    """Measure edits."""
    network, shipped = build(*REVOLVER_LITE, "backbone.border=false"), build(*REVOLVER_LITE)
    rng = np.random.default_rng(cfg.seed)
    what = f"add or remove a dot, {cfg.height} x {cfg.width}, {cfg.points} + {cfg.points} dots, VGG-16 lite"
    one = annotated(network, cfg, rng, images=1, labels=2)
    many = annotated(network, cfg, rng, images=SHOTS, labels=LABELS)
    episode = _episode(one)
    ways = {
        "edit": editor(one, cfg, np.random.default_rng(cfg.seed)),
        "many": editor(many, cfg, np.random.default_rng(cfg.seed)),
    }
    edit = by_turns(ways, 20 * cfg.rounds)
    full = by_turns(
        {"shipped": lambda: _from_scratch(shipped, episode), "own": lambda: _from_scratch(network, episode)},
        max(3, cfg.rounds // 3),
    )
    again = "reference: everything from scratch, with the original's border"
    yield row("edit_ms", 1e3 * edit["edit"], "ms", f"{what}; {again}", 1e3 * full["shipped"])
    of = "speed-up of an edit over computing everything from scratch, with the original's border of 81 pixels"
    yield row("edit_vs_full", full["shipped"] / edit["edit"], "times", of)
    of = "the same without that border"
    yield row("edit_vs_full_without_border", full["own"] / edit["edit"], "times", of)
    more = f"the same with K = {LABELS} labels and S = {SHOTS} annotated images; reference: one image and two labels"
    yield row("edit_k8_s20_ms", 1e3 * edit["many"], "ms", more, 1e3 * edit["edit"])
    yield row("edit_max_error", *_error(one, network, cfg))


@torch.inference_mode()
def _from_scratch(network: Network, episode: Episode) -> None:
    network(collate([episode])).argmax(1)


def annotated(network: Network, cfg: DictConfig, rng: np.random.Generator, images: int, labels: int) -> Session:
    """A session with dots of each label on each image, and a prediction of the first image."""
    session = Session(network, cache_mb=8192)
    for number in range(1, labels):
        session.add_label(f"label {number}")
    for number in range(images):
        session.add_image(f"{number}", rng.integers(0, 256, (cfg.height, cfg.width, 3), np.uint8))
        for label in session.labels:
            for _ in range(cfg.points):
                session.dot(f"{number}", int(rng.integers(cfg.height)), int(rng.integers(cfg.width)), label)
    session.segment("0")
    return session


def editor(session: Session, cfg: DictConfig, rng: np.random.Generator) -> Way:
    """Alternately add and undo a random dot in an image, and predict the first image each time."""
    turns, images = count(), session.images

    def edit() -> None:
        if next(turns) % 2:
            session.undo()
        else:
            label = session.labels[int(rng.integers(len(session.labels)))]
            image = images[int(rng.integers(len(images)))]
            session.dot(image, int(rng.integers(cfg.height)), int(rng.integers(cfg.width)), label)
        session.segment("0")

    return edit


def _episode(session: Session) -> Episode:
    """The session's task on its first image, as an episode."""
    image = torch.from_numpy(session.picture("0").read()).permute(2, 0, 1) / 255
    points = torch.tensor(session.annotation("0")[1])
    target = torch.zeros(image.shape[1:], dtype=torch.uint8)
    return Episode(image, target, [Shot(image, points=points, is_query=True)], num_labels=len(session.labels))


@torch.inference_mode()
def _error(session: Session, network: Network, cfg: DictConfig) -> tuple[float, str, str]:
    """The largest difference between scores after many random edits and undos and scores from scratch."""
    rng, worst, wrong = np.random.default_rng(cfg.seed + 1), 0.0, 0
    batch = collate([_episode(session)])
    features = network.encode(batch.images, batch.sizes)
    every = max(1, cfg.edits // CHECKS)
    for number in range(cfg.edits):
        _random_edit(session, cfg, rng)
        labels, scores = session.segment("0", return_scores=True)
        if number % every == every - 1:
            fresh = network(collate([_episode(session)]), features)[0]
            worst = max(worst, float((fresh - torch.from_numpy(scores)).abs().max()))
            gap = fresh.topk(2, dim=0).values.diff(dim=0)[0].abs() > 2 * worst
            wrong += int(((fresh.argmax(0).numpy() != labels) & gap.numpy()).sum())
    of = f"after {cfg.edits:,} random edits with undo, {cfg.edits // every} comparisons; {wrong} labels differ"
    return worst, "score", of


def _random_edit(session: Session, cfg: DictConfig, rng: np.random.Generator) -> None:
    kind, dots = rng.random(), session.dots("0")
    pixel = int(rng.integers(cfg.height)), int(rng.integers(cfg.width))
    if kind < 0.25:
        session.undo()
    elif kind < 0.3:
        session.redo()
    elif kind < 0.5 and len(dots) > 4:
        session.remove("0", *dots[int(rng.integers(len(dots)))][:2])
    elif kind < 0.7 and dots:
        session.move("0", dots[int(rng.integers(len(dots)))][:2], pixel)
    else:
        session.dot("0", *pixel, (NEGATIVE, session.labels[1])[int(rng.integers(2))])

"""Dots where the network is wrong: where they fall, on which images, and that training takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.commands import TINY, compose_run, run

from guided_seg.composition.build import build_network
from guided_seg.episode import IGNORE, Batch, Episode, Shot, collate
from guided_seg.settings.episode_options import EpisodeOptions
from guided_seg.training.corrections import MOST, corrected, recalled
from guided_seg.training.module import EpisodicSegmentation


def scene(height: int = 24, width: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    target = torch.zeros(height, width, dtype=torch.uint8)
    target[4:12, 5:15], target[14:20, 18:26], target[0] = 1, 2, IGNORE
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0)), target


def batch() -> Batch:
    """Shown by dots on itself, by a mask on itself, and by dots on another image."""
    image, target = scene()
    other, _ = scene(20, 28)
    dots = torch.tensor([[2, 2, 0], [6, 6, 1]])
    shown = (
        Shot(image, points=dots, is_query=True),
        Shot(image, mask=target, is_query=True),
        Shot(other, points=dots),
    )
    return collate([Episode(image, target, [shot], num_labels=3) for shot in shown])


@given(seed=st.integers(0, 10**6))
def test_dots_are_added_where_the_answer_is_wrong_on_queries_shown_by_dots_alone(seed: int) -> None:
    asked = batch()
    rng = np.random.default_rng(seed)
    answer = torch.from_numpy(rng.integers(0, 3, asked.target.shape))
    found = corrected(asked, answer, [rng] * len(asked))
    assert torch.equal(found.points[: len(asked.points)], asked.points)
    more = found.points[len(asked.points) :]
    assert 1 <= len(more) <= MOST
    for shot, row, column, label in more.tolist():
        assert shot == 0
        assert label == asked.target[0, row, column] != IGNORE
        assert (label > 0) != (answer[0, row, column] > 0)


def test_what_is_right_is_left_as_it_is() -> None:
    asked = batch()
    right = torch.where(asked.target == IGNORE, 0, asked.target)
    assert torch.equal(corrected(asked, right, [np.random.default_rng(0)] * len(asked)).points, asked.points)


def test_own_answers_take_the_place_of_earlier_ones_where_there_are_any() -> None:
    image, target = scene()
    shot = Shot(torch.rand(3, 20, 20), points=torch.tensor([[2, 2, 0], [6, 6, 1]]))
    without, having = (Episode(image, target, [shot], {}, 3, previous) for previous in (None, target))
    asked = collate([without, having])
    answer = torch.full(asked.target.shape, 2)
    found = recalled(asked, answer, [np.random.default_rng(0)] * len(asked)).previous
    assert found is not None
    assert (found[0] == IGNORE).all()
    assert set(found[1].unique().tolist()) <= {2, IGNORE}
    assert (found[1] == 2).float().mean() > 0.5
    assert recalled(collate([without]), answer[:1], [np.random.default_rng(0)]).previous is None


def test_a_share_of_the_batches_recalls(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = ("+experiment=fused", "backbone.width=8", "backbone.blocks=1")
    module = EpisodicSegmentation(build_network(compose_run(*tiny)), options=EpisodeOptions(recalled=0.5))
    image, target = scene()
    target = target.clamp(max=1)
    shot = Shot(torch.rand(3, 24, 24), points=torch.tensor([[2, 2, 0], [6, 6, 1]]))
    asked = collate([Episode(image, target, [shot], previous=target)])
    monkeypatch.setattr(module, "log_dict", lambda *_, **__: None)
    honest, told = module.network.forward, []
    monkeypatch.setattr(module.network, "forward", lambda b, f=None: told.append(b.previous) or honest(b, f))
    for step in range(20):
        monkeypatch.setattr(EpisodicSegmentation, "global_step", step)
        module.training_step(asked, step).backward()
    blank = [previous for previous in told if previous is None]
    assert 3 < len(blank) < 17
    assert len(told) == 20 + len(blank)
    assert sum(previous is not None and not torch.equal(previous, asked.previous) for previous in told) == len(blank)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_batches_is_corrected(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    network = build_network(compose_run(*TINY))
    module = EpisodicSegmentation(network, options=EpisodeOptions(corrections=share))
    asked, points = (
        collate([Episode(*scene(), [Shot(scene()[0], points=torch.tensor([[2, 2, 0]]), is_query=True)], {}, 3)]),
        [],
    )
    monkeypatch.setattr(module, "log_dict", lambda *_, **__: None)
    honest = module.network.forward
    monkeypatch.setattr(module.network, "forward", lambda b, f=None: points.append(len(b.points)) or honest(b, f))
    for step in range(20):
        monkeypatch.setattr(EpisodicSegmentation, "global_step", step)
        module.training_step(asked, step).backward()
    again = len(points) - 20
    assert {0.0: again == 0, 0.5: 3 < again < 17, 1.0: again == 20}[share]
    assert (max(points) > 1) == (share > 0)


@pytest.mark.parametrize("rounds", [(1, 1), (3, 3), (1, 3)])
def test_corrections_come_in_rounds(rounds: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    options = EpisodeOptions(corrections=1.0, rounds=rounds)
    module = EpisodicSegmentation(build_network(compose_run(*TINY)), options=options)
    asked = collate([Episode(*scene(), [Shot(scene()[0], points=torch.tensor([[2, 2, 0]]), is_query=True)], {}, 3)])
    points: list[int] = []
    honest = module.network.forward
    monkeypatch.setattr(module, "log_dict", lambda *_, **__: None)
    monkeypatch.setattr(module.network, "forward", lambda b, f=None: points.append(len(b.points)) or honest(b, f))
    answers = []
    for step in range(10):
        monkeypatch.setattr(EpisodicSegmentation, "global_step", step)
        points.clear()
        module.training_step(asked, step)
        assert points == sorted(set(points)), "each round adds dots, on what the last one left wrong"
        answers.append(len(points) - 1)  # the last is trained on
    assert (min(answers), max(answers)) == rounds


def test_the_main_command_trains_with_it(tmp_path: Path) -> None:
    assert (run(tmp_path / "run", "episode.corrections=1.0") / "metrics.json").is_file()

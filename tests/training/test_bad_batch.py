"""A loss that is not finite stops the training before it reaches the weights, and its batch can be replayed."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.commands import TINY, call, compose_run
from torch import Tensor

from guided_seg.data.training_episodes import TrainEpisodes
from guided_seg.episode import IGNORE, Episode, Shot, collate
from guided_seg.errors import UserError
from guided_seg.training import bad_batch, replay
from guided_seg.training.bad_batch import BAD_BATCH, alone, read_bad_batch
from guided_seg.training.losses import CrossEntropy
from guided_seg.training.train import train

STEP = 2
"""The step, from 0, whose loss is spoiled."""


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run in which every second episode of a batch was a picture of NaN."""
    honest: Any = TrainEpisodes.__getitem__

    def spoiled(self: TrainEpisodes, key: tuple[int, int]) -> Episode:
        episode: Episode = honest(self, key)
        if key[1] // 4 == STEP and key[1] % 2:
            episode.query[:, 3:9, 3:9] = math.nan
        return episode

    monkeypatch.setattr(TrainEpisodes, "__getitem__", spoiled)
    folder = tmp_path / "run"
    folder.mkdir()
    options = ("mode=semantic", "data.training.batch_size=4", "trainer.max_steps=4", "num_workers=0")
    with pytest.raises(UserError, match=rf"The loss at step {STEP} is nan, so training has stopped; its batch is in"):
        train(compose_run(*TINY, *options), folder)
    monkeypatch.undo()
    return folder


def test_the_batch_is_saved_with_weights_that_it_has_not_reached(stopped: Path) -> None:
    bad = read_bad_batch(stopped)
    assert bad.step == STEP
    assert len(bad.batch) == 4
    assert [bool(image.isnan().any()) for image in bad.batch.images[:4]] == [False, True, False, True]
    assert all(parameter.isfinite().all() for parameter in bad.network.parameters())
    assert not (stopped / "metrics.json").exists()


def test_a_command_replays_its_episodes(stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replay.main([str(stopped)])
    said = capsys.readouterr().out
    assert f"Step {STEP}: the loss of the batch is nan, and not finite in 2 of 4 episodes (1, 3)." in said
    rows = [line.split() for line in said.splitlines() if "semantic" in line]
    assert [row[0] for row in rows] == ["0", "1", "2", "3"]
    assert [row[-1] == "nan" for row in rows] == [False, True, False, True]


def test_the_loss_alone_may_be_at_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = CrossEntropy.__call__
    calls = []

    def loss(self: CrossEntropy, *given: Tensor | None) -> Tensor:
        calls.append(1)
        return honest(self, *given) * (math.inf if len(calls) == 2 else 1)

    monkeypatch.setattr(CrossEntropy, "__call__", loss)
    with pytest.raises(UserError, match="The loss at step 1 is inf") as caught:
        train(compose_run(*TINY, "trainer.max_steps=4", "num_workers=0"), tmp_path)
    assert "\n" not in str(caught.value)
    assert f"python -m guided_seg.training.replay {tmp_path} shows" in str(caught.value)
    monkeypatch.undo()
    _, said = replay_of(tmp_path)
    assert "not finite in 0 of" in said
    assert said.endswith("Of the weights, all are finite.")


def test_an_episode_alone_is_that_of_the_batch() -> None:
    rng, image = np.random.default_rng(0), torch.rand(4, 3, 8, 8)
    mask = torch.tensor(rng.integers(0, 2, (8, 8)), dtype=torch.uint8)

    def shot(number: int, own: bool, dense: bool) -> Shot:
        dots = None if dense else torch.tensor(rng.integers(0, 2, (number + 1, 3)))
        return Shot(image[number], dots, mask if dense else None, own)

    episodes = [
        Episode(image[0], mask, [shot(1, False, False), shot(2, False, True)], {"n": 0}, previous=mask),
        Episode(image[1], 1 - mask, [shot(1, True, False), shot(3, False, False)], {"n": 1}),
        Episode(image[2], mask, [shot(2, True, True)], {"n": 2}, num_labels=3),
    ]
    batch = collate(episodes)
    for number, episode in enumerate(episodes):
        found, own = alone(batch, number), collate([replace(episode, num_labels=3)])
        for each in fields(own):
            if each.name not in ("labels", "previous"):
                theirs, ours = getattr(own, each.name), getattr(found, each.name)
                assert torch.equal(ours, theirs) if isinstance(theirs, Tensor) else ours == theirs, each.name
        assert found.labels == (episode.num_labels,)
        assert found.previous is not None
        assert torch.equal(found.previous[0], torch.full_like(mask, IGNORE) if number else mask)


def replay_of(folder: Path) -> Any:
    return bad_batch.replay(read_bad_batch(folder))


def test_weights_that_were_spoiled_before_are_named(stopped: Path) -> None:
    content = torch.load(stopped / BAD_BATCH, weights_only=True)
    name = next(name for name in content["state_dict"] if name.endswith("weight"))
    content["state_dict"][name].fill_(math.nan)
    torch.save(content, stopped / BAD_BATCH)
    _, said = replay_of(stopped)
    assert f"1 are not finite, such as {name.removeprefix('network.')}" in said


def test_what_is_no_such_file(stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = torch.load(stopped / BAD_BATCH, weights_only=True)
    batch = content.pop("batch")
    torch.save(content, tmp_path / "plain.ckpt")
    torch.save({**content, "batch": {**batch, "colour": 1}}, tmp_path / "other.ckpt")
    for path, expected in {
        "": f"There is no {tmp_path / BAD_BATCH}; give a run folder whose training stopped at",
        "plain.ckpt": "is a checkpoint without a batch; give a run folder with bad_batch.ckpt",
        "other.ckpt": "was written by another version of guided_seg",
    }.items():
        with pytest.raises(SystemExit) as caught:
            replay.main([str(tmp_path / path)])
        assert caught.value.code == 2
        assert expected in capsys.readouterr().err


def test_the_command_ends_with_this_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CrossEntropy, "__call__", lambda *_: torch.tensor(math.nan, requires_grad=True))
    done = call("run", *TINY, f"output_dir={tmp_path}/run", "num_workers=0", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: The loss at step 0 is nan, so training has stopped")

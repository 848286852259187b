from __future__ import annotations

import hashlib
import logging
import pickle
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader

from guided_seg.data.datamodule import (
    Episodes,
    InteractiveEpisodes,
    MixedEpisodes,
    SemanticEpisodes,
    VideoEpisodes,
    check_divides,
)
from guided_seg.data.sampling.points import PointRange
from guided_seg.data.sampling.transforms import Augment
from guided_seg.data.shapes.shapes import Shapes
from guided_seg.data.source import MODES, Mode
from guided_seg.data.sources.davis import Davis
from guided_seg.data.sources.folder import Folder
from guided_seg.episode import Batch
from guided_seg.errors import DataError
from guided_seg.settings.episode_options import EpisodeOptions
from guided_seg.training.lightning_messages import quiet_lightning

Equal = Callable[[object, object], bool]
EQUALLY = dict.fromkeys(MODES, 1.0)
shapes = partial(Shapes, size=48, min_pixels=40, tasks=16, frames=5)

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def _data(weights: Mapping[Mode, float] = EQUALLY, **options: Any) -> Episodes:
    defaults = {"source": shapes, "batch_size": 4, "steps_per_epoch": 3, "val_episodes": 5, "num_workers": 0}
    return Episodes(weights=weights, **{**defaults, **options})


def _batches(loader: DataLoader[Any], epoch: int = 0) -> list[Batch]:
    loader.sampler.set_epoch(epoch)
    return list(loader)


def _loader(data: Episodes, stage: str) -> DataLoader[Any]:
    data.setup("fit")
    return {"train": data.train_dataloader, "val": data.val_dataloader}[stage]()


@pytest.mark.parametrize("world", [1, 2, 4])
def test_an_epoch_has_as_many_steps_for_any_number_of_processes(monkeypatch: pytest.MonkeyPatch, world: int) -> None:
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: world)
    drawn = []
    for rank in range(world):
        monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
        loader = _loader(_data(steps_per_epoch=3), "train")
        assert len(loader) == 3
        drawn += list(loader.sampler)
    assert sorted(drawn) == [(0, index) for index in range(3 * 4)]


@pytest.mark.parametrize(
    ("size", "turns", "world", "said"),
    [
        (6, 1, 4, "batch_size=6 .* 4 processes .* set it to 4 or 8"),
        (2, 1, 4, "set it to 4, or use another number"),
        (12, 4, 2, r"in whole turns \(episode.turns=4\); set it to 8 or 16"),
    ],
)
def test_a_batch_that_processes_cannot_share_is_refused(size: int, turns: int, world: int, said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_divides(size, turns, world)
    check_divides(size, turns, 1)


@pytest.mark.parametrize(("limit", "number"), [(1, 4), (2, 8), (1.0, 15), (0.5, 8), (0.01, 4)])
def test_the_limit_of_validation_counts_batches_of_all_processes(limit: float, number: int) -> None:
    loader = _loader(_data(eval_batch_size=4, limit_val=limit), "val")
    assert len(loader.sampler) == number


class TestWorkers:
    @pytest.mark.parametrize("stage", ["train", "val"])
    def test_episodes_are_the_same_for_any_number_of_workers(self, equal: Equal, stage: str) -> None:
        options: dict[str, Any] = {
            "augment": Augment(32),
            "options": EpisodeOptions(shots=(1, 3)),
            "eval_batch_size": 3,
        }
        alone = [_batches(_loader(_data(**options), stage), epoch) for epoch in (0, 1)]
        for workers in (1, 2):
            loader = _loader(_data(num_workers=workers, **options), stage)
            assert all(equal(_batches(loader, epoch), alone[epoch]) for epoch in (0, 1))
        assert equal(*alone) == (stage != "train")

    def test_what_a_worker_gets_can_be_sent_to_it(self, equal: Equal) -> None:
        data = _data()
        for loader in (data.train_dataloader(), data.val_dataloader()):
            dataset: Any = loader.dataset
            assert equal(pickle.loads(pickle.dumps(dataset))[(0, 1)], dataset[(0, 1)])

    @pytest.mark.parametrize("batch_size", [1, 5])
    def test_the_size_of_evaluation_batches_does_not_matter(self, equal: Equal, batch_size: int) -> None:
        few, many = (_data(eval_batch_size=size).val_dataloader() for size in (batch_size, 16))
        targets = [torch.cat([batch.target for batch in loader]) for loader in (few, many)]
        assert equal(*targets)

    def test_the_seed_decides_training_and_the_other_seed_evaluation(self, equal: Equal) -> None:
        data, other, again = _data(), _data(seed=1), _data(eval_seed=1)
        assert not equal(_batches(data.train_dataloader()), _batches(other.train_dataloader()))
        assert equal(_batches(data.train_dataloader()), _batches(again.train_dataloader()))
        assert equal(_batches(data.val_dataloader()), _batches(other.val_dataloader()))
        assert not equal(_batches(data.val_dataloader()), _batches(again.val_dataloader()))


class TestModes:
    @pytest.mark.parametrize(
        ("kind", "mode"),
        [(InteractiveEpisodes, "interactive"), (SemanticEpisodes, "semantic"), (VideoEpisodes, "video")],
    )
    def test_each_mode_has_its_data_module(self, kind: type[Episodes], mode: Mode) -> None:
        data = kind(source=shapes, batch_size=4, steps_per_epoch=2, val_episodes=3, num_workers=0)
        for loader in (data.train_dataloader(), data.val_dataloader()):
            assert {meta["mode"] for batch in _batches(loader) for meta in batch.metas} == {mode}

    def test_the_mixture_keeps_its_weights(self) -> None:
        weights: dict[Mode, float] = {"interactive": 1, "video": 3}
        data = MixedEpisodes(weights=weights, source=shapes, batch_size=20, steps_per_epoch=10, num_workers=0)
        modes = Counter(meta["mode"] for batch in _batches(data.train_dataloader()) for meta in batch.metas)
        assert set(modes) == {"interactive", "video"}
        assert modes["video"] / 200 == pytest.approx(0.75, abs=0.12)

    def test_validation_has_every_trained_mode(self) -> None:
        metas = [meta for batch in _batches(_data().val_dataloader()) for meta in batch.metas]
        assert [meta["mode"] for meta in metas] == [mode for mode in MODES for _ in range(5)]
        assert [meta["index"] for meta in metas] == list(range(15))

    def test_modes_that_the_source_lacks_are_left_out_with_a_warning(
        self, folder: Callable[..., Path], caplog: pytest.LogCaptureFixture
    ) -> None:
        source = partial(Folder, folder({f"{i}": (1, 2) for i in range(10)}))
        data = _data(source=source)
        with caplog.at_level(logging.WARNING):
            data.setup("fit")
        assert caplog.messages == ["folder has no video tasks; training without them."]
        assert data.weights == {"interactive": 1.0, "semantic": 1.0}
        for loader in (data.train_dataloader(), data.val_dataloader()):
            assert {meta["mode"] for batch in _batches(loader) for meta in batch.metas} == {"interactive", "semantic"}

    def test_a_mode_of_no_weight_is_not_missed(
        self, folder: Callable[..., Path], caplog: pytest.LogCaptureFixture
    ) -> None:
        data = _data({**EQUALLY, "video": 0.0}, source=partial(Folder, folder({f"{i}": (1, 2) for i in range(10)})))
        with caplog.at_level(logging.WARNING):
            data.setup("fit")
        assert not caplog.messages

    def test_no_mode_at_all_is_refused(self, davis: Callable[..., Path]) -> None:
        source = partial(Davis, davis({"dog": [(1,)] * 4, "cat": [(1,)] * 4}, {"bear": [(1,)] * 4}))
        data = SemanticEpisodes(source=source, num_workers=0)
        with pytest.raises(DataError, match="'davis' has no tasks for mode=semantic; it supports interactive, video"):
            data.setup("fit")

    @pytest.mark.parametrize("weights", [{"video": 0.0}, {"video": -1.0, "semantic": 2.0}])
    def test_weights_that_mean_nothing_are_refused(self, weights: dict[Mode, float]) -> None:
        with pytest.raises(DataError, match=r"mode\.weights=.* expected no negative weight, and one above 0"):
            _data(weights)

    def test_validation_without_the_trained_modes_is_refused(self) -> None:
        def source(split: str) -> Shapes:
            made = shapes(split)
            made.modes = ("interactive",) if split == "val" else MODES
            return made

        with pytest.raises(DataError, match=r"validation split of 'shapes' has no tasks for \['semantic'\]"):
            _data({"semantic": 1.0}, source=source).val_dataloader()


class TestSeveralLabels:
    def test_training_draws_them_and_validation_has_the_most(self) -> None:
        data = _data(options=EpisodeOptions(objects=(1, 2)))
        data.setup("fit")
        labels = {k for batch in _batches(data.train_dataloader()) for k in batch.labels}
        assert labels == {2, 3}
        assert {k for batch in _batches(data.val_dataloader()) for k in batch.labels} == {3}

    def test_episodes_are_the_same_for_any_number_of_workers(self, equal: Equal) -> None:
        drawn = EpisodeOptions(objects=(1, 3), shots=(1, 2))
        options: dict[str, Any] = {"options": drawn, "points": PointRange(vary="label")}
        alone, worker = (_batches(_data(num_workers=n, **options).train_dataloader()) for n in (0, 1))
        assert equal(alone, worker)


class TestSizes:
    def test_batches_in_an_epoch(self) -> None:
        data = _data()
        assert [len(batch) for batch in _batches(data.train_dataloader())] == [4, 4, 4]
        assert len(data.train_dataloader()) == 3

    def test_validation_has_one_shot_and_five_dots(self) -> None:
        for batch in _data(val_episodes=2).val_dataloader():
            assert len(batch.shot_image) == len(batch)
            assert len(batch.points) == 10 * len(batch)


class Recorder(LightningModule):
    """One weight that learns from whatever is in a batch, and a list of what was."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(3))
        self.seen: list[str] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        digest = hashlib.sha256(batch.images.numpy().tobytes() + batch.points.numpy().tobytes())
        self.seen.append(digest.hexdigest()[:8])
        return ((self.weight - batch.images.mean(dim=(0, 2, 3))) ** 2).sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("score", float(batch.images.mean()), batch_size=len(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.1)


def _fit(folder: Path, epochs: int, resume: Path | None = None) -> Recorder:
    quiet_lightning()
    module = Recorder()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        callbacks=[ModelCheckpoint(folder, save_last=True)],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    trainer.fit(module, _data(num_workers=1), ckpt_path=resume, weights_only=True)
    return module


def test_a_resumed_training_sees_the_same_episodes(tmp_path: Path) -> None:
    whole = _fit(tmp_path / "whole", 3)
    start = _fit(tmp_path / "part", 1)
    rest = _fit(tmp_path / "part", 3, tmp_path / "part/last.ckpt")
    assert start.seen + rest.seen == whole.seen
    assert len(set(whole.seen)) == 9
    assert torch.equal(rest.weight, whole.weight)
    assert np.isfinite(whole.weight.detach().numpy()).all()

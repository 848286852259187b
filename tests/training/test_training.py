"""The LightningModule, its callbacks, and what they cost beside a bare loop."""

from __future__ import annotations

import logging
import os
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from jaxtyping import Float
from pytorch_lightning import LightningModule, Trainer
from support.scripts import script
from torch import Tensor, nn
from torch.utils.data import DataLoader

from guided_seg.data.source import Mode
from guided_seg.episode import Batch, Episode, Shot, collate
from guided_seg.errors import DataError, UserError
from guided_seg.model.backbone import Small
from guided_seg.model.conditioning import Conditioning
from guided_seg.model.features import Features
from guided_seg.model.guide.guide import Guidance
from guided_seg.model.network import StagedNetwork
from guided_seg.model.segmentor import Segmentor
from guided_seg.training import callbacks
from guided_seg.training.callbacks import BrokenFiles, Clock, EpisodePictures, peak_memory
from guided_seg.training.lightning_messages import quiet_lightning
from guided_seg.training.module import EpisodicSegmentation, new_metric

ROOT = Path(__file__).parents[2]
SIZE = 16
QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
TRAINER = Trainer(**QUIET)


class Red(Conditioning):
    """Scores by the red channel alone."""

    def compare(self, prepared: tuple[Tensor, ...], guidance: Guidance) -> Tensor:
        return torch.stack([1 - prepared[0][:, :1], prepared[0][:, :1]], dim=1)


class Right(StagedNetwork):
    """Answers what the red channel of the query says; counts the images that it encodes."""

    def __init__(self) -> None:
        super().__init__(Small(width=4, blocks=0))
        self.encoded = 0

    def encode(self, images: Float[Tensor, "N 3 H W"], sizes: Tensor) -> Features:
        self.encoded += len(images)
        return Features(images, sizes, sizes)

    @property
    def segmentor(self) -> Segmentor:
        return Segmentor(Red(), self.decoder)

    def extract(self, features: Features, batch: Batch) -> Guidance:
        return Guidance(torch.zeros(len(batch), 2, 0), torch.zeros(len(batch), 2, dtype=torch.bool))


def episode(mode: Mode, index: int, group: str = "a", wrong: bool = False) -> Episode:
    """A square that `Right` finds, or misses altogether, shown densely twice (once where it is interactive)."""
    target = torch.zeros(SIZE, SIZE, dtype=torch.uint8)
    target[4:12, 4:12] = 1
    image = torch.zeros(3, SIZE, SIZE)
    image[0] = (1 - target if wrong else target).float()
    shots = [Shot(image, mask=target, is_query=True)] if mode == "interactive" else []
    shots = shots or [Shot(torch.zeros(3, SIZE, SIZE), mask=target) for _ in range(2)]
    meta = {"mode": mode, "group": group, "groups": (group,), "index": index, "broken": [], "source": "made up"}
    return Episode(image, target, shots, meta)


def module() -> EpisodicSegmentation:
    return EpisodicSegmentation(Right())


class TestValidation:
    def logged(self, *episodes: Episode) -> dict[str, float]:
        found: dict[str, float] = {}
        made = module()
        made.log = lambda name, value, **_: found.update({name: value})  # type: ignore[method-assign]
        made.log_dict = lambda values, **_: found.update(values)  # type: ignore[method-assign]
        made.validation_step(collate(episodes), 0)
        made.on_validation_epoch_end()
        return found

    def test_the_selected_score_is_the_mean_over_modes_not_over_episodes(self) -> None:
        right = [episode("interactive", index) for index in range(3)]
        found = self.logged(*right, episode("semantic", 0, wrong=True))
        assert {name: found[name] for name in ("val/interactive", "val/semantic", "val/positive_iou")} == {
            "val/interactive": 1.0,
            "val/semantic": 0.0,
            "val/positive_iou": 0.5,
        }

    def test_the_loss_of_a_mode_is_the_mean_over_its_episodes_that_have_one(self) -> None:
        void = replace(episode("semantic", 1), target=torch.full((SIZE, SIZE), 255, dtype=torch.uint8))
        found = self.logged(episode("interactive", 0), episode("semantic", 0, wrong=True), void)
        wrong = episode("semantic", 0, wrong=True)
        scores = torch.stack([1 - wrong.query[0], wrong.query[0]])[None]
        expected = nn.functional.cross_entropy(scores, wrong.target[None].long()).item()
        assert found["val/semantic_loss"] == pytest.approx(expected)
        assert 0 < found["val/interactive_loss"] < found["val/semantic_loss"]
        assert "val/video_loss" not in found

    def test_modes_that_were_not_validated_do_not_count(self) -> None:
        found = self.logged(episode("video", 0))
        assert found.keys() == {"val/video", "val/video_loss", "val/positive_iou"}
        assert found["val/positive_iou"] == found["val/video"] == 1

    def test_a_second_validation_starts_anew(self) -> None:
        made = module()
        made.log = lambda *_, **__: None  # type: ignore[method-assign]
        found: list[dict[str, float]] = []
        made.log_dict = lambda values, **_: found.append(values)  # type: ignore[method-assign]
        for wrong in (True, False):
            made.validation_step(collate([episode("video", 0, wrong=wrong)]), 0)
            made.on_validation_epoch_end()
        assert [each["val/video"] for each in found] == [0.0, 1.0]
        assert found[0]["val/video_loss"] > found[1]["val/video_loss"]


def test_video_is_the_mean_over_frames_and_other_modes_pool() -> None:
    assert (new_metric("video").within, new_metric("video").resample) == ("mean", "groups")
    assert (new_metric("semantic").within, new_metric("semantic").resample) == ("pool", "episodes")


class TestOptimisation:
    def test_only_what_is_trainable_is_optimised(self) -> None:
        network = Right()
        network.backbone.stem.requires_grad_(False)
        made = EpisodicSegmentation(network, optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0))
        optimizer = made.configure_optimizers()
        trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        assert trained == {id(parameter) for parameter in network.parameters() if parameter.requires_grad}
        assert 0 < len(trained) < len(list(network.parameters()))

    def test_pretrained_stages_learn_at_their_own_rate_all_along_the_schedule(self) -> None:
        network = Right()
        stem = list(network.backbone.stem.parameters())
        network.backbone.stages = lambda: [network.backbone.stem]  # type: ignore[method-assign]
        made = EpisodicSegmentation(
            network,
            partial(torch.optim.AdamW, lr=1.0),
            partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=1.0),
            pretrained_lr=0.1,
        )
        made.trainer = SimpleNamespace(estimated_stepping_batches=10)  # type: ignore[assignment]
        found = made.configure_optimizers()
        optimizer, schedule = found["optimizer"], found["lr_scheduler"]["scheduler"]
        assert {id(w) for w in optimizer.param_groups[1]["params"]} == {id(w) for w in stem}
        for _ in range(9):
            fast, slow = (group["lr"] for group in optimizer.param_groups)
            assert slow == pytest.approx(0.1 * fast)
            optimizer.step()
            schedule.step()

    @pytest.mark.parametrize("share", [0.0, -1.0])
    def test_a_rate_that_cannot_be_is_refused(self, share: float) -> None:
        with pytest.raises(UserError, match=r"optimizer.pretrained_lr=.*expected a number above 0"):
            EpisodicSegmentation(Right(), pretrained_lr=share)

    def test_the_loss_leaves_out_what_is_ignored(self) -> None:
        made = module()
        made.log_every = 1000
        one = episode("interactive", 0)
        clean = made.training_step(collate([one]), 0)
        target = one.target.clone()
        target[0] = 255
        image = one.query.clone()
        image[0, 0] = 1 - image[0, 0]  # wrong, and only where it does not count
        shots = [Shot(image, mask=one.target, is_query=True)]
        assert made.training_step(collate([Episode(image, target, shots, one.meta)]), 0) == pytest.approx(clean)
        assert made.training_step(collate([Episode(image, one.target, shots, one.meta)]), 0) > clean

    def test_the_norm_of_the_gradient_is_logged_with_the_loss(self) -> None:
        made = module()
        found: dict[str, Any] = {}
        made.log = lambda name, value, **_: found.update({name: value})  # type: ignore[method-assign]
        weights = list(made.parameters())
        for number, weight in enumerate(weights):
            weight.grad = torch.full_like(weight, float(number))
        squares = sum(number**2 * weight.numel() for number, weight in enumerate(weights))
        made.log_every = 2
        made.on_before_optimizer_step(torch.optim.SGD(weights, lr=1.0))
        assert found == {}, "in the first of two steps nothing is logged, nor computed"
        made.log_every = 1
        made.on_before_optimizer_step(torch.optim.SGD(weights, lr=1.0))
        assert found["train/gradient_norm"] == pytest.approx(squares**0.5)


class TestEpisodePictures:
    @pytest.fixture
    def drawn(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The names of the pictures, which are not drawn."""
        found: list[str] = []
        monkeypatch.setattr(callbacks, "panels", lambda _, path, *__: found.append(path.name) or path)
        monkeypatch.setattr(callbacks, "log_image", lambda *_: None)
        return found

    def trainer(self, step: int, epoch: int = 0) -> Any:
        data = SimpleNamespace(pictured=lambda: [episode("video", 0)])
        precision = SimpleNamespace(forward_context=nullcontext)
        counts = {"global_step": step, "current_epoch": epoch, "max_epochs": 11}
        return Mock(spec=Trainer, datamodule=data, precision_plugin=precision, loggers=[], **counts)

    def test_they_become_rare_and_the_last_validation_has_one(self, tmp_path: Path, drawn: list[str]) -> None:
        callback, made = EpisodePictures(tmp_path), module().eval()
        callback.on_train_start(self.trainer(0), made)
        for epoch in range(11):
            callback.on_validation_epoch_end(self.trainer(10 * (epoch + 1), epoch), made)
        assert drawn == [f"step_{step:07d}.png" for step in (10, 20, 40, 80, 110)]

    def test_a_start_forgets_the_pictures_of_steps_that_are_yet_to_come(self, tmp_path: Path) -> None:
        for step in (10, 20, 40):
            (tmp_path / f"step_{step:07d}.png").touch()
        EpisodePictures(tmp_path).on_train_start(self.trainer(20), module())
        assert sorted(path.name for path in tmp_path.iterdir()) == ["step_0000010.png", "step_0000020.png"]


class TestClock:
    @pytest.fixture(autouse=True)
    def time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(callbacks.time, "perf_counter", lambda: self.now)

    def spend(self, clock: Clock, action: str, seconds: float) -> None:
        with clock.profile(action):
            self.now += seconds

    def test_the_share_is_waiting_over_waiting_and_working(self) -> None:
        clock = Clock()
        for _ in range(4):
            self.spend(clock, "[_TrainingEpochLoop].train_dataloader_next", 1.0)
            self.now += 100.0  # what is neither does not count
            self.spend(clock, "run_training_batch", 3.0)
        assert clock.data_wait_share == pytest.approx(0.25)

    def test_other_actions_do_not_count(self) -> None:
        clock = Clock()
        self.spend(clock, "[_EvaluationLoop].val_next", 5.0)
        self.spend(clock, "[LightningModule]EpisodicSegmentation.optimizer_step", 5.0)
        assert clock.data_wait_share == 0.0

    def test_it_is_nothing_before_training(self) -> None:
        assert Clock().data_wait_share == 0.0


def test_lightning_still_names_its_actions_as_the_clock_expects(tmp_path: Path) -> None:
    """The share would silently be 0 or 1 if it did not."""

    class Tiny(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 1)

        def training_step(self, batch: Tensor, _: int) -> Tensor:
            return self.layer(batch).sum()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    clock = Clock()
    quiet_lightning()
    trainer = Trainer(max_epochs=1, profiler=clock, default_root_dir=str(tmp_path), **QUIET)
    trainer.fit(Tiny(), DataLoader([0, 1, 2], collate_fn=lambda rows: torch.ones(len(rows), 1)))
    assert 0 < clock.data_wait_share < 1
    assert all(seconds > 0 for seconds in clock._total.values())


def test_peak_memory_is_in_bytes() -> None:
    assert 2**26 < peak_memory() < 2**40


class TestBrokenFiles:
    def feed(self, callback: BrokenFiles, *broken: list[str]) -> None:
        episodes = [episode("video", number) for number in range(len(broken))]
        for made, messages in zip(episodes, broken, strict=True):
            made.meta["broken"] = messages
        callback.on_train_batch_start(TRAINER, module(), collate(episodes), 0)

    def test_a_broken_file_is_reported_once_and_counted(self, caplog: pytest.LogCaptureFixture) -> None:
        callback = BrokenFiles(limit=0.5)
        with caplog.at_level(logging.WARNING):
            self.feed(callback, [], ["a.jpg is cut off"], [])
            self.feed(callback, ["a.jpg is cut off"], ["b.jpg is cut off"])
        assert caplog.messages == ["Skipped a broken file: a.jpg is cut off", "Skipped a broken file: b.jpg is cut off"]
        assert (callback.skipped.episodes, callback.skipped.broken) == (5, 3)

    def test_too_many_are_fatal_but_not_at_the_very_start(self) -> None:
        callback = BrokenFiles(limit=0.02, grace=100)
        self.feed(callback, ["a.jpg is cut off"], ["b.jpg is cut off"])
        with pytest.raises(
            DataError, match=r"3 of 3 episodes met a broken file \(3 files\), more than the limit of 2.0%"
        ):
            self.feed(callback, ["c.jpg is cut off"])

    def test_the_counts_go_on_after_a_resume(self) -> None:
        first, second = BrokenFiles(), BrokenFiles()
        self.feed(first, ["a.jpg is cut off"], [])
        second.load_state_dict(first.state_dict())
        assert (second.skipped.episodes, second.skipped.broken) == (2, 1)


# ---- what Lightning, logging and metrics cost beside a bare loop ----


@pytest.fixture
def measure() -> ModuleType:
    """The script that measures it."""
    return script("overhead/measure")


def test_lightning_and_logging_cost_little(measure: ModuleType, tmp_path: Path) -> None:
    """The figure itself is the script's; a machine that does other work says little about 5 %."""
    quiet = os.getloadavg()[0] < 0.5
    found = measure.measure(tmp_path, blocks=2, overrides=["data.training.batch_size=4", "data.size=48"])
    assert len(found.bare) == len(found.lightning) == 2
    assert min(found.bare + found.lightning) > 0
    assert (tmp_path / "metrics.csv").stat().st_size > 0, "logging is part of what is measured"
    if quiet:
        assert found.overhead < 1.0, "a step of so small a model is a few milliseconds"

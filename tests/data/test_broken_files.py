"""Files that break in the middle of a run, after the source has found them whole."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from guided_seg.data.datamodule import Episodes
from guided_seg.data.sampling.points import PointRange
from guided_seg.data.source import Mode
from guided_seg.data.sources.folder import Folder
from guided_seg.data.training_episodes import TrainEpisodes
from guided_seg.episode import Batch, Episode, Shot, collate
from guided_seg.errors import DataError
from guided_seg.settings.episode_options import EpisodeOptions
from guided_seg.training.callbacks import BrokenFiles

Equal = Callable[[object, object], bool]
BROKEN = "images/4.jpg"


@pytest.fixture
def root(folder: Callable[..., Path]) -> Path:
    return folder({f"{i}": (1, 2) for i in range(10)})


def _data(root: Path, mode: Mode = "semantic") -> TrainEpisodes:
    source = Folder(root, "train", whole=True)
    return TrainEpisodes(source, {mode: 1.0}, PointRange(), EpisodeOptions(shots=(1, 2)), None, 0)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


class TestValidation:
    def test_the_episode_of_a_broken_file_is_left_out_and_named(self, root: Path) -> None:
        data = Episodes(partial(Folder, root, whole=True), {"interactive": 1.0}, num_workers=0, val_episodes=100)
        loader = data.val_dataloader()
        _cut(root / BROKEN)
        episodes = [loader.dataset[(0, index)] for index in range(len(loader.dataset))]
        left_out = [episode for episode in episodes if episode.meta["broken"]]
        assert 0 < len(left_out) < len(episodes)
        for episode in left_out:
            assert BROKEN in episode.meta["broken"][0].replace("\\", "/")
            assert episode.meta["mode"] == "interactive"
            assert (episode.target == 255).all()
        assert len(collate(episodes)) == len(episodes)


class TestEpisodes:
    @pytest.mark.parametrize("mode", ["interactive", "semantic"])
    @pytest.mark.parametrize("file", [BROKEN, "masks/4.png"])
    def test_the_next_draw_takes_the_place_of_a_broken_one(
        self, root: Path, equal: Equal, mode: Mode, file: str
    ) -> None:
        data = _data(root, mode)
        whole = [data[(0, index)] for index in range(60)]
        path = root / file
        _cut(path)
        replaced = 0
        for index, before in enumerate(whole):
            episode = data[(0, index)]
            broken = episode.meta["broken"]
            if not broken:
                assert equal(episode, before)
                continue
            replaced += 1
            assert all(str(path) in message for message in broken)
            rng = np.random.default_rng((0, 0, index, len(broken)))
            assert equal(episode, data._draw(rng, broken).episode)
        assert replaced in (range(1, 15) if mode == "interactive" else range(6, 35))  # one, or two or three, of ten

    def test_a_missing_file_counts_as_broken(self, root: Path) -> None:
        data = _data(root)
        (root / BROKEN).unlink()
        messages = [message for index in range(40) for message in data[(0, index)].meta["broken"]]
        assert messages
        assert all("4.jpg does not exist" in message for message in messages)

    def test_several_broken_draws_in_a_row_are_all_named(self, root: Path) -> None:
        data = _data(root, "interactive")
        for number in range(4):
            _cut(root / f"images/{number}.jpg")
        broken = [data[(0, index)].meta["broken"] for index in range(30)]
        assert max(map(len, broken)) > 1
        assert all(f"{number}.jpg" in str(broken) for number in range(4))

    def test_where_all_is_broken_the_run_ends(self, root: Path) -> None:
        data = _data(root)
        for path in (root / "images").iterdir():
            _cut(path)
        with pytest.raises(DataError, match=r"20 draws in a row met a broken file; the last: The image .* is cut off"):
            data[(0, 0)]


def _batch(*broken: list[str]) -> Batch:
    """Episodes that met these files."""
    image, target = torch.zeros(3, 4, 4), torch.zeros(4, 4, dtype=torch.uint8)
    shot = Shot(image, points=torch.tensor([[0, 0, 1]]), is_query=True)
    return collate([Episode(image, target, [shot], {"broken": messages}) for messages in broken])


def _feed(callback: BrokenFiles, batch: Batch, times: int = 1) -> None:
    unused: Any = object.__new__(_Unused)
    for index in range(times):
        type(callback).on_train_batch_start.__wrapped__(callback, unused, unused, batch, index)


class _Unused:
    """The callback needs neither trainer nor module."""


class TestCallback:
    def test_counts_and_warns_once_a_file(self, caplog: pytest.LogCaptureFixture) -> None:
        callback = BrokenFiles(limit=0.5)
        with caplog.at_level(logging.WARNING):
            _feed(callback, _batch([], ["a is cut off"], ["a is cut off", "b is missing"]), times=3)
        assert (callback.skipped.episodes, callback.skipped.broken) == (9, 6)
        assert caplog.messages == ["Skipped a broken file: a is cut off", "Skipped a broken file: b is missing"]

    def test_passes_the_limit_only_after_some_episodes(self) -> None:
        callback = BrokenFiles(limit=0.02, grace=100)
        _feed(callback, _batch(["a"], ["b", "a"]))  # 2 of 2, but of the first hundred 2 may break
        _feed(callback, _batch([], []), times=74)
        _feed(callback, _batch(["a"], []))
        with pytest.raises(
            DataError, match=r"^4 of 154 episodes met a broken file \(2 files\), more than the limit of 2.0%; repair"
        ):
            _feed(callback, _batch(["a"], []))

    def test_no_broken_file_at_all_where_the_limit_is_none(self) -> None:
        callback = BrokenFiles(limit=0.0)
        _feed(callback, _batch([], []))
        with pytest.raises(DataError, match="1 of 4 episodes"):
            _feed(callback, _batch(["a"], []))

    def test_counts_go_on_after_a_resume(self) -> None:
        first, second = BrokenFiles(limit=0.02), BrokenFiles(limit=0.02)
        _feed(first, _batch(["a"], []))
        second.load_state_dict(first.state_dict())
        _feed(second, _batch(["a"], []))
        assert second.state_dict() == {"episodes": 4, "broken": 2}
        with pytest.raises(DataError, match="3 of 6"):
            _feed(second, _batch(["a"], []))

"""From configs to objects and back: settings, modes, and what a checkpoint holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.errors import InstantiationException
from omegaconf import OmegaConf
from running import compose_run, run

from guided_seg.build import (
    build_data,
    build_network,
    check_modes,
    check_resumable,
    checkpoint_file,
    known_modes,
    load_network,
    modes_to_test,
    read_checkpoint,
    settings,
    steps_per_epoch,
)
from guided_seg.cli import user_sentence
from guided_seg.data.source import MODES
from guided_seg.episode import Batch
from guided_seg.errors import UserError
from guided_seg.model.baseline import ForegroundBackground
from guided_seg.model.network import GuidedNetwork
from guided_seg.session import Session
from guided_seg.training.module import EpisodicSegmentation


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def batch() -> Batch:
    data = build_data(compose_run("data.size=48", "num_workers=0", "data.training.batch_size=4"))
    first: Batch = next(iter(data.train_dataloader()))
    return first


def plain(value: Any) -> bool:
    """Nothing but what ``weights_only`` loading needs no trust for."""
    if isinstance(value, dict):
        return all(isinstance(key, str | int) and plain(entry) for key, entry in value.items())
    if isinstance(value, list | tuple):
        return all(plain(entry) for entry in value)
    return value is None or isinstance(value, str | int | float | bool | torch.Tensor)


def test_a_run_folder_stands_for_its_best_checkpoint(trained: Path, tmp_path: Path) -> None:
    best = trained / "checkpoints" / "best.ckpt"
    assert checkpoint_file(trained) == checkpoint_file(str(best)) == best
    whole, named = load_network(trained)[0].state_dict(), load_network(best)[0].state_dict()
    assert all(torch.equal(whole[name], named[name]) for name in named)
    loaded = Session.load(trained).model
    assert loaded is not None
    assert loaded.checkpoint == best
    with pytest.raises(UserError, match=r"has no checkpoints/best.ckpt; give the folder of a run, or a checkpoint\.$"):
        load_network(tmp_path)


@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt"])
def test_a_checkpoint_holds_plain_values_alone(trained: Path, name: str) -> None:
    content = torch.load(trained / "checkpoints" / name, weights_only=True)
    assert plain(content)
    assert not plain({"cfg": OmegaConf.create({})})
    assert content["config"]["backbone"]["width"] == 16
    assert content["config"]["data"]["name"] == "shapes"
    assert content["config"]["seed"] == 0


@pytest.mark.parametrize("choice", ["fusion=late", "baseline=foreground_background", "conditioning.scorer=joint"])
def test_a_loaded_network_scores_as_the_module_did(tmp_path: Path, batch: Batch, choice: str) -> None:
    run(tmp_path, choice, "trainer.max_steps=3")
    path = tmp_path / "checkpoints" / "best.ckpt"
    module = EpisodicSegmentation(build_network(OmegaConf.load(tmp_path / "config.yaml")))
    module.load_state_dict(torch.load(path, weights_only=True)["state_dict"])
    network, cfg = load_network(path)
    assert cfg.name == "run"
    with torch.no_grad():
        expected, found = module.eval()(batch), network(batch)
    assert torch.equal(found, expected)
    assert found.std() > 0


def test_what_is_not_chosen_is_not_built() -> None:
    guided, floor = (build_network(compose_run(*o)) for o in ([], ["baseline=foreground_background"]))
    assert isinstance(guided, GuidedNetwork)
    assert isinstance(floor, ForegroundBackground)
    assert guided.backbone.channels == floor.backbone.channels == 64


@pytest.mark.parametrize(
    ("steps", "every", "expected"), [(800, 200, 200), (500, 200, 125), (2, 200, 2), (7, 2, 1), (900, 225, 225)]
)
def test_the_last_step_is_validated(steps: int, every: int, expected: int) -> None:
    assert steps_per_epoch(steps, every) == expected
    assert steps % expected == 0


@pytest.mark.parametrize("steps", [101, 1009, 997])
def test_prime_numbers_of_steps_lose_few(steps: int) -> None:
    length = steps_per_epoch(steps, 50)
    assert length <= 50
    assert 0 <= steps - steps // length * length < 0.1 * steps


def test_settings_are_all_pairs() -> None:
    cfg = compose_run("evaluation.shots=[1,5]", "evaluation.points=[3,dense]")
    assert settings(cfg) == [(1, 3), (1, None), (5, 3), (5, None)]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("evaluation.points=[0]", r"evaluation.points=\[0\]: expected a list of whole numbers from 1 or dense"),
        ("evaluation.points=[1,many]", r"evaluation.points=\[1, 'many'\]: expected"),
        ("evaluation.points=[]", r"evaluation.points=\[\]"),
        ("evaluation.points=[1.5]", r"evaluation.points=\[1.5\]"),
        ("evaluation.points=[true]", r"evaluation.points=\[True\]"),
        ("evaluation.shots=[-1]", r"evaluation.shots=\[-1\]: expected a list of whole numbers from 1\."),
        ("evaluation.shots=[dense]", r"evaluation.shots"),
        ("evaluation.shots=1", r"evaluation.shots=1: expected a list"),
        ("evaluation.episodes=0", "evaluation.episodes=0: expected a whole number from 1, or null"),
    ],
)
def test_settings_that_cannot_be_are_refused(override: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        settings(compose_run(override))


@pytest.mark.parametrize(
    "override",
    [
        "trainer.max_steps=0",
        "trainer.max_steps=-1",
        "data.training.validate_every=0",
        "data.training.batch_size=0",
        "data.training.val_episodes=0",
        "evaluation.batch_size=0",
        "trainer.log_every_n_steps=0",
        "num_workers=-1",
        "episode.shots=[3,1]",
        "episode.shots=[0,1]",
        "episode.shots=[1]",
        "episode.objects=[0,1]",
        "episode.points.vary=image",
        "episode.points.low=0",
        "episode.points.dense=2",
    ],
)
def test_numbers_that_cannot_be_are_refused_by_name(override: str) -> None:
    def refuse() -> None:
        settings(compose_run(override))
        build_data(compose_run(override))

    with pytest.raises((UserError, InstantiationException)) as caught:
        refuse()
    sentence = user_sentence(caught.value)
    assert sentence is not None
    assert override.split("=", maxsplit=1)[0] in sentence
    assert "expected" in sentence or "lie in" in sentence


def test_modes_by_name() -> None:
    assert known_modes(["video", "interactive"]) == ["interactive", "video"]
    with pytest.raises(UserError, match=r"no mode 'vidoe'; choose from interactive, semantic, video"):
        known_modes(["vidoe"])


def test_local_guidance_is_refused_on_other_images() -> None:
    network = build_network(compose_run("locality=local"))
    check_modes(network, ["interactive"])
    with pytest.raises(UserError, match=r"locality=local .* mode=video .* choose locality=global or mode=interactive"):
        check_modes(network, ["video"])
    with pytest.raises(UserError, match=r"mode=mixed has semantic and video tasks"):
        check_modes(network, list(MODES))
    check_modes(build_network(compose_run()), list(MODES))


def test_modes_to_test_are_what_network_data_and_settings_allow() -> None:
    local, both = build_network(compose_run("locality=local")), build_network(compose_run())
    data = build_data(compose_run())
    assert modes_to_test(both, data, list(MODES), [(1, 5)]) == list(MODES)
    assert modes_to_test(local, data, list(MODES), [(1, 5)]) == ["interactive"]
    assert modes_to_test(both, data, list(MODES), [(5, 5)]) == ["semantic", "video"]
    for network, modes, asked in (
        (local, ["video"], [(1, 5)]),
        (both, ["interactive"], [(5, 5)]),
        (both, [], [(1, 5)]),
    ):
        with pytest.raises(UserError, match=r"Nothing is left to test"):
            modes_to_test(network, data, modes, asked)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    text, tensors, cut = tmp_path / "text.ckpt", tmp_path / "tensors.ckpt", tmp_path / "cut.ckpt"
    text.write_text("no checkpoint")
    torch.save({"weight": torch.zeros(3)}, tensors)
    cut.write_bytes(tensors.read_bytes()[:200])
    with pytest.raises(UserError, match=r"no checkpoint .*missing.ckpt; give the path"):
        read_checkpoint(tmp_path / "missing.ckpt")
    with pytest.raises(UserError, match=r"no checkpoint .*; give the path"):
        read_checkpoint(tmp_path)
    for path in (text, cut):
        with pytest.raises(UserError, match=r"cannot be read as a checkpoint"):
            read_checkpoint(path)
    with pytest.raises(UserError, match=r"is no checkpoint of guided_seg.run: it carries no config"):
        read_checkpoint(tensors)


def test_a_checkpoint_that_would_run_code_is_refused_unrun(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    torch.save({"config": {}, "state_dict": {}, "trap": Trap()}, tmp_path / "evil.ckpt")
    with pytest.raises(UserError, match=r"cannot be read as a checkpoint"):
        read_checkpoint(tmp_path / "evil.ckpt")
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_without_a_choice_that_there_is_now_is_refused(trained: Path, tmp_path: Path) -> None:
    content = read_checkpoint(trained / "checkpoints/best.ckpt")
    del content["config"]["decoder"]
    torch.save(content, tmp_path / "old.ckpt")
    with pytest.raises(UserError, match=r"lacks the choice of decoder\); it was written by another version"):
        load_network(tmp_path / "old.ckpt")


def test_tensors_that_do_not_fit_their_config_are_refused(trained: Path, tmp_path: Path) -> None:
    content = read_checkpoint(trained / "checkpoints/best.ckpt")
    content["config"]["backbone"]["width"] = 8
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(UserError, match=r"do not fit the network that it names .* another version") as caught:
        load_network(tmp_path / "other.ckpt")
    assert "\n" not in str(caught.value)


def test_pretrained_weights_are_not_asked_for_again(tmp_path: Path) -> None:
    """A checkpoint holds them, so it opens where their file is not."""
    weights = tmp_path / "missing.pth"
    cfg = compose_run("backbone=vgg16_lite", "backbone.weights=random", "backbone.width=4")
    network = build_network(cfg)
    cfg.backbone.weights = str(weights)
    cfg = OmegaConf.to_container(cfg, resolve=False)
    state = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"config": cfg, "state_dict": state}, tmp_path / "vgg.ckpt")
    loaded, _ = load_network(tmp_path / "vgg.ckpt")
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name])


def test_other_weights_and_frozen_parts_may_be_resumed(trained: Path) -> None:
    """They do not change the tensors' shapes; all that does is compared."""
    content = read_checkpoint(trained / "checkpoints/last.ckpt")["config"]
    assert content["length"]["trainer.max_steps"] == 2
    check_resumable(trained / "checkpoints/last.ckpt", OmegaConf.load(trained / "config.yaml"))

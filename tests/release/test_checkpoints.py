"""What a checkpoint holds, and the network that it becomes again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from support.commands import compose_run, run

from guided_seg.composition.build import build_data, build_network, network_config
from guided_seg.episode import Batch
from guided_seg.errors import UserError
from guided_seg.release.load import check_resumable, checkpoint_file, load_network, read_checkpoint
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
    with pytest.raises(
        UserError, match=r"has neither checkpoints/best.ckpt nor model.safetensors; give the folder of a"
    ):
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


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    text, tensors, cut = tmp_path / "text.ckpt", tmp_path / "tensors.ckpt", tmp_path / "cut.ckpt"
    text.write_text("no checkpoint")
    torch.save({"weight": torch.zeros(3)}, tensors)
    cut.write_bytes(tensors.read_bytes()[:200])
    with pytest.raises(UserError, match=r"no checkpoint .*missing.ckpt; give the folder"):
        load_network(tmp_path / "missing.ckpt")
    for path in (text, cut, tmp_path, tmp_path / "missing.ckpt"):
        with pytest.raises(UserError, match=r"cannot be read as a checkpoint"):
            read_checkpoint(path)
    with pytest.raises(UserError, match=r"is not a checkpoint of guided_seg.run: it has no config"):
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
    state = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"config": network_config(cfg), "state_dict": state}, tmp_path / "vgg.ckpt")
    loaded, _ = load_network(tmp_path / "vgg.ckpt")
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name])


def test_other_weights_and_frozen_parts_may_be_resumed(trained: Path) -> None:
    """They do not change the tensors' shapes; all that does is compared."""
    content = read_checkpoint(trained / "checkpoints/last.ckpt")["config"]
    assert content["length"]["trainer.max_steps"] == 2
    check_resumable(trained / "checkpoints/last.ckpt", OmegaConf.load(trained / "config.yaml"))

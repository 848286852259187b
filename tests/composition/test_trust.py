"""What a file may build: nothing that it names is imported, called or made, but parts of guided_seg and of plugins."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_class
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from safetensors.torch import save_file
from support.commands import compose_run, evaluate
from support.compositions import GROUPS, whole
from support.evaluations import network_of, score, write_checkpoint
from torch import Tensor

import guided_seg
from guided_seg.composition.build import data_to_test, network_config
from guided_seg.composition.trust import NETWORK, PLUGINS, data_parts
from guided_seg.errors import UserError
from guided_seg.files.writing import sha256
from guided_seg.model.network import Network
from guided_seg.release.load import load_network, restore
from guided_seg.release.weights import ENTRY
from guided_seg.session import Session
from guided_seg.session.session import Model

Config = dict[str, Any]
SMALL = {"_target_": "guided_seg.model.backbone.Small", "width": 16, "blocks": 1}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The config and the tensors of a checkpoint; not to be changed."""
    return torch.load(write_checkpoint(tmp_path_factory.mktemp("good") / "best.ckpt"), weights_only=True)


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What exists once an attack has worked: importing ``evil_on_import`` makes it, too."""
    done = tmp_path / "done"
    (tmp_path / "evil_on_import.py").write_text(f"open({str(done)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "evil_on_import", raising=False)
    return done


# ---- the files that hold a network ----


def checkpoint(config: Config, state: dict[str, Tensor], folder: Path) -> Path:
    torch.save({"config": config, "state_dict": state}, folder / "best.ckpt")
    return folder / "best.ckpt"


def as_checkpoint(config: Config, state: dict[str, Tensor], folder: Path, _: pytest.MonkeyPatch) -> None:
    guided_seg.load(checkpoint(config, state, folder))


def released(config: Config, state: dict[str, Tensor], folder: Path) -> Path:
    bare = {key.removeprefix("network."): tensor for key, tensor in state.items()}
    save_file(bare, folder / "model.safetensors", {ENTRY: json.dumps({"config": config})})
    return folder / "model.safetensors"


def as_released(config: Config, state: dict[str, Tensor], folder: Path, _: pytest.MonkeyPatch) -> None:
    guided_seg.load(released(config, state, folder))


def from_hub(config: Config, state: dict[str, Tensor], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = released(config, state, folder)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(file.parent))
    guided_seg.load("owner/name")


def from_artifact(config: Config, state: dict[str, Tensor], folder: Path, _: pytest.MonkeyPatch) -> None:
    """Where W&B puts what ``run.use_artifact("model:v3").download()`` brings."""
    place = folder / "artifacts" / "model:v3"
    place.mkdir(parents=True)
    guided_seg.load(checkpoint(config, state, place))


def of_session(config: Config, state: dict[str, Tensor], folder: Path, _: pytest.MonkeyPatch) -> None:
    file = checkpoint(config, state, folder)
    session = Session(_untrained())
    session.model = Model(file, sha256(file), "native")
    Session.open(session.save(folder / "a.session"))


@cache
def _untrained() -> Network:
    return network_of()


FILES = [as_checkpoint, as_released, from_hub, from_artifact, of_session]
Opened = Callable[[Config, dict[str, Tensor], Path, pytest.MonkeyPatch], None]


@pytest.mark.parametrize("opened", FILES)
def test_a_good_file_of_each_kind_is_opened(
    opened: Opened, content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(content["config"], content["state_dict"], tmp_path, monkeypatch)


# ---- what they may not name ----

ATTACKS: dict[str, Callable[[str], Any]] = {
    "touch": lambda done: {
        "_target_": "pathlib.Path.touch",
        "self": {"_target_": "pathlib.Path", "_args_": [done]},
    },
    "copy": lambda done: {"_target_": "shutil.copy", "src": __file__, "dst": done},
    "eval": lambda done: {"_target_": "builtins.eval", "_args_": [f"open({done!r}, 'w').close()"]},
    "no module": lambda done: {"_target_": "eval", "_args_": [f"open({done!r}, 'w')"]},
    "partial": lambda done: {
        "_target_": "functools.partial",
        "_args_": [{"_target_": "pathlib.Path", "_args_": [done]}],
    },
    "a module's import": lambda _: {"_target_": "evil_on_import.Decoder"},
    "an import by ours": lambda _: {
        "_target_": "guided_seg.model.backbones.pretrained.importlib.import_module",
        "name": "evil_on_import",
    },
    "os by ours": lambda done: {"_target_": "guided_seg.cli.command.os.mkdir", "path": done},
    "a function of ours": lambda done: {
        "_target_": "guided_seg.files.disk.disk_refusals",
        "folder": done,
        "setting": "a",
    },
    "globals": lambda _: {"_target_": "guided_seg.model.heads.fused.Fused.__init__.__globals__"},
    "a helper of Hydra": lambda _: {"_target_": "hydra.utils.get_method", "path": "os.system"},
    "another part of ours": lambda _: {"_target_": "guided_seg.model.decoder.Bilinear"},
    "a base class": lambda _: {"_target_": "guided_seg.model.backbone.Backbone"},
    "layers of PyTorch": lambda _: {"_target_": "torch.nn.Identity"},
    "a resolver": lambda done: f"${{oc.create:{{_target_:pathlib.Path,_args_:[{done}]}}}}",
    "the environment": lambda _: SMALL | {"more": "${oc.env:HOME}"},
    "in a list": lambda done: SMALL | {"more": [[ATTACKS["copy"](done)]]},
    "in a mapping": lambda done: SMALL | {"more": {"deep": ATTACKS["copy"](done)}},
    "by position": lambda done: SMALL | {"_args_": [done]},
    "unbuilt": lambda done: SMALL | {"_recursive_": False, "more": done},
    "no name": lambda _: {"_target_": ["os.system"]},
    "a path": lambda _: {"_target_": "guided_seg.model.../../evil_on_import.Decoder"},
}


@pytest.mark.parametrize("opened", FILES)
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_file_calls_nothing_but_parts_of_networks(
    opened: Opened, attack: str, content: dict[str, Any], evil: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the backbone, as whatever stands there is called first
    config = deepcopy(content["config"]) | {"backbone": ATTACKS[attack](str(evil))}
    with pytest.raises(UserError, match=r"The config in .* (names|has values that refer to others)") as caught:
        opened(config, content["state_dict"], evil.parent, monkeypatch)
    assert "\n" not in str(caught.value)
    assert not evil.exists()
    assert "evil_on_import" not in sys.modules


@pytest.mark.parametrize("key", [*NETWORK, "backbone.neck", "resolution.longest", "conditioning.more"])
def test_no_place_in_a_config_takes_what_is_of_another_kind(key: str, content: dict[str, Any], evil: Path) -> None:
    config = OmegaConf.create(deepcopy(content["config"]))
    OmegaConf.update(config, key, ATTACKS["copy"](str(evil)), merge=False)
    with pytest.raises(UserError, match=r"names shutil.copy, which is not a part of a network of guided_seg"):
        restore(OmegaConf.to_container(config), {}, "a.ckpt")
    assert not evil.exists()


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_checkpoint_names_sources_of_data_and_nothing_else(attack: str, content: dict[str, Any], evil: Path) -> None:
    data = content["config"]["data"] | {"source": ATTACKS[attack](str(evil))}
    with pytest.raises(UserError, match=r"names .* not a source of data|values that refer|does not have"):
        data_parts(data, "a.ckpt")
    assert not evil.exists()
    assert "evil_on_import" not in sys.modules


@pytest.mark.parametrize("key", ["source", "augment", "other"])
def test_the_parts_of_a_mixture_are_sources_too(key: str, evil: Path) -> None:
    data = network_config(compose_run("data=mixture", "data.root=/nowhere"))["data"]
    data["source"]["sources"]["voc"][key] = ATTACKS["copy"](str(evil))
    with pytest.raises(UserError, match=rf"names shutil.copy, .* \(data.source.sources.voc.{key} takes"):
        data_parts(data, "a.ckpt")


def test_evaluation_builds_no_other_source_from_a_checkpoint(
    content: dict[str, Any], evil: Path, tmp_path: Path
) -> None:
    config = deepcopy(content["config"])
    config["data"]["source"] = ATTACKS["copy"](str(evil)) | {"_partial_": True}
    file = checkpoint(config, content["state_dict"], tmp_path)
    with pytest.raises(UserError, match=r"names shutil.copy, which is not a source of data of guided_seg"):
        evaluate(file, tmp_path / "out")
    with pytest.raises(UserError, match=r"names shutil.copy, which is not a source of data of guided_seg"):
        score(file, tmp_path / "scored", ["clicks"])
    assert not evil.exists()


def test_of_the_data_of_a_checkpoint_only_its_source_is_built(content: dict[str, Any], evil: Path) -> None:
    config = deepcopy(content["config"])
    config["data"]["augment"] = ATTACKS["copy"](str(evil))
    _, trained = restore(config, _bare(content), "a.ckpt")
    found = data_to_test(OmegaConf.create({"checkpoint": "a.ckpt"}), trained)
    assert set(found) == {"name", "source"}
    assert not evil.exists()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"future": 1}, "data.source.future, which guided_seg .* does not have; use the version"),
        ({"_target_": "guided_seg.data.future.Source"}, "future.Source, which guided_seg .* does not have; use the"),
        ({"_partial_": False}, "names guided_seg.data.shapes.shapes.Shapes without _partial_"),
        ({"size": "???"}, "has no value for data.source.size"),
    ],
)
def test_a_source_of_another_version_is_told(content: dict[str, Any], changed: Config, sentence: str) -> None:
    data = content["config"]["data"]
    with pytest.raises(UserError, match=sentence):
        data_parts(data | {"source": data["source"] | changed}, "a.ckpt")
    with pytest.raises(UserError, match=r"a.ckpt does not say what to test on; add data="):
        data_parts({"name": "shapes"}, "a.ckpt")


def _bare(content: dict[str, Any]) -> dict[str, Tensor]:
    return {key.removeprefix("network."): tensor for key, tensor in content["state_dict"].items()}


# ---- what they may name ----


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in NETWORK for name in GROUPS[group]])
def test_each_choice_is_of_the_kind_that_a_file_may_name(group: str, name: str) -> None:
    kind, target = NETWORK[group], whole(group, name).get("_target_")
    assert (kind is None) == (target is None)
    assert kind is None or issubclass(get_class(str(target)), kind)


@pytest.mark.parametrize("name", GROUPS["data"])
def test_a_checkpoint_may_name_each_source_that_there_is(name: str) -> None:
    known = () if name == "shapes" else ("data.root=/nowhere",)
    data = network_config(compose_run(f"data={name}", *known))["data"]
    assert data_parts(data, "a.ckpt") == {"name": name, "source": data["source"]}


def test_a_backbone_of_a_file_reads_no_other_file_and_downloads_nothing(
    content: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guided_seg.model.backbones.vgg._torchvision_weights", lambda: pytest.fail("downloaded"))
    vgg = {"_target_": "guided_seg.model.backbones.vgg.Vgg16", "width": 2}
    for weights in ({}, {"weights": "torchvision"}, {"weights": "/etc/passwd"}):
        with pytest.raises(UserError, match=r"tensors of a.ckpt do not fit the network that it names"):
            restore(content["config"] | {"backbone": vgg | weights}, _bare(content), "a.ckpt")
    remote = {"_target_": "guided_seg.model.backbones.pretrained.TimmBackbone", "model": "hf_hub:somebody/something"}
    with pytest.raises(UserError, match=r"timm .* has no network of this name"):
        restore(content["config"] | {"backbone": remote}, _bare(content), "a.ckpt")


PLUGIN = """
from guided_seg.data.shapes.shapes import Shapes
from guided_seg.model.decoder import Bilinear
from torch import nn


class Head(nn.Module):
    pass


class Theirs(Bilinear):
    def __init__(self, head=None, heads=()):
        super().__init__()


class TheirShapes(Shapes):
    pass


class NoDecoder:
    pass
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of a user, ``their_pkg``, that Python can import and has not; its folder."""
    (tmp_path / "their_pkg").mkdir()
    (tmp_path / "their_pkg" / "__init__.py").touch()
    (tmp_path / "their_pkg" / "parts.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(PLUGINS, raising=False)
    yield tmp_path
    for name in ("their_pkg", "their_pkg.parts"):
        sys.modules.pop(name, None)


def theirs(content: dict[str, Any], name: str = "Theirs", **more: Any) -> Config:
    return content["config"] | {"decoder": {"_target_": f"their_pkg.parts.{name}", **more}}


@pytest.mark.usefixtures("plugin")
def test_a_plugin_that_is_not_imported_is_refused_with_both_cures(content: dict[str, Any]) -> None:
    with pytest.raises(
        UserError, match=r"If their_pkg.parts is a plugin .* import it before .* GUIDED_SEG_PLUGINS=their_pkg.parts\.$"
    ):
        restore(theirs(content), _bare(content), "a.ckpt")
    assert "their_pkg" not in sys.modules
    import_module("their_pkg")
    with pytest.raises(UserError, match=r"GUIDED_SEG_PLUGINS=their_pkg.parts\.$"):
        restore(theirs(content), _bare(content), "a.ckpt")
    assert "their_pkg.parts" not in sys.modules


@pytest.mark.usefixtures("plugin")
def test_a_plugin_that_is_imported_is_built(content: dict[str, Any]) -> None:
    kind = import_module("their_pkg.parts").Theirs
    head = {"_target_": "their_pkg.parts.Head"}
    network, _ = restore(theirs(content, head=head, heads=[{"x": head}]), _bare(content), "a.ckpt")
    assert type(network.decoder) is kind
    source = {"_target_": "their_pkg.parts.TheirShapes", "_partial_": True}
    assert data_parts({"name": "mine", "source": source}, "a.ckpt")["source"] == source


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("allowed", ["their_pkg", "other, their_pkg.parts", "their_pkg.parts.Theirs"])
def test_a_plugin_that_is_allowed_by_name_is_imported_and_built(
    content: dict[str, Any], monkeypatch: pytest.MonkeyPatch, allowed: str
) -> None:
    monkeypatch.setenv(PLUGINS, allowed)
    network, _ = restore(theirs(content), _bare(content), "a.ckpt")
    assert type(network.decoder).__name__ == "Theirs"


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("allowed", ["", "their", "their_pkg.part", "parts"])
def test_another_name_allows_nothing(content: dict[str, Any], monkeypatch: pytest.MonkeyPatch, allowed: str) -> None:
    monkeypatch.setenv(PLUGINS, allowed)
    with pytest.raises(UserError, match="which is not a part of a network"):
        restore(theirs(content), _bare(content), "a.ckpt")
    assert "their_pkg" not in sys.modules


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("name", ["NoDecoder", "Head", "nn", "nn.Identity", "Absent", "TheirShapes"])
def test_of_a_plugin_too_only_the_right_kind_is_built(
    content: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(PLUGINS, "their_pkg")
    with pytest.raises(UserError):
        restore(theirs(content, name), _bare(content), "a.ckpt")


def test_an_allowed_plugin_that_cannot_be_imported_is_told(
    content: dict[str, Any], plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLUGINS, "their_pkg")
    (plugin / "their_pkg" / "parts.py").write_text("import a_package_that_there_is_not\n")
    with pytest.raises(
        UserError, match=r"cannot be imported \(No module named 'a_package_that_there_is_not'\); install"
    ):
        restore(theirs(content), _bare(content), "a.ckpt")
    (plugin / "their_pkg" / "parts.py").write_text("1 / 0\n")
    os.utime(plugin / "their_pkg" / "parts.py", (0, 0))
    with pytest.raises(UserError, match=r"fails when it is imported: ZeroDivisionError"):
        restore(theirs(content), _bare(content), "a.ckpt")
    shutil.rmtree(plugin / "their_pkg")
    sys.modules.pop("their_pkg")
    with pytest.raises(UserError, match=r"cannot be imported .* PYTHONPATH"):
        restore(theirs(content), _bare(content), "a.ckpt")


# ---- any config at all ----

TARGETS = [
    "os.system",
    "guided_seg.model.decoder.Refine",
    "guided_seg.model.guide.merge.Mean",
    "builtins.print",
    "a.b",
    "",
    ".",
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.sampled_from([10**9, 2**63, -(2**70)]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["${oc.env:HOME}", "???", "random", "auto", "interpolate", *TARGETS]),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["_target_", "_args_", "_partial_", "width", "neck", "a.b", "", "x"]), inner),
        st.dictionaries(st.integers(), inner, max_size=2),
    ),
    max_leaves=6,
)


def _paths(tree: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [prefix] if prefix else []
    for key, value in tree.items() if isinstance(tree, dict) else []:
        found += _paths(value, (*prefix, key))
    return found


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_any_change_of_a_config_gives_a_network_or_a_sentence(content: dict[str, Any], data: st.DataObject) -> None:
    config = {group: deepcopy(content["config"][group]) for group in NETWORK}
    for _ in range(data.draw(st.integers(1, 2))):
        *above, last = data.draw(st.sampled_from(_paths(config)))
        node = config
        for key in above:
            node = node[key]
        if data.draw(st.booleans()):
            node[last] = data.draw(TREES)
        else:
            del node[last]
    try:
        restore(config, _bare(content), "a.ckpt")
        sentence = ""
    except UserError as error:
        sentence = str(error)
    assert "\n" not in sentence


def test_a_target_that_is_a_list_is_refused(content: dict[str, Any]) -> None:
    config = deepcopy(content["config"])
    config["conditioning"]["_target_"] = ["guided_seg.model.conditioning.NearestNeighbors"]
    with pytest.raises(UserError):
        restore(config, _bare(content), "a.ckpt")


@settings(deadline=None)
@given(TREES)
def test_what_is_no_config_at_all_gives_a_sentence(tree: Any) -> None:
    with pytest.raises(UserError):
        restore(tree, {}, "a.ckpt")
    with pytest.raises(UserError):
        data_parts({"source": tree}, "a.ckpt")


def test_a_checkpoint_opens_although_its_data_is_of_a_plugin_that_is_not_there(
    content: dict[str, Any], tmp_path: Path
) -> None:
    config = deepcopy(content["config"])
    config["data"]["source"]["_target_"] = "their_data.Cells"
    network, trained = load_network(checkpoint(config, content["state_dict"], tmp_path))
    assert not network.training
    with pytest.raises(UserError, match=r"If their_data is a plugin that you trust"):
        data_to_test(OmegaConf.create({"checkpoint": "a.ckpt"}), trained)

"""Every setting has a range, which is checked before anything is built."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from support.commands import CONF, call, compose_run

from guided_seg.cli.run_folders import register_resolvers
from guided_seg.composition.build import settings as evaluation_settings
from guided_seg.errors import UserError
from guided_seg.model.video.previous_frame import Memory
from guided_seg.settings.limits import MEMORIES, PRECISIONS
from guided_seg.settings.overrides import find_problem
from guided_seg.settings.preflight import check_settings, check_value, rule_of
from guided_seg.settings.preflight import settings as flat
from guided_seg.training.module import EpisodicSegmentation

FREE = {"data.year": "the sources that have it know their years, as a number or as text"}
"""Numbers and switches without a rule, and why."""


def _package(path: Path, text: str) -> str:
    """What comes before the keys of a config file."""
    first = text.partition("\n")[0]
    if "@package" in first:
        return first.split()[-1].removesuffix("_global_")
    return path.parent.relative_to(CONF).as_posix().replace("/", ".").strip(".")


def _settings() -> Iterator[tuple[str, Any]]:
    """Every number and switch of all configs, and every list of numbers, by its dotted key."""
    for path in sorted(CONF.rglob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        tree = {key: value for key, value in (yaml.safe_load(text) or {}).items() if key not in ("defaults", "hydra")}
        tree.pop("official", None)
        package = _package(path, text)
        for key, value in flat(OmegaConf.create(tree)).items():
            if isinstance(value, bool | int | float) and not key.rpartition(".")[2].startswith("_"):
                yield f"{package}.{key}".strip("."), value


def _owner(key: str) -> str:
    """The setting that a number belongs to: itself, or the list or mapping that it is in."""
    parent = key
    while rule_of(parent) is None and "." in parent:
        parent = parent.rpartition(".")[0]
    return parent


SETTINGS = sorted({_owner(key) if rule_of(_owner(key)) else key for key, _ in _settings()} - set(FREE))


def test_the_configs_have_many_settings() -> None:
    assert len(SETTINGS) > 120
    assert {"seed", "num_workers", "episode.united", "data.augment.paste", "evaluation.seed"} <= set(SETTINGS)


@pytest.mark.parametrize("key", SETTINGS)
def test_every_number_and_switch_has_a_range(key: str) -> None:
    rule = rule_of(key)
    assert rule is not None, f"{key} needs a rule in guided_seg.settings.limits, or an entry in FREE"
    for wrong in ("abc", -1, math.nan, math.inf, [], "1", 10**15):
        if not rule.accepts(wrong):
            with pytest.raises(UserError, match="expected"):
                check_value(key, wrong)
    assert not rule.accepts("abc")
    assert not rule.accepts(math.nan)
    assert not rule.accepts({})


@pytest.mark.parametrize("experiment", sorted(path.stem for path in (CONF / "experiment").glob("*.yaml")))
def test_experiments_are_in_range(experiment: str) -> None:
    root = ["data.root=x"] if experiment == "guided_lite0" else []
    check_settings(compose_run(f"+experiment={experiment}", *root))


@pytest.mark.parametrize("name", ["benchmark", "episodes", "evaluate", "export", "inspect", "prepare", "release"])
def test_other_commands_are_in_range(name: str) -> None:
    register_resolvers()
    with initialize_config_module("guided_seg.conf", version_base="1.3"):
        check_settings(compose(name, ["data=voc", "data.root=x"] if name in ("inspect", "prepare") else []))


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("seed=-1", "seed=-1: expected a whole number from 0."),
        ("seed=99999999999", "seed=99999999999: expected a whole number from 0 to 4294967295."),
        ("seed=abc", "seed=abc: expected a whole number from 0."),
        ("seed=1.5", "seed=1.5: expected a whole number from 0."),
        ("seed=true", "seed=true: expected a whole number from 0."),
        ("seed=null", "seed=null: expected a whole number from 0."),
        ("seed=nan", "seed=nan: expected a whole number from 0."),
        ("evaluation.seed=-1", "evaluation.seed=-1: expected a whole number from 0."),
        ("num_workers=100000", "num_workers=100000: expected a whole number from 0 to 1024."),
        ("output_dir=null", "output_dir=null: expected a path or a name."),
        ("name=null", "name=null: expected a path or a name."),
        (
            "name=5",
            """name=5: expected a path or a name; to pass it as text, use two pairs of quotes: "'5'".""",
        ),
        ("evaluation.modes=interactive", "expected a list of modes, as in 'evaluation.modes=[interactive]'."),
        ("evaluation.shots=5", "expected a list of different whole numbers from 1, as in 'evaluation.shots=[5]'."),
        ("evaluation.shots=0", "expected a list of different whole numbers from 1."),
        ("max_broken=2", "max_broken=2: expected a number from 0 to 1."),
        ("data.training.lr=0", "data.training.lr=0: expected a number above 0."),
        ("data.training.lr=inf", "data.training.lr=inf: expected a number above 0."),
        ("data.training.steps=1.5", "data.training.steps=1.5: expected a whole number from 1."),
        ("optimizer.optimizer.weight_decay=-1", "optimizer.optimizer.weight_decay=-1: expected a number from 0."),
        ("trainer.gradient_clip_val=nan", "trainer.gradient_clip_val=nan: expected a number from 0, or null."),
        ("trainer.limit_val_batches=0", "trainer.limit_val_batches=0: expected a whole number from 1 or a number"),
        ("trainer.limit_val_batches=1.5", "trainer.limit_val_batches=1.5: expected a whole number from 1 or a number"),
        ("trainer.enable_progress_bar=2", "trainer.enable_progress_bar=2: expected true or false."),
        ("episode.united=much", "episode.united=much: expected a number from 0 to 1."),
        ("episode.points.dense=-0.1", "episode.points.dense=-0.1: expected a number from 0 to 1."),
        ("episode.points.high=1.5", "episode.points.high=1.5: expected a whole number from 0."),
        ("episode.points.place.uniform=-1", "expected no negative weight, and one above 0."),
        ("mode.weights.video=many", "expected no negative weight, and one above 0."),
        ("backbone.blocks=-1", "backbone.blocks=-1: expected a whole number from 0."),
        ("resolution.longest=0", "resolution.longest=0: expected a whole number from 32, or null."),
        ("conditioning.dropout=1", "conditioning.dropout=1: expected a number from 0 and below 1."),
        ("conditioning.floor=1", "conditioning.floor=1: expected true or false."),
        ("conditioning.scorer=shard", "conditioning.scorer=shard: expected shared or joint."),
        ("evaluation.episodes={video: 0}", "expected a whole number from 1, or null or such a number for each mode."),
        ("-m seed=0,1,-1", "seed=-1: expected a whole number from 0."),
        ("episode.hard=0.1", "episode.hard=0.1: the option was removed"),
        ("+episode.hard=0.1", "episode.hard=0.1: the option was removed"),
    ],
)
def test_a_value_out_of_range_is_refused_at_once(override: str, sentence: str) -> None:
    register_resolvers()
    argv = override.split(maxsplit=1) if override.startswith("-m") else [override]
    problem = find_problem("config", argv, "guided_seg.conf")
    assert problem is not None
    assert problem.endswith(".")
    assert sentence in problem
    assert "\n" not in problem


def test_a_path_that_is_needed_is_not_null() -> None:
    found = find_problem("inspect", ["data=folder", "data.root=null"], "guided_seg.conf")
    assert found == "data.root=null: expected a path or a name."
    for name in ("evaluate", "export", "release"):
        found = find_problem(name, ["checkpoint=null"], "guided_seg.conf")
        assert found == "checkpoint has no default; give it a value in place of null."


@pytest.mark.parametrize(
    "override", ["seed=-1", "episode.united=2", "trainer.precision=16-true", "+trainer.max_time=x"]
)
def test_a_job_that_is_called_from_python_is_checked_too(override: str) -> None:
    with pytest.raises(UserError):
        evaluation_settings(compose_run(override))


@pytest.mark.parametrize(
    ("name", "setting", "sentence"),
    [
        (
            "hsnet",
            "shots=5",
            "shots=5: expected a list of different whole numbers from 1, as in 'protocol.hsnet.shots=[5]'.",
        ),
        ("hsnet", "shots=[1,1]", "shots=[1,1]: expected a list of different whole numbers from 1."),
        ("hsnet", "points=[dence]", "points=[dence]: expected a list of different whole numbers from 1 or dense."),
        ("hsnet", "points=[0]", "points=[0]: expected a list of different whole numbers from 1 or dense."),
        ("hsnet", "seeds=[0,0]", "seeds=[0,0]: expected a list of different whole numbers from 0 to 4294967295."),
        ("hsnet", "figures=mIoU", "figures=mIoU: expected a list of names, as in 'protocol.hsnet.figures=[mIoU]'."),
        (
            "hsnet",
            "modes=semantic",
            "modes=semantic: expected a list of names, as in 'protocol.hsnet.modes=[semantic]'.",
        ),
        ("hsnet", "size=big", "size=big: expected [height, width] in pixels or null."),
        ("hsnet", "about=null", "about=null: expected a sentence."),
        ("hsnet", "draw=null", "draw=null: expected spread or random."),
        ("davis2016", "unit=video", "unit=video: expected episodes or groups."),
        ("davis2016_memory", "memory=mop", "memory=mop: expected none, map, moved, shot or both."),
        ("davis2016_memory", "memory=null", "memory=null: expected none, map, moved, shot or both."),
        ("clicks", "strategy=rnd", "strategy=rnd: expected error, human or random."),
        ("human_clicks", "jitter=-1", "jitter=-1: expected a number from 0."),
        ("human_clicks", "bias=far", "bias=far: expected a number from 0."),
        ("complement", "exchange=2", "exchange=2: expected true or false."),
        ("clicks", "limit=abc", "limit=abc: expected a whole number from 1."),
        ("clicks", "thresholds=[abc]", "thresholds=[abc]: expected a list of different percentages above 0."),
    ],
)
def test_a_setting_of_a_protocol_out_of_range_is_refused_at_once(name: str, setting: str, sentence: str) -> None:
    argv = ["checkpoint=x", f"protocol=[{name}]", f"protocol.{name}.{setting}"]
    assert find_problem("evaluate", argv, "guided_seg.conf") == f"protocol.{name}.{sentence}"


@pytest.mark.parametrize(
    ("name", "override", "sentence"),
    [
        ("benchmark", "suite=[]", "suite=[]: expected a name or a list of names."),
        ("benchmark", "suite=null", "suite=null: expected a name or a list of names."),
        ("benchmark", "threads=0", "threads=0: expected a whole number from 1, or null."),
        ("export", "format=[onnx]", "format=[onnx]: expected a name"),
        ("export", "format=null", "format=null: expected a name."),
        ("evaluate", "split=null", "split=null: expected a name."),
        ("evaluate", "split=[test]", "split=[test]: expected a name"),
        ("evaluate", "episodes=5", "episodes=5: expected a path or a name"),
    ],
)
def test_names_of_other_commands_are_checked_at_once(name: str, override: str, sentence: str) -> None:
    needed = [] if name == "benchmark" else ["checkpoint=x"]
    found = find_problem(name, [*needed, override], "guided_seg.conf")
    assert found is not None
    assert found.startswith(sentence)


@pytest.mark.parametrize("key", ["shots", "points"])
def test_a_setting_of_evaluation_is_not_asked_twice(key: str) -> None:
    """Its episodes would be counted twice."""
    found = find_problem("evaluate", ["checkpoint=x", f"evaluation.{key}=[5,5]"], "guided_seg.conf")
    assert found is not None
    assert found.startswith(f"evaluation.{key}=[5,5]: expected a list of different whole numbers from 1")


def _options() -> Iterator[str]:
    for path in (CONF / "protocol").glob("*.yaml"):
        yield from (f"protocol.{path.stem}.{key}" for key in yaml.safe_load(path.read_text()) if key != "_target_")


@pytest.mark.parametrize("key", sorted(_options()))
def test_every_setting_of_a_protocol_has_a_rule(key: str) -> None:
    assert rule_of(key) is not None


def test_the_memories_are_those_of_the_network() -> None:
    assert get_args(Memory) == MEMORIES


def test_a_protocol_of_a_plugin_decides_about_its_own_settings() -> None:
    argv = ["checkpoint=x", "protocol=[hsnet]", "protocol.hsnet._target_=mine.Rule", "protocol.hsnet.shots=many"]
    assert find_problem("evaluate", argv, "guided_seg.conf") is None


def test_a_plugin_decides_about_its_own_settings() -> None:
    cfg = compose_run("conditioning._target_=mine.Product", "conditioning.dropout=many")
    check_settings(cfg)


@pytest.mark.parametrize("precision", ["16-true", "bf16-true", "64-true", "64", "transformer-engine", "fast", "8"])
def test_a_precision_that_images_do_not_have_is_refused(precision: str) -> None:
    sentence = f"trainer.precision={precision}: expected 32-true, bf16-mixed, 16-mixed or auto."
    with pytest.raises(UserError, match=sentence):
        check_settings(compose_run(f"trainer.precision={precision}"))


@pytest.mark.parametrize("precision", [*PRECISIONS, "32", "16", "bf16", "null"])
def test_a_precision_that_can_be_trained_in_passes(precision: str) -> None:
    check_settings(compose_run(f"trainer.precision={precision}"))


@pytest.mark.parametrize(
    ("argument", "cure"),
    [
        ("accumulate_grad_batches=2", "set data.training.batch_size instead"),
        *[
            (argument, "trainer=smoke for a quick test")
            for argument in (
                *("max_epochs=1", "min_epochs=4", "min_steps=4", "max_time=00:00:01:00", "limit_train_batches=1"),
                *("overfit_batches=1", "fast_dev_run=true", "val_check_interval=10", "check_val_every_n_epoch=2"),
                *("reload_dataloaders_every_n_epochs=1", "limit_train_batches=0.5"),
            )
        ],
        *[
            (argument, "a run sets it itself")
            for argument in (
                *("logger=true", "callbacks=[]", "profiler=simple", "barebones=true", "default_root_dir=x"),
                *("enable_checkpointing=false", "enable_model_summary=true", "num_sanity_val_steps=2"),
                *("inference_mode=false", "use_distributed_sampler=true"),
            )
        ],
    ],
)
def test_an_argument_of_the_trainer_that_would_break_a_run_is_refused(argument: str, cure: str) -> None:
    with pytest.raises(UserError, match=cure):
        check_settings(compose_run(f"+trainer.{argument}"))


@pytest.mark.parametrize(
    "overrides",
    [
        ("trainer.accelerator=cpu", "trainer.devices=0"),
        ("trainer.accelerator=tpv",),
        ("+trainer.strategy=dp",),
        ("+trainer.num_nodes=2", "trainer.devices=[0,1]", "trainer.accelerator=cpu"),
        ("+trainer.plugins=abc",),
        ("+trainer.nonsense=1",),
    ],
)
def test_what_lightning_refuses_is_refused_before_data_are_read(
    overrides: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        pytest.fail("a network or data is built")

    monkeypatch.setattr(EpisodicSegmentation, "__init__", never)
    monkeypatch.setattr("guided_seg.training.train.build_network", never)
    monkeypatch.setattr("guided_seg.training.train.build_data", never)
    done = call("run", *overrides, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: trainer")
    assert done.stderr.count("\n") == 1

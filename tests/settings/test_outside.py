"""What a W&B sweep may not set, and secrets that no setting may hold."""

from __future__ import annotations

import pytest

from guided_seg.settings.outside import AGENT
from guided_seg.settings.overrides import find_problem


def problem(*words: str, name: str = "config") -> str | None:
    return find_problem(name, words, "guided_seg.conf")


CODE = (
    *("++backbone._target_=os.system", "+x={_target_:os.system,command:id}", "decoder={_target_:builtins.eval}"),
    *("hydra/launcher={_target_:os.system}", "hydra.searchpath=[file:///tmp]", "hydra.launcher.setup=[id]"),
    "+hydra.callbacks.x._target_=os.system",
    *("name=${oc.env:HOME}", "hydra.run.dir=${oc.env:HOME}", "hydra.job.env_set={LD_PRELOAD:/tmp/x.so}"),
)


@pytest.mark.parametrize("word", CODE)
def test_a_sweep_of_wandb_names_no_code(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(AGENT, "a1b2c3")
    found = problem("seed=1", word)
    assert found
    assert "The W&B sweep gives" in found
    assert "names no class, no part of Hydra and no variable" in found
    assert "\n" not in found


def test_a_sweep_of_wandb_brings_no_folder_of_configs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(AGENT, "a1b2c3")
    found = problem("--config-dir", "/tmp")
    assert found
    assert "The W&B sweep gives '--config-dir /tmp'" in found


def test_a_sweep_of_wandb_sets_values_and_chooses_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(AGENT, "a1b2c3")
    words = ("+experiment=late_global", "merge=attention", "optimizer.optimizer.lr=0.1", "evaluation.points=[1,dense]")
    assert problem(*words, "hydra.run.dir=here", "hydra.output_subdir=null", "hydra/job_logging=stdout") is None


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("+logger.wandb.api_key=0123", "logger.wandb.api_key"),
        ("+logger.wandb.password=x", "logger.wandb.password"),
        ("+hydra.job.env_set.WANDB_API_KEY=0123", "hydra.job.env_set.WANDB_API_KEY"),
        ("name=${oc.env:WANDB_API_KEY}", "name"),
        ("name=run-${oc.env:HF_TOKEN,x}", "name"),
    ],
)
def test_a_secret_in_a_setting_is_refused(word: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "sesame-0123")
    monkeypatch.setenv("HF_TOKEN", "sesame-0123")
    found = problem(word)
    assert found
    assert found.startswith(f"{key} seems to be a secret, and settings are written to the run folder")
    assert "sesame" not in found


def test_the_token_of_the_page_is_not_written_and_may_be_set() -> None:
    assert problem("token=${oc.env:WANDB_API_KEY,x}", name="app") is None

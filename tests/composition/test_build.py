"""From configs to objects: networks, data, settings and modes."""

from __future__ import annotations

import pytest
from hydra.errors import InstantiationException
from support.commands import compose_run

from guided_seg.cli.command import user_sentence
from guided_seg.composition.build import (
    build_data,
    build_network,
    check_modes,
    known_modes,
    modes_to_test,
    settings,
    steps_per_epoch,
)
from guided_seg.data.source import MODES
from guided_seg.errors import UserError
from guided_seg.model.baselines.baseline import ForegroundBackground
from guided_seg.model.network import GuidedNetwork


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
        (
            "evaluation.points=[0]",
            r"evaluation.points=\[0\]: expected a list of different whole numbers from 1 or dense",
        ),
        ("evaluation.points=[1,many]", r"evaluation.points=\[1,many\]: expected"),
        ("evaluation.points=[]", r"evaluation.points=\[\]"),
        ("evaluation.points=[1.5]", r"evaluation.points=\[1.5\]"),
        ("evaluation.points=[true]", r"evaluation.points=\[true\]"),
        ("evaluation.shots=[-1]", r"evaluation.shots=\[-1\]: expected a list of different whole numbers from 1\."),
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
    data = build_data(compose_run()).source("test")
    assert modes_to_test(both, data, list(MODES), [(1, 5)]) == list(MODES)
    assert modes_to_test(local, data, list(MODES), [(1, 5)]) == ["interactive"]
    assert modes_to_test(both, data, list(MODES), [(5, 5)]) == ["semantic", "video"]
    for network, modes, asked in (
        (local, ["video"], [(1, 5)]),
        (both, ["interactive"], [(5, 5)]),
        (both, [], [(1, 5)]),
    ):
        with pytest.raises(UserError, match=r"Nothing can be tested"):
            modes_to_test(network, data, modes, asked)

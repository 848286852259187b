"""The shipped frozen episodes: the same items of the same data on any machine, and the same scores."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from support.commands import compose_evaluation, read
from support.evaluations import CONF, NAMES, Stub, network_of

from guided_seg.data.frozen.episode_file import FrozenEpisodes
from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisode, EvaluationEpisodes
from guided_seg.data.frozen.freeze import Plan, freeze
from guided_seg.data.shapes.shapes import Shapes
from guided_seg.data.source import Source
from guided_seg.data.sources.davis import Davis
from guided_seg.data.sources.voc import Voc
from guided_seg.episode import Episode
from guided_seg.protocols.answers import Answers
from guided_seg.protocols.evaluation import build_protocol
from guided_seg.protocols.scores import markdown, scores

SHIPPED = CONF.parent / "experiments" / "protocols" / "episodes"
FILES = sorted(SHIPPED.glob("*/*.json.gz"))
DATA = Path(os.environ.get("GUIDED_SEG_DATA") or CONF.parent / "../shared/data").resolve()
REAL = {
    "voc2012": ("voc", lambda root: Voc(root, "test", 1)),
    "davis2016": ("davis", lambda root: Davis(root, "test")),
}
"""By folder, the name of its episodes and its source. Those of coco are of photos that are no longer there."""


@cache
def frozen_of(path: Path) -> FrozenEpisodes:
    """Reading the largest takes a second."""
    return FrozenEpisodes.read(path)


def shipped(source: str, name: str) -> FrozenEpisodes:
    return frozen_of(SHIPPED / source / f"{name}.json.gz")


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name.removesuffix('.json.gz')}")
def test_a_file_is_whole_and_of_its_protocol(path: Path) -> None:
    frozen, name = frozen_of(path), path.name.removesuffix(".json.gz")
    assert frozen.source == path.parent.name
    assert frozen.split == "test"
    plan = build_protocol(compose_evaluation("any", f"protocol=[{name}]"), name).plan
    rule = {**vars(plan), "seeds": list(plan.seeds), "modes": frozen.rule["modes"]}
    assert frozen.rule == rule
    assert set(frozen.rule["modes"]) <= set(plan.modes)


def test_every_protocol_has_its_episodes_of_shapes() -> None:
    assert {path.name.removesuffix(".json.gz") for path in FILES if path.parent.name == "shapes"} == set(NAMES)


@pytest.mark.parametrize("source", sorted({path.parent.name for path in FILES}))
def test_the_committed_figures_are_of_these_files(source: str) -> None:
    found = read(SHIPPED.parent / source / "protocols.json")
    assert {name: scored["episodes_sha256"] for name, scored in found.items()} == {
        path.name.removesuffix(".json.gz"): frozen_of(path).checksum for path in SHIPPED.glob(f"{source}/*.gz")
    }
    table = (SHIPPED.parent / source / "protocols.md").read_text()
    assert table == markdown(found)


@pytest.mark.parametrize("name", ["clicks", "davis2017"])
def test_scenes_of_this_machine_give_the_same_file(name: str) -> None:
    frozen = shipped("shapes", name)
    assert freeze(Shapes("test"), "test", Plan(**frozen.rule)).checksum == frozen.checksum


def test_random_draws_of_this_machine_are_the_same() -> None:
    frozen = shipped("shapes", "pascal5i")
    first = freeze(Shapes("test"), "test", Plan(**{**frozen.rule, "episodes": 4, "seeds": [3]}))
    same_seed = [episode for episode in frozen.episodes if episode.seed == 3]
    assert list(first.episodes) == same_seed[:4]


class NearestDot(Stub):
    """Each pixel has the label of the nearest dot, in whole numbers: what it scores is exact on any machine."""

    def answer(self, item: EvaluationEpisode, episode: Episode) -> np.ndarray:
        dots = episode.support[0].points
        assert dots is not None
        rows, columns = np.indices(episode.target.shape)
        distance = [(rows - row) ** 2 + (columns - column) ** 2 for row, column, _ in dots.tolist()]
        return np.asarray(dots[:, 2].numpy()[np.argmin(distance, axis=0)], np.uint8)


def score(name: str, answers: Answers, *overrides: str, every: int = 1) -> dict[str, float]:
    protocol = build_protocol(compose_evaluation("any", f"protocol=[{name}]", *overrides), name)
    frozen = shipped("shapes", name)
    items = EvaluationEpisodes(Shapes("test"), frozen, protocol.size)
    rows = [row for n in range(0, len(items), every) for row in protocol.measure(items[n], answers)]
    figures = scores(protocol, frozen, rows)["settings"][-1]["figures"]
    return {figure: interval["value"] for figure, interval in figures.items()}


@pytest.mark.usefixtures("few_draws")
def test_exact_answers_score_the_same_on_any_machine() -> None:
    found = score("random_clicks", NearestDot(), every=8)
    assert found == pytest.approx(RANDOM_CLICKS, abs=1e-9)
    assert score("davis2016", NearestDot(), "protocol.davis2016.points=[1,5]", every=8) == pytest.approx(
        VIDEO, abs=1e-9
    )


@pytest.mark.usefixtures("few_draws")
def test_a_network_scores_the_same_on_any_machine() -> None:
    """Within what the rounding of another processor can turn over."""
    network = network_of("conditioning=prototypes", "conditioning.floor=false")
    assert score("davis2016", Answers(network), every=16) == pytest.approx(NETWORK, abs=2e-3)


@pytest.mark.parametrize("folder", REAL)
def test_real_images_are_those_that_were_frozen(folder: str) -> None:
    if not (DATA / folder).is_dir():
        pytest.skip(f"no {folder}/ in {DATA}; set GUIDED_SEG_DATA to the folder that holds it")
    name, make = REAL[folder]
    source: Source = make(DATA / folder)
    for path in sorted((SHIPPED / name).iterdir()):
        items = EvaluationEpisodes(source, frozen_of(path))
        for number in range(0, len(items), max(1, len(items) // 3)):
            assert items[number].dense.query.shape[0] == 3  # loading compares size and labels


RANDOM_CLICKS = {
    "NoC@80": 20.0,
    "NoC@85": 20.0,
    "NoC@90": 20.0,
    "NoF@90": 1.0,
    "IoU@1": 0.11476982964409722,
    "IoU@2": 0.20585179409469612,
    "IoU@3": 0.18859946464001373,
    "IoU@5": 0.22318029031414144,
    "IoU@10": 0.32376078103027406,
    "IoU@20": 0.4134419303618455,
    "honoured": 1.0,
    "honoured@5": 1.0,
    "falls": 0.30098684210526316,
    "worst_change": -0.017252329454682375,
}
VIDEO = {"J": 0.3827258699327892, "F": 0.13930616224882592, "J&F": 0.26101601609080755}
NETWORK = {"J": 0.43953279383011046, "F": 0.3431172752732523, "J&F": 0.3913250345516814}

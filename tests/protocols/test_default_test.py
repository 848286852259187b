"""The default test: each mode at every (S, P), as `guided_seg.run` and `guided_seg.evaluate` report it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from support.boxes import Boxes
from support.commands import compose_run
from support.evaluations import FINDS, SHAPES, Stub, network_of

from guided_seg.data.frozen.evaluation_episodes import EvaluationEpisodes
from guided_seg.data.source import MODES, Mode, Sample
from guided_seg.errors import BrokenFile, DataError
from guided_seg.metrics.iou import EpisodeIoU, group_number
from guided_seg.protocols import default_test
from guided_seg.protocols.protocol import Row
from guided_seg.protocols.runner import Job, Setup, run, run_share
from guided_seg.report.results import Results, notes

pytestmark = pytest.mark.usefixtures("few_draws")


def evaluation(*overrides: str) -> DictConfig:
    return compose_run("evaluation.shots=[1,3]", "evaluation.points=[5,dense]", *overrides).evaluation


def jobs(out: Path, *overrides: str, modes: Sequence[Mode] = MODES, limit: float = 1.0) -> list[Job]:
    return default_test.jobs(evaluation(*overrides), SHAPES, "test", modes, out, {}, limit)


def answered(found: list[Job], setup: Setup) -> list[tuple[Job, list[Row]]]:
    return list(run(found, setup))


class TestJobs:
    @pytest.mark.parametrize(
        ("episodes", "expected"),
        [("null", [16, 16, 16]), ("3", [3, 3, 3]), ("100", [16, 16, 16]), ("{video:2,semantic:null}", [16, 16, 2])],
    )
    def test_the_number_of_episodes(self, episodes: str, expected: list[int], tmp_path: Path) -> None:
        overrides = ["evaluation.episodes=" + ("null" if episodes[0] == "{" else episodes)]
        if episodes[0] == "{":
            overrides = [f"evaluation.episodes={episodes}"]
        assert [len(job.frozen.episodes) for job in jobs(tmp_path, *overrides)] == expected

    @pytest.mark.parametrize(("limit", "expected"), [(2, 6), (100, 16), (0.5, 9), (0.01, 3), (1.0, 16)])
    def test_a_limit_keeps_the_first_batches(self, limit: float, expected: int, tmp_path: Path) -> None:
        (whole,), (few,) = (
            jobs(tmp_path, "evaluation.batch_size=3", modes=["video"], limit=number) for number in (1.0, limit)
        )
        assert few.frozen.episodes == whole.frozen.episodes[:expected]

    def test_an_interactive_task_has_one_shot_and_others_the_most(self, tmp_path: Path) -> None:
        most = {job.name: max(len(episode.support) for episode in job.frozen.episodes) for job in jobs(tmp_path)}
        assert most == {"interactive": 1, "semantic": 3, "video": 3}
        stub = Stub()
        for job in jobs(tmp_path, modes=["interactive"]):
            rows = job.protocol.measure(EvaluationEpisodes(SHAPES, job.frozen)[0], stub)
            assert {(row["shots"], row["points"]) for row in rows} == {(1, "5"), (1, "dense")}

    def test_a_query_in_its_own_support_is_left_out_of_that_setting(self, tmp_path: Path) -> None:
        (job,) = jobs(tmp_path, modes=["video"])
        data, stub, settings = EvaluationEpisodes(SHAPES, job.frozen), Stub(), set()
        for number, frozen in enumerate(job.frozen.episodes):
            shots = {row["shots"] for row in job.protocol.measure(data[number], stub)}
            assert shots == ({1} if frozen.shows_query(3) else {1, 3})
            settings |= {len(shots)}
        assert settings == {1, 2}

    @pytest.mark.parametrize("of", [{"checkpoint_sha256": "other"}, {"precision": "bf16"}])
    def test_records_of_another_model_are_not_resumed(self, of: dict[str, Any], tmp_path: Path) -> None:
        (job,), (other,) = (
            default_test.jobs(evaluation(), SHAPES, "test", ["video"], tmp_path, header) for header in ({}, of)
        )
        with job.records.part(0) as part:
            part.add(0, [])
        assert job.records.read() == {0: []}
        assert other.records.read() == {}
        (another,) = jobs(tmp_path, "evaluation.seed=1", modes=["video"])
        assert another.records.read() == {}


def row(episode: int, label: int, group: str, inside: int, union: int, mode: str) -> Row:
    counts = {"fg_i": inside, "fg_u": union, "j": inside / union if union else 1.0}
    origin = {"episode": episode, "seed": 0, "mode": mode, "label": label, "group": group}
    return {**origin, "shots": 1, "points": "5", "fewer_shots": 0, "fewer_dots": int(episode == 1), **counts}


TABLE = [(0, 1, "a", 32, 64), (0, 2, "b", 0, 32), (1, 1, "a", 64, 64), (2, 1, "b", 0, 0), (3, 1, "c", 5, 50)]


@pytest.mark.parametrize("mode", MODES)
def test_figures_are_those_of_the_metric_of_validation(mode: Mode, tmp_path: Path) -> None:
    """Positive IoU is pooled. The mean is over groups: of pooled IoU, and in video of the mean over frames."""
    (job,) = jobs(tmp_path, modes=[mode])
    rows = [row(*entry, mode) for entry in TABLE]
    score = default_test.results([(job, rows)])[mode]["s1_p5"]
    metric = EpisodeIoU("mean", "groups", 30) if mode == "video" else EpisodeIoU(draws=30)
    for episode, label, group, inside, union in TABLE:
        pixels = torch.arange(70)[None, None]
        masks = ((pixels < number) * 1 for number in (inside, union))
        groups = torch.full((1, label), -1)
        groups[0, -1] = group_number(group)
        prediction, target = (mask * label for mask in masks)
        metric.update(prediction, target.to(torch.uint8), torch.tensor([episode]), groups)
    expected = metric.compute()
    assert score["positive_iou"] == pytest.approx(expected["positive_iou"])
    assert score["mean_iou"] == pytest.approx(expected["mean_iou"])
    assert score["ci95"] == pytest.approx(expected["ci95"])
    assert (score["episodes"], score["fewer_dots"], "fewer_shots" in score) == (4, 1, False)
    default_test.write_groups([(job, rows)], tmp_path / "groups.csv")
    with (tmp_path / "groups.csv").open(newline="") as file:
        found = {entry["group"]: float(entry["iou"]) for entry in csv.DictReader(file)}
    b = 0.5 if mode == "video" else 0.0
    assert found == pytest.approx({"a": 0.75, "b": b, "c": 0.1})


def test_rows_do_not_depend_on_the_number_of_ranks(tmp_path: Path) -> None:
    setup = Setup(network_of(*FINDS), SHAPES)
    found: list[list[list[Row]]] = []
    for world in (1, 3):
        mine = jobs(tmp_path / str(world), "evaluation.episodes=4")
        (tmp_path / str(world)).mkdir()
        for job in mine:
            for rank in range(world):
                run_share(rank, job, setup, world)
        found.append([job.records.finish(4) for job in mine])
    assert found[0] == found[1]


class Broken(Boxes):
    """Images that cannot be read."""

    broken: frozenset[str] = frozenset()

    def load(self, key: Any) -> Sample:
        if key in self.broken:
            raise BrokenFile(f"{key} is cut off")
        return super().load(key)


class TestBroken:
    images = {f"{number}": (1, 2) for number in range(8)}  # noqa: RUF012

    def results(self, source: Broken, out: Path, max_broken: float) -> tuple[Results, list[Job]]:
        out.mkdir(exist_ok=True)
        mine = default_test.jobs(evaluation(), source, "test", ["interactive", "semantic"], out, {})
        setup = Setup(network_of(), source, max_broken=max_broken)
        return default_test.results(answered(mine, setup)), mine

    def test_episodes_with_a_broken_file_are_left_out_and_counted(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        source = Broken(self.images)
        whole, _ = self.results(source, tmp_path / "whole", 0.0)
        source.broken = frozenset({"3"})
        found, mine = self.results(source, tmp_path / "broken", 0.5)
        assert caplog.messages == ["Skipped a broken file: 3 is cut off"] * 2
        for mode in ("interactive", "semantic"):
            scores = found[mode]
            assert {score["left_out"] + score["episodes"] for score in scores.values()} == {
                score["episodes"] for score in whole[mode].values()
            }
        assert found["interactive"]["s1_p5"]["left_out"] == 2
        assert "2 more episodes of interactive s1_p5 were left out, as a file could not be read" in notes(found)
        # repaired, they are tried again
        source.broken = frozenset()
        again = default_test.results(answered(mine, Setup(network_of(), source)))
        assert again == whole

    def test_too_many_are_refused(self, tmp_path: Path) -> None:
        source = Broken(self.images)
        source.broken = frozenset({"3"})
        with pytest.raises(
            DataError, match=r"^2 of \d+ episodes met a broken file \(1 files\), more than the limit of"
        ):
            self.results(source, tmp_path, 0.01)

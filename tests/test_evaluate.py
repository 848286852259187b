"""The second command: any checkpoint, in any mode, on any source."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
import torch
from omegaconf import OmegaConf
from support.archives import noise_davis, noise_folder
from support.commands import call, command, evaluate, last_line, read, run, scores

from guided_seg.errors import UserError
from guided_seg.report.results import read_results

FEW = ("num_workers=0", "evaluation.episodes=3")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the main command, trained on the built-in data."""
    return run(tmp_path_factory.mktemp("trained")) / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = run(tmp_path_factory.mktemp("local"), "locality=local", "mode=interactive")
    return folder / "checkpoints" / "best.ckpt"


def test_the_same_scores_as_the_run_that_wrote_it(trained: Path, tmp_path: Path) -> None:
    assert evaluate(trained, tmp_path) == scores(trained.parents[1])
    assert OmegaConf.load(tmp_path / "config.yaml").checkpoint == str(trained)


@pytest.mark.parametrize("bf16", [1.0, 3.0])
def test_auto_takes_the_faster_precision(
    bf16: float, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guided_seg.model.precision.user_cache", lambda: tmp_path / "cache")
    monkeypatch.setattr("guided_seg.model.precision.timed", lambda _: bf16 if torch.is_autocast_enabled("cpu") else 2.0)
    evaluate(trained, tmp_path / "out", "precision=auto", "accelerator=cpu", "mode=semantic")
    assert OmegaConf.load(tmp_path / "out" / "config.yaml").precision == ("bf16" if bf16 < 2 else "fp32")


def test_another_precision_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^precision=16-true: expected auto, fp32 or bf16\.$"):
        evaluate(trained, tmp_path, "precision=16-true")


def test_one_mode_on_request(trained: Path, tmp_path: Path) -> None:
    found = evaluate(trained, tmp_path, "mode=semantic", "evaluation.shots=[1,2]", "evaluation.points=[1,dense]")
    assert {mode: set(entry) for mode, entry in found.items()} == {
        "semantic": {"s1_p1", "s1_pdense", "s2_p1", "s2_pdense"}
    }


def test_all_modes_by_the_name_of_their_mixture(trained: Path, tmp_path: Path) -> None:
    assert set(evaluate(trained, tmp_path, "mode=mixed")) == {"interactive", "semantic", "video"}


def test_another_split(trained: Path, tmp_path: Path) -> None:
    assert evaluate(trained, tmp_path / "val", "split=val") != evaluate(trained, tmp_path / "test")


def test_videos_of_davis(trained: Path, tmp_path: Path) -> None:
    root = noise_davis(tmp_path / "davis")
    out = tmp_path / "out"
    found = evaluate(trained, out, "data=davis", f"data.root={root}", "mode=video", "evaluation.episodes=null")
    assert found["video"]["s1_p5"]["episodes"] == 3
    assert set(evaluate(trained, out, "data=davis", f"data.root={root}")) == {"interactive", "video"}


def test_ones_own_folder(trained: Path, tmp_path: Path) -> None:
    root = noise_folder(tmp_path / "mine", "abcde")
    found = evaluate(
        trained, tmp_path, "data=folder", f"data.root={root}", "data.whole=true", "evaluation.episodes=null"
    )
    assert found["interactive"]["s1_p5"]["episodes"] == 5
    assert set(found) == {"interactive", "semantic"}


def test_an_evaluation_that_stops_leaves_no_scores_of_an_earlier_one(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(trained, tmp_path, "mode=interactive")

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("guided_seg.protocols.evaluation.run", stopped)
    with pytest.raises(KeyboardInterrupt):
        evaluate(trained, tmp_path, "mode=interactive", "split=val")
    assert OmegaConf.load(tmp_path / "config.yaml").split == "val"
    assert {path.name for path in tmp_path.glob("*.*")} == {"config.yaml"}


def test_a_table_says_where_there_were_fewer_shots_or_dots(trained: Path, tmp_path: Path) -> None:
    root = noise_folder(tmp_path / "mine", "abcd")
    few = ("evaluation.shots=[1,3,4]", "evaluation.points=[5,257,dense]", "evaluation.episodes=null")
    found = evaluate(trained, tmp_path, "data=folder", f"data.root={root}", "data.whole=true", *few)
    lacks = {
        (mode, key): (score.get("fewer_shots"), score.get("fewer_dots"))
        for mode, scores in found.items()
        for key, score in scores.items()
        if {"fewer_shots", "fewer_dots"} & score.keys()
    }
    # each class has three images beside the query, and each object 256 pixels
    assert lacks == {
        ("interactive", "s1_p257"): (None, 4),
        ("semantic", "s1_p257"): (None, 4),
        ("semantic", "s3_p257"): (None, 4),
        ("semantic", "s4_p5"): (4, None),
        ("semantic", "s4_p257"): (4, 4),
        ("semantic", "s4_pdense"): (4, None),
    }
    notes = (tmp_path / "evaluation.md").read_text().splitlines()
    assert "- 4 of 4 episodes of semantic s4_p5 had fewer shots, as their class has no more images." in notes
    assert "- 4 of 4 episodes of interactive s1_p257 had fewer dots, as a label has no more pixels." in notes
    assert sum(line.startswith("- ") for line in notes) == 7
    assert read_results(tmp_path / "evaluation.json")["semantic"]["s4_p5"]["fewer_shots"] == 4


def test_local_guidance_is_scored_where_it_has_a_meaning(local: Path, tmp_path: Path) -> None:
    assert set(evaluate(local, tmp_path)) == {"interactive"}
    with pytest.raises(UserError, match=r"locality=local .* mode=video .*; choose locality=global or mode=interactive"):
        evaluate(local, tmp_path, "mode=video")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["evaluation.modes=[vidoe]"], "no mode 'vidoe'; choose from interactive, semantic, video"),
        (["evaluation.points=[0]"], r"evaluation.points=\[0\]: expected"),
        (["split=tset"], "no split 'tset'; did you mean 'test'"),
        (["data=davis", "data.root={root}", "mode=semantic"], "'davis' has no tasks for mode=semantic; it supports"),
        (["evaluation.modes=[interactive]", "evaluation.shots=[5]"], "Nothing can be tested of interactive"),
        (["data=davis", "data.root={root}/nowhere"], "nowhere does not exist; set data.root"),
        (["accelerator=tpv"], "accelerator=tpv: expected auto, cpu, cuda or mps"),
    ],
)
def test_what_cannot_be_scored_is_refused(trained: Path, tmp_path: Path, overrides: list[str], expected: str) -> None:
    root = noise_davis(tmp_path / "davis")
    with pytest.raises(UserError, match=expected):
        evaluate(trained, tmp_path / "out", *(override.format(root=root) for override in overrides))
    assert not list((tmp_path / "out").iterdir())


# ---- as a person types it; a process of its own costs seconds of imports ----


def test_the_command(trained: Path, tmp_path: Path) -> None:
    asked = ("mode=video", "evaluation.shots=[1,5]", "evaluation.points=[1,5,dense]", "output_dir=scored")
    done = command("evaluate", f"checkpoint={trained}", *asked, *FEW, folder=tmp_path)
    assert last_line(done) == str(tmp_path / "scored")
    found = read(tmp_path / "scored" / "evaluation.json")
    assert set(found) == {"video"}
    assert set(found["video"]) == {f"s{s}_p{p}" for s in (1, 5) for p in (1, 5, "dense")}
    for score in found["video"].values():
        assert list(score) == ["positive_iou", "mean_iou", "ci95", "episodes"]
    assert "IoU %" in done.stdout
    assert cv2.imread(str(tmp_path / "scored" / "figures" / "iou_against_points.png")) is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scored"]
    assert done.stderr == ""


def test_from_anywhere_into_a_fresh_folder(trained: Path, tmp_path: Path) -> None:
    noise_folder(tmp_path / "mine", "abcdef")
    relative = Path("..") / trained.relative_to(tmp_path.parent)
    data = ("data=folder", "data.root=mine", "data.whole=true", "evaluation.shots=[1]", "evaluation.points=[5]")
    folders = {last_line(call("evaluate", f"checkpoint={relative}", *data, *FEW, folder=tmp_path)) for _ in range(2)}
    assert len(folders) == 2
    for folder in map(Path, folders):
        assert folder.parent == tmp_path / "outputs" / "evaluate"
        assert set(read(folder / "evaluation.json")) == {"interactive", "semantic"}


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "checkpoint has no default; add checkpoint=... to the command."),
        (
            ["checkpoint=x", "data.root=y"],
            "data.root is a setting of data, which is not chosen; add data=..., one of: camvid",
        ),
        (["checkpoint=x", "data=davs"], "There is no data=davs; did you mean data=davis?"),
        (["checkpoint=x", "mode=vidoe"], "There is no mode=vidoe; did you mean mode=video?"),
        (["checkpoint=x"], "There is no checkpoint x; give the folder of a run, its best.ckpt or last.ckpt, "),
    ],
)
def test_a_slip_ends_in_a_sentence(tmp_path: Path, argv: list[str], expected: str) -> None:
    done = call("evaluate", *argv, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {expected}")
    assert done.stderr.count("\n") == 1

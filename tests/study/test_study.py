"""The study of runs that were made up: what is gathered, computed, marked and written."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from support.commands import call

from guided_seg.errors import UserError
from guided_seg.report.drawing import new_figure
from guided_seg.study.__main__ import main
from guided_seg.study.averages import average
from guided_seg.study.compositions import compose, find, varied
from guided_seg.study.runs import gather
from guided_seg.study.study import study
from guided_seg.study.study_figures import _heat_map

TARGETS = {
    "fusion": {"late": "Late", "early_stack": "EarlyStack"},
    "locality": {"global": "Global", "local": "Local"},
    "conditioning": {"feature_fusion": "FeatureFusion", "prototypes": "Prototypes"},
}


def score(iou: float) -> dict[str, Any]:
    return {"positive_iou": iou, "mean_iou": iou / 2, "ci95": [iou - 0.05, iou + 0.04], "episodes": 8}


def write_run(folder: Path, seed: int, ious: float | dict[str, float], update_ms: float = 1.0, **options: Any) -> Path:
    """A complete run: options of `TARGETS` by group, or other settings; one IoU, or one per setting key."""
    chosen = {group: options.pop(group, next(iter(names))) for group, names in TARGETS.items()}
    groups = {group: {"_target_": f"somewhere.{TARGETS[group][option]}"} for group, option in chosen.items()}
    config = {"name": "late_global", "seed": seed, "output_dir": str(folder), "num_workers": seed % 2, **groups}
    config |= {"data": {"name": "shapes", "size": 96}, "evaluation": {"seed": 0}, "trainer": {"max_steps": 2}} | options
    by_key = ious if isinstance(ious, dict) else {"s1_p5": ious}
    results: dict[str, Any] = {"interactive": {key: score(iou) for key, iou in by_key.items()}}
    results["run"] = {"seconds": 2.0, "steps": 2, "encode_ms": 4.0, "update_ms": update_ms}
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "metrics.json").write_text(json.dumps(results))
    (folder / "groups.csv").write_text("mode,shots,points,group,iou\ninteractive,1,5,cow,0.5000\n")
    return folder


def write_grid(root: Path, seeds: Sequence[int] = (0, 1, 2)) -> Path:
    """Two fusions x two localities; late and global is the best, by 10 points at each seed but for noise."""
    for fusion in ("late", "early_stack"):
        for locality in ("global", "local"):
            for seed in seeds:
                high = 0.5 + 0.01 * seed + 0.1 * (fusion == "late") + 0.2 * (locality == "global") + 0.001 * (seed == 1)
                high += 0.002 * seed * (fusion == "late")
                name = f"fusion={fusion},locality={locality},seed={seed}"
                write_run(root / name, seed, high, fusion=fusion, locality=locality)
    return root


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# ---- what differs ----


def test_groups_are_named_by_their_option_and_what_follows_from_it_is_left_out(tmp_path: Path) -> None:
    runs, _ = gather([write_grid(tmp_path)])
    assert list(varied(runs)) == ["fusion", "locality"]
    compositions, repeated = compose(runs)
    assert [composition.label for composition in compositions] == [
        f"fusion={fusion}, locality={locality}"
        for fusion in ("early_stack", "late")
        for locality in ("global", "local")
    ]
    assert [list(composition.runs) for composition in compositions] == [[0, 1, 2]] * 4
    assert not repeated


def test_hydras_record_names_the_options(tmp_path: Path) -> None:
    for size, fusion in enumerate(("late", "my_fusion")):
        folder = write_run(tmp_path / fusion, 0, 0.5, data={"name": "shapes", "size": size})
        (folder / "hydra").mkdir()
        choices = {"fusion": fusion, "experiment": fusion, "hydra/launcher": "basic"}
        (folder / "hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": {"runtime": {"choices": choices}}}))
    compositions, _ = compose(gather([tmp_path])[0])
    assert [composition.settings for composition in compositions] == [
        (("fusion", "late"), ("data.size", "0")),
        (("fusion", "my_fusion"), ("data.size", "1")),
    ]


def test_names_stand_alone_where_all_follows_from_them_and_add_nothing_otherwise(tmp_path: Path) -> None:
    for name, fusion, size in (("a", "late", 1), ("b", "early_stack", 2)):
        write_run(tmp_path / "named" / name, 0, 0.5, name=name, fusion=fusion, data={"name": "shapes", "size": size})
    compositions, _ = compose(gather([tmp_path / "named"])[0])
    assert [composition.label for composition in compositions] == ["a", "b"]
    assert find(compositions, "fusion=early_stack").label == "b"
    assert find(compositions, "fusion=late, locality=global, trainer.max_steps=2").label == "a"
    write_run(tmp_path / "named" / "a2", 0, 0.5, name="a", fusion="late", data={"name": "shapes", "size": 3})
    compositions, _ = compose(gather([tmp_path / "named"])[0])
    assert [composition.label for composition in compositions] == [
        "fusion=late, data.size=1",
        "fusion=late, data.size=3",
        "fusion=early_stack, data.size=2",
    ]


def test_labels_leave_out_what_a_composition_lacks(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 0, 0.5, decoder={"width": 1})
    write_run(tmp_path / "b", 0, 0.6, decoder={"width": 2})
    write_run(tmp_path / "c", 0, 0.7, fusion="early_stack")
    compositions, _ = compose(gather([tmp_path])[0])
    assert [composition.label for composition in compositions] == [
        "fusion=early_stack",
        "fusion=late, decoder.width=1",
        "fusion=late, decoder.width=2",
    ]


def test_a_cell_of_the_heat_map_is_the_best_that_it_stands_for(tmp_path: Path) -> None:
    for width, iou in ((1, 0.5), (2, 0.7)):
        write_run(tmp_path / str(width), 0, iou, decoder={"width": width})
    write_run(tmp_path / "c", 0, 0.4, fusion="early_stack", locality="local", decoder={"width": 1})
    compositions, _ = compose(gather([tmp_path])[0])
    figure = _heat_map(compositions, 1, 5)
    assert figure is not None
    assert {text.get_text() for text in figure.axes[0].texts} == {"70.0", "40.0"}


def test_a_run_that_repeats_another_is_left_out_and_listed(tmp_path: Path) -> None:
    for name, iou in (("a", 0.5), ("b", 0.6)):
        write_run(tmp_path / name, 0, iou)
    out = study([tmp_path])
    assert len(rows(out / "study.csv")) == 1
    assert "1 left out: another run has the same composition and seed (b)." in (out / "study.md").read_text()


@pytest.mark.parametrize(
    ("wanted", "what"), [("fusion=late", "names 2 compositions"), ("fusion=no", "names no composition")]
)
def test_a_reference_must_be_one_row(tmp_path: Path, wanted: str, what: str) -> None:
    with pytest.raises(UserError, match=rf"{what}; give settings of exactly one of: fusion=early_stack, locality"):
        study([write_grid(tmp_path)], reference=wanted)


# ---- the files ----


def test_study_csv_is_tidy(tmp_path: Path) -> None:
    found = rows(study([write_grid(tmp_path)]) / "study.csv")
    assert len(found) == 12
    first = found[0]
    assert list(first)[:6] == ["fusion", "locality", "seed", "test_mode", "shots", "points"]
    assert (first["fusion"], first["locality"], first["seed"]) == ("early_stack", "global", "0")
    assert [float(first[name]) for name in ("positive_iou", "mean_iou", "update_ms")] == [0.7, 0.35, 1.0]
    assert first["run"] == "fusion=early_stack,locality=global,seed=0"
    assert rows(tmp_path / "study" / "study_groups.csv")[0]["group"] == "cow"


def test_the_table_has_means_intervals_best_and_significance(tmp_path: Path) -> None:
    text = (study([write_grid(tmp_path)], reference="fusion=early_stack,locality=global") / "study.md").read_text()
    table = {line.split(" | ")[0][2:]: line for line in text.splitlines() if line.startswith("| fusion")}
    # 70, 71.1, 72 and 80, 81.3, 82.4
    assert table["fusion=early_stack, locality=global (reference)"].endswith("| 3 | 71.0 [68.5, 73.5] |")
    assert table["fusion=late, locality=global"].endswith(r"| 3 | **81.2 [78.2, 84.2]**\* |")
    assert table["fusion=late, locality=local"].endswith(r"| 3 | 61.2 [58.2, 64.2]\* |")
    assert "paired t-test" in text
    assert "Test episodes: interactive 8, drawn with seed 0; data: shapes, image size 96" in text
    assert "seeds: 0, 1, 2." in text


def test_a_difference_within_the_noise_is_not_marked(tmp_path: Path) -> None:
    for fusion, ious in (("late", (0.5, 0.6, 0.7)), ("early_stack", (0.52, 0.55, 0.72))):
        for seed, iou in enumerate(ious):
            write_run(tmp_path / f"{fusion}{seed}", seed, iou, fusion=fusion)
    text = (study([tmp_path], reference="fusion=late") / "study.md").read_text()
    assert r"\*" not in text
    assert "**60.0 [35.2, 84.8]**" in text


def test_one_seed_gives_the_interval_of_its_run_marked(tmp_path: Path) -> None:
    text = (study([write_grid(tmp_path, seeds=[0])]) / "study.md").read_text()
    assert "| fusion=late, locality=global | 1 | **80.0 [75.0, 84.0]**† |" in text


def test_what_did_not_finish_is_listed(tmp_path: Path) -> None:
    write_run(tmp_path / "good", 0, 0.5)
    for name, reason in (
        ("bad", "failed: RuntimeError: no memory"),
        ("r1", "refused: no sense."),
        ("r2", "refused: no sense."),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "error.txt").write_text(f"{reason}\n\nTraceback ...\n")
    (write_run(tmp_path / "cut", 1, 0.5) / "metrics.json").unlink()
    (write_run(tmp_path / "broken", 1, 0.5) / "metrics.json").write_text("{")
    text = (study([tmp_path]) / "study.md").read_text()
    assert "1 failed: RuntimeError: no memory (bad)." in text
    assert "2 refused: no sense (r1; r2)." in text
    assert "1 incomplete: it has no metrics.json: still running, or interrupted (cut)." in text
    assert "1 incomplete: its files cannot be read: " in text


def test_only_runs_are_taken_for_runs(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "sweep" / "a", 0, 0.5)
    for inside in ("hydra", "wandb/files"):
        (folder / inside).mkdir(parents=True)
        (folder / inside / "config.yaml").write_text("{}")
    (tmp_path / "scores" / "hydra").mkdir(parents=True)
    for name in ("config.yaml", "evaluation.json"):
        (tmp_path / "scores" / name).write_text("{}")
    runs, missing = gather([tmp_path])
    assert ([run.folder for run in runs], missing) == (["sweep/a"], [])
    assert gather([folder])[0][0].folder == "a"
    # a study of a study finds the same
    study([tmp_path])
    assert len(gather([tmp_path])[0]) == 1


def test_the_same_runs_give_the_same_bytes_wherever_they_lie(tmp_path: Path) -> None:
    texts = []
    for root in (tmp_path / "here", tmp_path / "over" / "there"):
        out = study([write_grid(root)], reference="fusion=late,locality=global")
        texts.append([(out / name).read_bytes() for name in ("study.csv", "study.md", "study.tex", "study_groups.csv")])
    assert texts[0] == texts[1]


def test_the_tex_is_well_formed(tmp_path: Path) -> None:
    write_run(tmp_path / "one", 0, 0.4, name="50%_{a}", fusion="early_stack")
    write_grid(tmp_path / "grid")
    (tmp_path / "bad_run").mkdir()
    (tmp_path / "bad_run" / "error.txt").write_text("failed: KeyError: '$x_1 & #2 ~ \\\\'\n")
    text = (study([tmp_path], timing=True) / "study.tex").read_text()
    plain = text.replace("\\\\", "").replace(r"\{", "").replace(r"\}", "")
    depth = 0
    for sign in plain:
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    assert depth == 0
    assert text.count(r"\begin{") == text.count(r"\end{") == 2
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert len(body) == 5
    assert all(line.replace(r"\&", "").count("&") == 3 and line.endswith(r"\\") for line in body)
    assert plain.replace(r"\_", "").count("_") == 0
    assert plain.replace(r"\%", "").count("%") == 1  # the comment of the first line
    assert r"early\_stack" in text
    assert plain.replace(r"\$", "").count("$") % 2 == 0


def test_timing_is_only_shown_where_asked_for(tmp_path: Path) -> None:
    for seed, milliseconds in enumerate((1.0, 9.0, 2.0)):
        write_run(tmp_path / str(seed), seed, 0.5, update_ms=milliseconds)
    assert "ms" not in (study([tmp_path]) / "study.md").read_text().splitlines()[0]
    head, _, row, *_ = (study([tmp_path], timing=True) / "study.md").read_text().splitlines()
    assert head.endswith("| update ms |")
    assert row.endswith("| 2.00 |")


# ---- figures ----


def test_figures_show_what_varies(tmp_path: Path) -> None:
    keys = {"s1_p1": 0.3, "s1_p5": 0.5, "s1_pdense": 0.8, "s2_p5": 0.6}
    for fusion, conditioning, seed in (
        ("late", "prototypes", 0),
        ("late", "feature_fusion", 0),
        ("late", "prototypes", 1),
        ("early_stack", "prototypes", 0),
    ):
        name = f"{fusion}{conditioning}{seed}"
        write_run(tmp_path / name, seed, keys, fusion=fusion, conditioning=conditioning, update_ms=3.0 + len(fusion))
    out = study([tmp_path])
    names = {path.stem for path in out.glob("*.png")}
    assert names == {"iou_against_points", "iou_against_shots", "iou_against_update_time", "heat_map"}
    for path in out.glob("*.png"):
        picture = cv2.imread(str(path))
        assert picture is not None
        assert min(picture.shape[:2]) > 300
        assert float(np.std(picture)) > 1


def test_figures_without_anything_to_show_are_left_out(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 0, 0.5, update_ms=math.nan)
    assert not list(study([tmp_path]).glob("*.png"))
    assert new_figure(1, 1).get_axes() == []


def test_a_cell_leaves_out_what_has_no_number(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 0, 0.5)
    write_run(tmp_path / "b", 1, math.nan)
    (composition,), _ = compose(gather([tmp_path])[0])
    found = average(composition, "interactive", 1, 5)
    assert found is not None
    assert (found.values, found.one_seed) == ({0: 0.5}, True)
    assert average(composition, "video", 1, 5) is None


# ---- as a person types it ----


def test_the_command_prints_the_table_and_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_grid(tmp_path / "runs")
    main([str(tmp_path / "runs"), "--out", str(tmp_path / "here"), "--reference", "fusion=late,locality=local"])
    printed = capsys.readouterr().out
    assert "| fusion=late, locality=local (reference) | 3 | 61.2 [58.2, 64.2] |" in printed
    assert printed.splitlines()[-1] == str(tmp_path / "here")


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["nowhere"], "nowhere is not a folder; give folders of runs: a run folder has config.yaml and metrics.json"),
        (
            ["empty"],
            "No runs in empty; a run folder has config.yaml and metrics.json, written by python -m guided_seg.run",
        ),
        (
            ["runs", "--points", "7"],
            "No run was tested at 1 shots and 7 dots; choose --shots and --points from: 1 and 5.",
        ),
    ],
)
def test_a_slip_ends_in_a_sentence(
    argv: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "runs" / "a", 0, 0.5)
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {sentence}")


def test_a_stored_config_is_shown_as_it_is_written(tmp_path: Path) -> None:
    """It may come from anybody, so nothing of this machine is looked up for it."""
    write_run(tmp_path / "run", 0, 0.5, note="${oc.env:HOME}")
    (run,), _ = gather([tmp_path])
    assert run.config["note"] == "${oc.env:HOME}"


def _edit(file: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda run: (run / file).write_text((run / file).read_text().replace(old, new))


def _write(file: str, content: bytes) -> Callable[[Path], object]:
    def write(run: Path) -> None:
        (run / file).parent.mkdir(exist_ok=True)
        (run / file).write_bytes(content)

    return write


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_write("metrics.json", b"null"), "a/metrics.json holds 'None'; expected the scores"),
        (_write("metrics.json", b"[]"), "a/metrics.json holds '[]'; expected the scores"),
        (
            _write("metrics.json", b'{"video": '),
            "a/metrics.json is not the scores of a run (JSONDecodeError: Expecting value",
        ),
        (
            _write("metrics.json", b"[" * 5000),
            "a/metrics.json is not the scores of a run (RecursionError: maximum recursion",
        ),
        (_write("metrics.json", b'{"run": []}'), "a/metrics.json has run=[]"),
        (_edit("metrics.json", "s1_p5", "s1_5"), "'s1_5' names no setting"),
        (_edit("metrics.json", '"update_ms": 1.0', '"update_ms": "fast"'), "has 'fast' where a number was expected"),
        (_edit("metrics.json", '"positive_iou": 0.5', '"positive_iou": 50'), "has the IoU 50; expected a share"),
        (_edit("metrics.json", '"positive_iou": 0.5', f'"positive_iou": {10**400}'), "where a number was expected"),
        (_edit("metrics.json", '"episodes": 8', '"episodes": -8'), "has episodes=-8"),
        (_edit("metrics.json", '"ci95": [0.45, 0.54]', '"ci95": 0'), "has ci95=0; expected [low, high]"),
        (_write("config.yaml", b""), "a/config.yaml holds 'None'; expected settings"),
        (_write("config.yaml", b"- 1"), "a/config.yaml holds '[1]'; expected settings"),
        (_write("config.yaml", b"seed: abc"), "a/config.yaml has seed='abc'; expected a whole number"),
        (_write("config.yaml", b"seed: null"), "a/config.yaml has seed=None; expected a whole number"),
        (_write("hydra/hydra.yaml", b"x: 1"), "a/hydra/hydra.yaml has no hydra.runtime.choices"),
        (_write("hydra/hydra.yaml", b""), "a/hydra/hydra.yaml holds 'None'"),
        (_write("groups.csv", b"a;b\n1;2\n"), "a/groups.csv has no column mode"),
        (_write("groups.csv", b"\xff\xfe"), "a/groups.csv has no column mode"),
    ],
)
def test_a_run_of_spoiled_files_is_named_and_the_others_are_gathered(
    tmp_path: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    spoil(write_run(tmp_path / "a", 0, 0.5))
    write_run(tmp_path / "b", 1, 0.6)
    runs, (missing,) = gather([tmp_path])
    assert [run.folder for run in runs] == ["b"]
    assert (missing.folder, missing.status) == ("a", "incomplete")
    assert missing.reason.startswith("its files cannot be read: ")
    assert reason in missing.reason


@pytest.mark.parametrize("file", ["metrics.json", "config.yaml", "groups.csv"])
def test_a_byte_order_mark_is_read(tmp_path: Path, file: str) -> None:
    expected, _ = gather([write_run(tmp_path / "a", 0, 0.5)])
    path = tmp_path / "a" / file
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert gather([tmp_path / "a"])[0] == expected
    assert expected[0].groups == (("interactive", "1", "5", "cow", "0.5000"),)


@pytest.mark.parametrize(
    ("content", "status"), [(b"", "failed"), (b"\xff\xfe", "failed"), (b"refused: why", "refused")]
)
def test_a_run_that_failed_is_told_with_the_reason_that_there_is(tmp_path: Path, content: bytes, status: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "error.txt").write_bytes(content)
    _, (missing,) = gather([tmp_path])
    assert (missing.status, missing.reason) == (status, "why" if status == "refused" else "error.txt gives no reason")


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ("runs --out file.txt", "file.txt is not a folder; choose another with --out="),
        ("runs --out file.txt/x", "file.txt is not a folder; choose another with --out="),
        ("runs --reference late", "--reference 'late' is not a list of settings; write key=value"),
        ("runs --points many", "'many' is neither a number of dots nor dense"),
        ("file.txt", "file.txt is not a folder; give folders of runs"),
        ("~/nowhere", "/nowhere is not a folder; give folders of runs"),
    ],
)
def test_a_study_that_cannot_be_is_refused_before_anything_is_written(tmp_path: Path, argv: str, sentence: str) -> None:
    write_run(tmp_path / "runs" / "a", 0, 0.5)
    (tmp_path / "file.txt").write_text("mine")
    done = call("study.__main__", *argv.split(), folder=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "~" not in done.stderr
    assert (tmp_path / "file.txt").read_text() == "mine"
    assert not (tmp_path / "runs" / "study").exists()

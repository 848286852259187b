"""The tables of our networks beside published ones, and that every command behind them is valid."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from support.processes import ended
from support.scripts import script

from guided_seg.files.writing import write_json
from guided_seg.report.drawing import new_figure
from guided_seg.settings.overrides import find_problem
from guided_seg.settings.paths import take_paths_as_written

REPOSITORY = Path(__file__).parents[1]
HERE = REPOSITORY / "experiments" / "published"
SETS = ("grabcut", "berkeley", "frames", "davis", "coco", "regions", "held_out")
NETWORKS: list[dict[str, Any]] = yaml.safe_load((HERE / "networks.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def table() -> ModuleType:
    return script("published/table")


def write_scores(folder: Path, protocol: str, **figures: float) -> None:
    intervals = {name: {"value": value, "ci95": [value - 0.1, value + 0.1]} for name, value in figures.items()}
    folder.mkdir(parents=True)
    setting = {"mode": "interactive", "shots": 1, "points": "clicks", "figures": intervals}
    write_json(folder / "protocols.json", {protocol: {"settings": [setting]}})


def test_our_figures_stand_beside_published_ones(table: ModuleType, tmp_path: Path) -> None:
    write_scores(tmp_path / "guided-lite0" / "grabcut", "clicks", **{"NoC@85": 4.08, "NoC@90": 5.38, "honoured": 0.5})
    table.main(tmp_path)
    ours, *others = (tmp_path / "clicks.md").read_text(encoding="utf-8").splitlines()[2:]
    assert ours.startswith("| guided-lite0 | ")
    assert ours.endswith(" | 9.6 | 4.08 / 5.38 | – / – | here |")
    assert any("| RITM HRNet18s IT-M " in line and " | 16.5 | 1.54 / 1.68 | – / 2.60 | " in line for line in others)
    rows = (tmp_path / "table.md").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "| test | guided-lite0 |"
    assert "| GrabCut, clicks at the deepest point, NoC@85 | 4.08 [3.98 to 4.18] |" in rows
    assert "| GrabCut, clicks at the deepest point, honoured | 50.0 [40.0 to 60.0] |" in rows
    assert "| Berkeley, clicks at the deepest point, NoC@85 | – |" in rows


def test_a_network_is_a_column(table: ModuleType, tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_scores(tmp_path / name / "berkeley", "human_clicks", **{"NoC@90": 9.0})
    table.main(tmp_path)
    rows = (tmp_path / "table.md").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "| test | a | b |"
    assert "| Berkeley, clicks of simulated people, NoC@90 | 9.00 [8.90 to 9.10] | 9.00 [8.90 to 9.10] |" in rows


def test_the_committed_tables_are_of_the_committed_scores(table: ModuleType, tmp_path: Path) -> None:
    for path in HERE.glob("*/*/protocols.json"):
        copy = tmp_path / path.relative_to(HERE)
        copy.parent.mkdir(parents=True)
        shutil.copy(path, copy)
    table.main(tmp_path)
    for name in ("clicks.md", "table.md"):
        assert (tmp_path / name).read_text(encoding="utf-8") == (HERE / name).read_text(encoding="utf-8")


def test_curves_are_drawn_from_the_scores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    curves = script("published/curves")
    curves.main(tmp_path)  # of nothing
    write_scores(tmp_path / "mine" / "grabcut", "clicks", **{f"IoU@{number}": 0.5 for number in (1, 5, 20)})
    (line,) = (each for *_, lines in curves.PANELS for each in lines() if each[1] == "grabcut")
    axes = new_figure(3, 2).add_subplot()
    curves.draw(axes, [tmp_path / "mine"], [line])
    assert [list(each.get_ydata()) for each in axes.lines] == [[0.5] * 3]
    curves.main(tmp_path)
    assert (tmp_path / "curves.png").stat().st_size > 10_000


@pytest.mark.parametrize("entry", NETWORKS, ids=lambda entry: str(entry["network"]))
def test_a_network_has_its_origin(entry: dict[str, Any]) -> None:
    figures, ours = {"grabcut", "berkeley", "source"}, {"scores"}
    kind = ours if "scores" in entry else figures
    assert entry.keys() == {"network", "trained_on", "megabytes", *kind}
    for name in figures & entry.keys() - {"source"}:
        at85, at90 = entry[name]
        assert 1 <= (at85 or 1) <= at90 <= 20


RECORD = """#!/usr/bin/env bash
# Stands for python: writes down the call, and leaves what an evaluation would.
printf '%s\\n' "$*" >> "$CALLS"
for word in "$@"; do case $word in output_dir=*) out=${word#output_dir=} ;; esac; done
[ -z "${out:-}" ] || { mkdir -p "$out/figures" && touch "$out"/protocols.{md,json} "$out/figures/clicks.png"; }
"""


def calls(folder: Path, *sets: str, **variables: str) -> list[list[str]]:
    """The arguments of each python that run.sh starts, in a copy of the experiments."""
    shutil.copytree(REPOSITORY / "experiments" / "published", folder / "experiments" / "published")
    shutil.copy(REPOSITORY / "experiments" / "common.sh", folder / "experiments")
    python = folder / "python"
    python.write_text(RECORD)
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    given = {"PYTHON": str(python), "CALLS": str(folder / "calls"), "DATA": "some/data", **variables}
    done = ended("bash", folder / "experiments" / "published" / "run.sh", *sets, limit=60, **given)
    assert done.returncode == 0, done.stderr
    return [line.split() for line in (folder / "calls").read_text().splitlines()]


@pytest.mark.parametrize("few", ["", "5"])
def test_each_set_is_one_valid_evaluation(few: str, tmp_path: Path) -> None:
    *started, table, curves = calls(tmp_path, FEW=few)
    assert (table[0], curves[0]) == ("experiments/published/table.py", "experiments/published/curves.py")
    evaluations = [words for words in started if words[0] == "-m"]
    pictures = [words for words in started if words[0] == "experiments/cases.py"]
    assert [words[3] for words in pictures] == ([] if few else ["davis2016", "instances"])
    assert len(evaluations) == len(SETS)
    for name, words in zip(SETS, evaluations, strict=True):
        assert words[:3] == ["-m", "guided_seg.evaluate", "checkpoint=guided-lite0"]
        assert any(word.startswith("output_dir=") and word.endswith(f"/on_{name}") for word in words)
        assert find_problem("evaluate", take_paths_as_written(words[2:]), "guided_seg.conf") is None
        protocols = next(word for word in words if word.startswith("protocol=")).removeprefix("protocol=[")[:-1]
        limited = [word for word in words if word.endswith(".episodes=5")]
        assert limited == [f"protocol.{protocol}.episodes=5" for protocol in protocols.split(",") if few]
    tables = tmp_path / ("outputs/published/few" if few else "experiments/published")
    assert all((tables / "guided-lite0" / name / "protocols.json").is_file() for name in SETS)


def test_sets_and_the_network_are_a_choice(tmp_path: Path) -> None:
    (words, table, _) = calls(tmp_path, "grabcut", MODEL="runs/mine", AS="two", EVALUATE="processes=2")
    assert "checkpoint=runs/mine" in words
    assert "processes=2" in words
    assert any(word.endswith("outputs/published/two/on_grabcut") for word in words)
    assert (tmp_path / "experiments" / "published" / "two" / "grabcut").is_dir()
    assert table == ["experiments/published/table.py", "experiments/published"]
    with pytest.raises(AssertionError, match="grabcat"):
        calls(tmp_path / "again", "grabcat")

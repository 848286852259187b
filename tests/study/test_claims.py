"""The claims page: what it says follows from the committed results, and a verdict from its interval."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from support.commands import compose_run
from support.processes import ended
from support.scripts import script

from guided_seg.composition.build import choices

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
FOLDERS = ("fusion_locality", "conditioning", "shots_points", "cross_mode", "baselines", "update_time")


@pytest.fixture(scope="module")
def claims() -> ModuleType:
    return script("claims")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A folder with one claim and its table: positive IoU of a and b by seed."""

    def _write(a: Sequence[float], b: Sequence[float], **comparison: Any) -> Path:
        entry = {"text": "P = {points}: a − b", "data": "shapes", "table": "t.csv", "each": {"points": [5]}, "above": 0}
        entry |= {"ours": {"name": "a"}, "theirs": {"name": "b"}} | comparison
        made = [{"claim": "A beats B", "section": "5.1", "folder": "f", "comparisons": [entry]}]
        (tmp_path / "f").mkdir(exist_ok=True)
        (tmp_path / "claims.yaml").write_text(yaml.safe_dump(made))
        rows = [("a", seed, value) for seed, value in enumerate(a)] + [
            ("b", seed, value) for seed, value in enumerate(b)
        ]
        with (tmp_path / "f" / "t.csv").open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["name", "points", "seed", "positive_iou"])
            out.writerows([name, 5, seed, value] for name, seed, value in rows)
        return tmp_path

    return _write


def test_pages_say_what_the_results_do(claims: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        claims.main(["--check"])
    assert ended.value.code == 0, capsys.readouterr().out


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_answers_a_claim_on_a_page_with_its_command(claims: ModuleType, folder: str) -> None:
    assert any(claim.folder == folder for claim in claims.load())
    page = (EXPERIMENTS / folder / "README.md").read_text(encoding="utf-8")
    assert f"bash experiments/{folder}/run.sh" in page
    assert f"<!-- begin details {folder} -->" in page
    assert (EXPERIMENTS / folder / "run.sh").is_file()
    pictures = [line.split("](")[1].split(")")[0] for line in page.splitlines() if line.startswith("![")]
    assert pictures
    assert all((EXPERIMENTS / folder / picture).is_file() for picture in pictures)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_command_of_a_folder_composes(folder: str, tmp_path: Path) -> None:
    stub = tmp_path / "python"
    stub.write_text("#!/bin/sh\nprintf '%s\\037' \"$@\"\necho\n")
    stub.chmod(0o755)
    told = ended("bash", EXPERIMENTS / folder / "run.sh", limit=60, PYTHON=str(stub), DATA="data")
    assert told.returncode == 0, told.stderr
    commands = [line.split("\037")[:-1] for line in told.stdout.splitlines()]
    assert commands
    for words in (words for words in commands if "guided_seg.run" in words):
        assert words[2] == "-m"
        for chosen in product(*map(values, words[3:])):
            cfg = compose_run(*chosen, "seed=0")
            if cfg.baseline._target_.endswith("GuidedNetwork"):
                choices(cfg).check()


def values(override: str) -> list[str]:
    """Each value that a sweep gives a setting; a list in brackets is one."""
    key, _, text = override.partition("=")
    return [override] if text.startswith("[") else [f"{key}={value}" for value in text.split(",")]


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ([0.60, 0.62, 0.61], [0.50, 0.52, 0.51], "confirmed"),
        ([0.60, 0.62, 0.61], [0.50, 0.72, 0.51], "open"),  # the mean is higher, the interval is not
        ([0.50, 0.52, 0.51], [0.60, 0.62, 0.61], "refuted"),
        ([0.60], [0.50], "open"),
        ([0.60, 0.62, 0.61], [0.50, 0.52], "open"),
        ([0.60, 0.62], [], "open"),
    ],
)
def test_the_interval_decides(
    claims: ModuleType, write: Callable[..., Path], a: list[float], b: list[float], verdict: str
) -> None:
    (claim,) = claims.load(write(a, b))
    assert claim.verdict("shapes") == verdict
    assert f"**{verdict}**" in claims.summary([claim])
    assert "hold" not in claims.summary([claim])


def test_a_missing_run_is_a_gap_and_decides_nothing(claims: ModuleType, write: Callable[..., Path]) -> None:
    (claim,) = claims.load(write([0.60, 0.62, 0.61], [0.50, 0.52]))
    assert "| gap: one side lacks seed 2 | > 0 | open |" in claims.details([claim])
    (claim,) = claims.load(write([0.60, 0.62], []))
    assert "| gap: a side has no run | > 0 | open |" in claims.details([claim])
    (claim,) = claims.load(write([0.60], [0.50]))
    assert "| gap: a single seed | > 0 | open |" in claims.details([claim])
    whole = claims.Comparison("c", "shapes", "difference", [0.1, 0.1], above=0.0)
    broken = claims.Comparison("c", "shapes", "difference", [0.1, 0.1], above=0.0, gap="one side lacks seed 2")
    assert claims.Claim("c", "5", "f", [whole, broken]).verdict("shapes") == "open"


def test_an_interval_by_hand(claims: ModuleType, write: Callable[..., Path]) -> None:
    # differences 10, 12, 17 points: mean 13, deviation 3.606, 4.3027 * 3.606 / sqrt(3) = 8.957
    (claim,) = claims.load(write([0.60, 0.62, 0.67], [0.50, 0.50, 0.50]))
    (comparison,) = claim.comparisons
    assert comparison.text == "P = 5: a − b"
    assert str(comparison) == "+13.0 [+4.0, +22.0]"
    assert "| shapes | P = 5: a − b | +13.0 [+4.0, +22.0] | > 0 | holds |" in claims.details([claim])


def test_ratios_and_figures_themselves(claims: ModuleType, write: Callable[..., Path]) -> None:
    (claim,) = claims.load(write([0.45, 0.45], [0.5, 0.5], number="ratio", above=0.87))
    assert str(claim.comparisons[0]) == "90.0 [90.0, 90.0] %"
    assert claim.verdict("shapes") == "confirmed"
    (claim,) = claims.load(write([0.05, 0.06], [], number="itself", above=None, below=0.1))
    assert claim.verdict("shapes") == "open"  # 5.5 % on average, but two that differ make a wide interval
    assert claim.verdict("voc") == "open"


def test_a_claim_with_one_comparison_that_fails_is_confirmed_in_part(claims: ModuleType) -> None:
    made = [claims.Comparison("c", "shapes", "difference", values, above=0.0) for values in ([0.1, 0.1], [-0.1, -0.1])]
    assert claims.Claim("c", "5", "f", made[:1]).verdict("shapes") == "confirmed"
    claim = claims.Claim("c", "5", "f", made)
    assert claim.verdict("shapes") == "partly"
    assert "**partly** (1 of 2 hold, 1 refuted)" in claims.summary([claim])
    assert "partly (1 of 2 hold, 1 refuted) on shapes" in claims.details([claim])
    assert claims.Claim("c", "5", "f", made[1:]).verdict("shapes") == "refuted"


@pytest.mark.parametrize(
    ("settings", "sentence"), [({"nam": "c"}, "no column nam"), ({"points": 5}, "several rows of one seed")]
)
def test_settings_choose_one_row_a_seed(
    claims: ModuleType, write: Callable[..., Path], settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        claims.load(write([0.6, 0.6], [0.5, 0.5], ours=settings))


def test_update_times_of_every_composition(tmp_path: Path) -> None:
    timing = script("update_time/measure")
    rows = list(timing.measure(timing.networks("small"), timing.episode(40, 48, 2), rounds=2))
    assert [row.composition for row in rows] == 2 * list(timing.COMPOSITIONS)
    assert all(row.share == pytest.approx(row.update_ms / row.full_ms) for row in rows)
    assert timing.table(rows).count("\n") == 2 + len(timing.COMPOSITIONS)
    timing.draw(rows, tmp_path / "times.png")
    assert (tmp_path / "times.png").stat().st_size > 1000

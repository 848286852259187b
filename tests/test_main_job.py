"""The check of the main job's targets: it passes what reaches them and names what does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.scripts import script

SCRIPT = Path(__file__).parents[1] / "experiments" / "main_job" / "check.py"
GOOD = {"interactive": 0.70, "semantic": 0.60, "video": 0.65}
FACTS = {"seconds": 200.0, "steps": 900, "peak_memory_bytes": 2 * 10**9, "data_wait_share": 0.01}


@pytest.fixture(scope="module")
def check() -> ModuleType:
    return script("main_job/check")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes the metrics.json of a run; ``five`` are the positive IoUs at 5 + 5 dots."""

    def _write(name: str, five: dict[str, float], rise: float = 0.1, **facts: float) -> str:
        data: dict[str, Any] = {
            mode: {
                key: {"positive_iou": iou, "mean_iou": iou, "ci95": [iou, iou], "episodes": 256}
                for key, iou in (("s1_p1", value - rise), ("s1_p5", value), ("s1_p25", value + rise))
            }
            for mode, value in five.items()
        }
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(json.dumps(data | {"run": FACTS | facts}))
        return str(tmp_path / name)

    return _write


def test_what_reaches_the_targets_passes(
    check: ModuleType, write: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    floor = {mode: value - 0.4 for mode, value in GOOD.items()}
    runs = [write("guided", GOOD), write("floor", floor), write("again", GOOD, seconds=250.0)]
    assert check.main(runs) == 0
    out = capsys.readouterr().out
    assert "FAIL" not in out
    for mode in GOOD:
        assert f"{mode}, 5 + 5 dots" in out


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"five": GOOD | {"interactive": 0.64}}, "interactive, 5 + 5 dots"),
        ({"five": GOOD | {"semantic": 0.54}}, "semantic, 5 + 5 dots"),
        ({"five": GOOD | {"video": 0.59}}, "video, 5 + 5 dots"),
        ({"rise": -0.01}, "rising"),
        ({"seconds": 301.0}, "seconds"),
        ({"peak_memory_bytes": 4e9}, "GB at the peak"),
        ({"data_wait_share": 0.06}, "waiting for data"),
    ],
)
def test_what_does_not_is_named(
    check: ModuleType, write: Callable[..., str], capsys: pytest.CaptureFixture[str], change: dict[str, Any], named: str
) -> None:
    assert check.main([write("guided", **({"five": GOOD} | change))]) == 1
    assert any(line.startswith("FAIL") and named in line for line in capsys.readouterr().out.splitlines())


def test_a_floor_that_is_too_near_or_another_result_fails(check: ModuleType, write: Callable[..., str]) -> None:
    near = {mode: value - 0.3 for mode, value in GOOD.items()}  # at 25 dots it is 0.2 below
    guided, same = write("guided", GOOD), write("same", GOOD)
    assert check.main([guided, write("near", near)]) == 1
    far = write("far", {mode: value - 0.5 for mode, value in GOOD.items()})
    assert check.main([guided, far, same]) == 0
    assert check.main([guided, far, write("other", GOOD | {"video": 0.66})]) == 1
